use super::super::Case;
use super::super::Source::{Definitions, Process};

pub(super) const CASES: &[Case] = &[
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
        name: "typographic quotation marks are not FEEL in any expression",
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
