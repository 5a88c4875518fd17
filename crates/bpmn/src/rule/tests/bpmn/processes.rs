use super::super::Case;
use super::super::Source::{Definitions, Process};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "a document without an executable process",
        source: Definitions(r#"<process id="P"/>"#),
        expected: &["no-executable-process"],
    },
    Case {
        name: "a process that is not executable is not checked",
        source: Definitions(
            r#"<process id="Q"><serviceTask id="T"/></process><process id="P" isExecutable="true"><startEvent id="S"/></process>"#,
        ),
        expected: &[],
    },
    Case {
        name: "definitions for a process that is not executable are not checked",
        source: Definitions(
            r#"<message id="M1" name="m"/><message id="M2"/><message id="M3" name="=when"/><message id="M4" name="= 'x'">
                 <extensionElements><wf:subscription correlationKey=""/></extensionElements></message>
               <signal id="G1"/><signal id="G2" name="=when"/><error id="R"/><escalation id="L"/>
               <messageEventDefinition id="D1" messageRef="M1"/><signalEventDefinition id="D2"/>
               <timerEventDefinition id="D3"><timeDuration>soon</timeDuration></timerEventDefinition>
               <errorEventDefinition id="D4"/><escalationEventDefinition id="D5"/><linkEventDefinition id="D6" name=""/>
               <conditionalEventDefinition id="D7"><condition/></conditionalEventDefinition><cancelEventDefinition id="D8"/>
               <collaboration id="C"><participant id="A1" processRef="Q"/><participant id="A2" processRef="P"/>
                 <participant id="A3"/><messageFlow id="F" sourceRef="A3" targetRef="A1"/></collaboration>
               <process id="Q">
                 <startEvent id="Q1"><messageEventDefinition messageRef="M3"/></startEvent>
                 <startEvent id="Q2"><messageEventDefinition messageRef="M3"/></startEvent>
                 <startEvent id="Q3"><signalEventDefinition signalRef="G2"/></startEvent>
                 <receiveTask id="Q4" messageRef="M1"/><receiveTask id="Q5" messageRef="M2"/>
                 <intermediateCatchEvent id="Q6"><messageEventDefinition messageRef="M4"/></intermediateCatchEvent>
                 <intermediateCatchEvent id="Q7"><signalEventDefinition signalRef="G1"/></intermediateCatchEvent>
                 <intermediateCatchEvent id="Q8"><eventDefinitionRef>D1</eventDefinitionRef></intermediateCatchEvent>
                 <endEvent id="Q9"><errorEventDefinition errorRef="R"/></endEvent>
                 <endEvent id="Q10"><escalationEventDefinition escalationRef="L"/></endEvent></process>
               <process id="P" isExecutable="true"><startEvent id="S"/></process>"#,
        ),
        expected: &[],
    },
    Case {
        name: "an executable process is checked beside one that is not",
        source: Definitions(
            r#"<message id="M" name="m"/><signal id="G"/>
               <process id="P" isExecutable="true"><startEvent id="S"/><receiveTask id="A" messageRef="M"/>
                 <subProcess id="B" triggeredByEvent="true">
                   <startEvent id="B1"><signalEventDefinition signalRef="G"/></startEvent></subProcess></process>
               <process id="Q" isExecutable="false"><receiveTask id="Q1" messageRef="M"/></process>"#,
        ),
        expected: &["missing-subscription M", "signal-name G"],
    },
    Case {
        name: "a shared event definition is checked when an executable process refers to it",
        source: Definitions(
            r#"<timerEventDefinition id="D1"/><timerEventDefinition id="D2"/>
               <process id="P" isExecutable="true"><startEvent id="S"/>
                 <intermediateCatchEvent id="A"><eventDefinitionRef>D2</eventDefinitionRef></intermediateCatchEvent></process>"#,
        ),
        expected: &["timer-definition", "event-definition-count A"],
    },
    Case {
        name: "a process without an id",
        source: Definitions(r#"<process isExecutable="true"><startEvent id="S"/></process>"#),
        expected: &["missing-process-id"],
    },
    Case { name: "a process without a start event", source: Process(""), expected: &["no-start-event P"] },
    Case {
        name: "two start events without a trigger",
        source: Process(r#"<startEvent id="S"/><startEvent id="S2"/>"#),
        expected: &["multiple-none-start-events S2"],
    },
    Case {
        name: "elements without an id",
        source: Process(r#"<startEvent id="S"/><endEvent/>"#),
        expected: &["missing-element-id P"],
    },
    Case {
        name: "an embedded sub-process has one start event, without a trigger",
        source: Process(
            r#"<startEvent id="S"/><subProcess id="A"/>
               <subProcess id="B"><startEvent id="B1"><timerEventDefinition><timeDuration>PT1S</timeDuration></timerEventDefinition></startEvent></subProcess>"#,
        ),
        expected: &["sub-process-start-event A", "sub-process-typed-start B1"],
    },
    Case {
        name: "an event sub-process has a start event with an allowed trigger",
        source: Process(
            r#"<startEvent id="S"/><subProcess id="A" triggeredByEvent="true"><startEvent id="A1"/></subProcess>
               <subProcess id="B" triggeredByEvent="true"><startEvent id="B1"><compensateEventDefinition/></startEvent></subProcess>"#,
        ),
        expected: &["event-sub-process-start A1", "event-sub-process-start B1"],
    },
    Case {
        name: "elements without executable meaning",
        source: Process(r#"<startEvent id="S"/><complexGateway id="A"/><adHocSubProcess id="B"/>"#),
        expected: &["unsupported-element A", "unsupported-element B"],
    },
    Case {
        name: "a loop without a waiting element",
        source: Process(
            r#"<startEvent id="S"/><exclusiveGateway id="X"/><task id="T"/>
               <sequenceFlow id="a" sourceRef="S" targetRef="X"/><sequenceFlow id="b" sourceRef="X" targetRef="T"/>
               <sequenceFlow id="c" sourceRef="T" targetRef="X"/>"#,
        ),
        expected: &["straight-through-loop T"],
    },
    Case {
        name: "a loop with a job",
        source: Process(
            r#"<startEvent id="S"/><exclusiveGateway id="X"/>
               <serviceTask id="T"><extensionElements><wf:taskDefinition type="t"/></extensionElements></serviceTask>
               <sequenceFlow id="a" sourceRef="S" targetRef="X"/><sequenceFlow id="b" sourceRef="X" targetRef="T"/>
               <sequenceFlow id="c" sourceRef="T" targetRef="X"/>"#,
        ),
        expected: &[],
    },
];
