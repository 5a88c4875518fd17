use super::Source::{Definitions, Process};
use super::{Case, check};
use crate::{Class, Mode};

#[test]
fn documents_that_break_a_rule_of_bpmn_are_refused() {
    check(CASES, Mode::Lenient, &[Class::Xml, Class::Bpmn]);
}

pub(super) const CASES: &[Case] = &[
    // Processes.
    Case {
        name: "a drawing is not executable",
        source: Definitions(r#"<process id="P"/>"#),
        expected: &["no-executable-process"],
    },
    Case {
        name: "what is not executable is not judged",
        source: Definitions(
            r#"<process id="Q"><serviceTask id="T"/></process><process id="P" isExecutable="true"><startEvent id="S"/></process>"#,
        ),
        expected: &[],
    },
    Case {
        name: "what only a drawing refers to is not judged",
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
        name: "a drawing beside it excuses no executable process",
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
        name: "a shared event definition is judged when an executable process refers to it",
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
    Case { name: "nothing starts the process", source: Process(""), expected: &["no-start-event P"] },
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
        name: "an embedded sub-process starts by itself",
        source: Process(
            r#"<startEvent id="S"/><subProcess id="A"/>
               <subProcess id="B"><startEvent id="B1"><timerEventDefinition><timeDuration>PT1S</timeDuration></timerEventDefinition></startEvent></subProcess>"#,
        ),
        expected: &["sub-process-start-event A", "sub-process-typed-start B1"],
    },
    Case {
        name: "an event sub-process starts by an event that can happen inside",
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
        name: "a loop in which nothing waits",
        source: Process(
            r#"<startEvent id="S"/><exclusiveGateway id="X"/><task id="T"/>
               <sequenceFlow id="a" sourceRef="S" targetRef="X"/><sequenceFlow id="b" sourceRef="X" targetRef="T"/>
               <sequenceFlow id="c" sourceRef="T" targetRef="X"/>"#,
        ),
        expected: &["straight-through-loop T"],
    },
    Case {
        name: "a loop around a job waits",
        source: Process(
            r#"<startEvent id="S"/><exclusiveGateway id="X"/>
               <serviceTask id="T"><extensionElements><wf:taskDefinition type="t"/></extensionElements></serviceTask>
               <sequenceFlow id="a" sourceRef="S" targetRef="X"/><sequenceFlow id="b" sourceRef="X" targetRef="T"/>
               <sequenceFlow id="c" sourceRef="T" targetRef="X"/>"#,
        ),
        expected: &[],
    },
    // Tasks.
    Case {
        name: "a service task says what its job is, once",
        source: Process(
            r#"<startEvent id="S"/><serviceTask id="A"/>
               <serviceTask id="B"><extensionElements><wf:taskDefinition type="t"/><wf:taskDefinition type="t"/></extensionElements></serviceTask>
               <serviceTask id="C"><extensionElements><wf:taskDefinition type="" retries=""/></extensionElements></serviceTask>"#,
        ),
        expected: &[
            "missing-task-definition A",
            "missing-task-definition B",
            "empty-attribute C",
            "empty-attribute C",
        ],
    },
    Case {
        name: "the common modelling tools' namespace is understood",
        source: Process(
            r#"<startEvent id="S"/><serviceTask id="A"><extensionElements>
               <taskDefinition xmlns="http://camunda.org/schema/zeebe/1.0" type="t"/></extensionElements></serviceTask>"#,
        ),
        expected: &[],
    },
    Case {
        name: "scripts, rules and messages have one implementation",
        source: Process(
            r#"<startEvent id="S"/><scriptTask id="A"/><businessRuleTask id="B"/><sendTask id="C"/>
               <intermediateThrowEvent id="D"><messageEventDefinition/></intermediateThrowEvent>
               <sendTask id="E"><extensionElements><wf:publishMessage correlationKey="=key"/></extensionElements></sendTask>"#,
        ),
        expected: &[
            "missing-implementation A",
            "missing-implementation B",
            "missing-implementation C",
            "missing-implementation D",
            "message-reference E",
        ],
    },
    Case {
        name: "a call activity names what it calls",
        source: Process(
            r#"<startEvent id="S"/><callActivity id="A"/>
               <callActivity id="B"><extensionElements><wf:calledElement processId="Q" bindingType="versionTag"/></extensionElements></callActivity>"#,
        ),
        expected: &["missing-called-element A", "empty-attribute B"],
    },
    Case {
        name: "a multi-instance activity says over what",
        source: Process(
            r#"<startEvent id="S"/><userTask id="A"><multiInstanceLoopCharacteristics/></userTask>
               <userTask id="B"><multiInstanceLoopCharacteristics><extensionElements>
                 <wf:loopCharacteristics inputCollection="=items" outputElement="=item"/></extensionElements></multiInstanceLoopCharacteristics></userTask>"#,
        ),
        expected: &["missing-loop-characteristics A", "loop-output B"],
    },
    Case {
        name: "header keys are unique and not reserved",
        source: Process(
            r#"<startEvent id="S"/><serviceTask id="A"><extensionElements><wf:taskDefinition type="t"/><wf:taskHeaders>
                 <wf:header key="a" value="1"/><wf:header key="a" value="2"/><wf:header key="io.camunda.zeebe:x" value="3"/>
                 <wf:header value="4"/><wf:header key="b"/></wf:taskHeaders></extensionElements></serviceTask>"#,
        ),
        expected: &["task-header A", "task-header A", "task-header A", "task-header A"],
    },
    Case {
        name: "forms, schedules and candidates of a user task",
        source: Process(
            r#"<startEvent id="S"/><userTask id="A"><extensionElements><wf:formDefinition formKey="k" formId="i"/>
                 <wf:taskSchedule dueDate="tomorrow" followUpDate="2026-11-22T10:15:30Z"/>
                 <wf:assignmentDefinition candidateGroups="a,,b"/><wf:priorityDefinition priority="101"/>
               </extensionElements></userTask>"#,
        ),
        expected: &["form-definition A", "user-task-value A", "user-task-value A", "user-task-value A"],
    },
    Case {
        name: "listeners stand where they can run, once",
        source: Process(
            r#"<startEvent id="S"><extensionElements><wf:executionListeners><wf:executionListener eventType="start" type="t"/></wf:executionListeners></extensionElements></startEvent>
               <userTask id="A"><extensionElements><wf:executionListeners>
                 <wf:executionListener eventType="end" type="t"/><wf:executionListener eventType="end" type="t"/></wf:executionListeners></extensionElements></userTask>"#,
        ),
        expected: &["execution-listener S", "execution-listener A"],
    },
    // Gateways and flows.
    Case {
        name: "every way out of a decision has a condition or is the default",
        source: Process(
            r#"<startEvent id="S"/><endEvent id="E"/><exclusiveGateway id="X" default="a"><outgoing>a</outgoing><outgoing>b</outgoing></exclusiveGateway>
               <sequenceFlow id="a" sourceRef="X" targetRef="E"/><sequenceFlow id="b" sourceRef="X" targetRef="E"/>"#,
        ),
        expected: &["missing-condition b"],
    },
    Case {
        name: "the default starts at its gateway",
        source: Process(
            r#"<startEvent id="S"/><endEvent id="E"/><exclusiveGateway id="X" default="a"/><sequenceFlow id="a" sourceRef="S" targetRef="E"/>"#,
        ),
        expected: &["default-flow X"],
    },
    Case {
        name: "only decisions ask",
        source: Process(
            r#"<startEvent id="S"><outgoing>a</outgoing></startEvent><endEvent id="E"/>
               <sequenceFlow id="a" sourceRef="S" targetRef="E"><conditionExpression>=yes</conditionExpression></sequenceFlow>"#,
        ),
        expected: &["misplaced-condition a"],
    },
    Case {
        name: "an event-based gateway waits for events that only it leads to",
        source: Process(
            r#"<startEvent id="S"/><eventBasedGateway id="X"><outgoing>a</outgoing></eventBasedGateway><userTask id="T"/>
               <sequenceFlow id="a" sourceRef="X" targetRef="T"/>"#,
        ),
        expected: &["event-gateway-flows X", "event-gateway-target T"],
    },
    Case {
        name: "references resolve to the right kind",
        source: Process(
            r#"<startEvent id="S"><outgoing>nothing</outgoing></startEvent><dataObject id="D"/>
               <sequenceFlow id="a" sourceRef="S" targetRef="D"/>"#,
        ),
        expected: &["flow-reference S", "flow-reference a"],
    },
    Case {
        name: "a flow stays in its process",
        source: Definitions(
            r#"<process id="P" isExecutable="true"><startEvent id="S"/><sequenceFlow id="a" sourceRef="S" targetRef="T"/></process>
               <process id="Q" isExecutable="true"><startEvent id="T"/></process>"#,
        ),
        expected: &["flow-reference a"],
    },
    // Expressions.
    Case {
        name: "a condition is an expression",
        source: Process(
            r#"<startEvent id="S"/><endEvent id="E"/><exclusiveGateway id="X"/>
               <sequenceFlow id="a" sourceRef="X" targetRef="E"><conditionExpression>${total > 3}</conditionExpression></sequenceFlow>
               <sequenceFlow id="b" sourceRef="X" targetRef="E"><conditionExpression>=total == 3</conditionExpression></sequenceFlow>"#,
        ),
        expected: &["expression-expected a", "feel-syntax b"],
    },
    Case {
        name: "mappings have a source and a path",
        source: Process(
            r#"<startEvent id="S"/><userTask id="A"><extensionElements><wf:ioMapping>
                 <wf:input target="a.b"/><wf:input source="constant" target="a"/>
                 <wf:output source="constant" target="b"/><wf:output source="=a" target="a-b"/></wf:ioMapping></extensionElements></userTask>"#,
        ),
        expected: &["expression-expected A", "expression-expected A", "path-syntax A"],
    },
    Case {
        name: "quotation marks of a word processor are no FEEL, wherever an expression may stand",
        source: Definitions(
            r#"<message id="M1" name="=“a”"><extensionElements><wf:subscription correlationKey="=“a”"/></extensionElements></message>
               <signal id="G1" name="=“a”"/><error id="R1" errorCode="=“a”"/><escalation id="L1" escalationCode="=“a”"/>
               <timerEventDefinition id="D1"><timeDuration>=“a”</timeDuration></timerEventDefinition>
               <process id="P" isExecutable="true"><startEvent id="S"/>
               <sequenceFlow id="F1" sourceRef="X" targetRef="E1"><conditionExpression>=a = “b”</conditionExpression></sequenceFlow>
               <exclusiveGateway id="X"/><endEvent id="E1"><errorEventDefinition errorRef="R1"/></endEvent>
               <endEvent id="E2"><escalationEventDefinition escalationRef="L1"/></endEvent>
               <serviceTask id="A"><extensionElements><wf:taskDefinition type="=“a”" retries="=“a”"/>
                 <wf:ioMapping><wf:input source="=“a”" target="a"/><wf:output source="=“a”" target="a"/></wf:ioMapping>
                 <wf:executionListeners><wf:executionListener eventType="start" type="=“a”" retries="=“a”"/></wf:executionListeners></extensionElements></serviceTask>
               <callActivity id="B"><extensionElements><wf:calledElement processId="=“a”"/></extensionElements></callActivity>
               <businessRuleTask id="C"><extensionElements><wf:calledDecision decisionId="=“a”" resultVariable="r"/></extensionElements></businessRuleTask>
               <scriptTask id="D"><extensionElements><wf:script expression="=“a”" resultVariable="r"/></extensionElements></scriptTask>
               <userTask id="U"><extensionElements><wf:userTask/><wf:formDefinition externalReference="=“a”"/>
                 <wf:assignmentDefinition assignee="=“a”" candidateGroups="=“a”" candidateUsers="=“a”"/>
                 <wf:taskSchedule dueDate="=“a”" followUpDate="=“a”"/><wf:priorityDefinition priority="=“a”"/>
                 <wf:taskListeners><wf:taskListener eventType="creating" type="=“a”" retries="=“a”"/></wf:taskListeners></extensionElements>
                 <multiInstanceLoopCharacteristics><extensionElements>
                   <wf:loopCharacteristics inputCollection="=“a”" outputCollection="r" outputElement="=“a”"/></extensionElements>
                   <completionCondition>=“a”</completionCondition></multiInstanceLoopCharacteristics></userTask>
               <sendTask id="V" messageRef="M1"><extensionElements>
                 <wf:publishMessage correlationKey="=“a”" messageId="=“a”" timeToLive="=“a”"/></extensionElements></sendTask>
               <intermediateThrowEvent id="W"><messageEventDefinition messageRef="M1"><extensionElements>
                 <wf:publishMessage correlationKey="=“a”"/></extensionElements></messageEventDefinition></intermediateThrowEvent>
               <receiveTask id="Y" messageRef="M1"/>
               <intermediateCatchEvent id="T1"><timerEventDefinition><timeDate>=“a”</timeDate></timerEventDefinition></intermediateCatchEvent>
               <intermediateCatchEvent id="T2"><timerEventDefinition><timeDuration>=“a”</timeDuration></timerEventDefinition></intermediateCatchEvent>
               <intermediateCatchEvent id="T3"><signalEventDefinition signalRef="G1"/></intermediateCatchEvent>
               <intermediateCatchEvent id="T4"><eventDefinitionRef>D1</eventDefinitionRef></intermediateCatchEvent>
               <intermediateCatchEvent id="T5"><conditionalEventDefinition><condition>=a = “b”</condition></conditionalEventDefinition></intermediateCatchEvent></process>"#,
        ),
        expected: &[
            "feel-syntax M1",
            "feel-syntax M1",
            "feel-syntax G1",
            "feel-syntax R1",
            "feel-syntax L1",
            "feel-syntax",
            "feel-syntax F1",
            "feel-syntax A",
            "feel-syntax A",
            "feel-syntax A",
            "feel-syntax A",
            "feel-syntax A",
            "feel-syntax A",
            "feel-syntax B",
            "feel-syntax C",
            "feel-syntax D",
            "feel-syntax U",
            "feel-syntax U",
            "feel-syntax U",
            "feel-syntax U",
            "feel-syntax U",
            "feel-syntax U",
            "feel-syntax U",
            "feel-syntax U",
            "feel-syntax U",
            "feel-syntax U",
            "feel-syntax U",
            "feel-syntax U",
            "feel-syntax V",
            "feel-syntax V",
            "feel-syntax V",
            "feel-syntax W",
            "feel-syntax T1",
            "feel-syntax T2",
            "event-definition-count T4",
            "catch-event-type T5",
            "event-definition-type T5",
            "feel-syntax T5",
        ],
    },
];
