use super::super::Case;
use super::super::Source::{Definitions, Process};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "a boundary event is attached to an activity and has an outgoing flow",
        source: Process(
            r#"<startEvent id="S"/><sequenceFlow id="f" sourceRef="S" targetRef="B"/>
               <boundaryEvent id="B" attachedToRef="S"><incoming>f</incoming><timerEventDefinition><timeDuration>PT1S</timeDuration></timerEventDefinition></boundaryEvent>"#,
        ),
        expected: &["boundary-event-outgoing B", "boundary-event-incoming B", "boundary-event-host B"],
    },
    Case {
        name: "a compensation boundary event leads to its handler by an association",
        source: Process(
            r#"<startEvent id="S"/><userTask id="T"/><userTask id="H" isForCompensation="true"/>
               <boundaryEvent id="B" attachedToRef="T"><compensateEventDefinition/></boundaryEvent>
               <association sourceRef="B" targetRef="H"/>"#,
        ),
        expected: &[],
    },
    Case {
        name: "a compensation handler has no sequence flows",
        source: Process(
            r#"<startEvent id="S"/><sequenceFlow id="f" sourceRef="S" targetRef="H"/>
               <userTask id="H" isForCompensation="true"><incoming>f</incoming></userTask>"#,
        ),
        expected: &["compensation-handler H"],
    },
    Case {
        name: "event definitions that their kind of event does not allow",
        source: Process(
            r#"<startEvent id="S"/><userTask id="T"/><sequenceFlow id="f" sourceRef="B" targetRef="E"/>
               <boundaryEvent id="B" attachedToRef="T"><outgoing>f</outgoing><terminateEventDefinition/></boundaryEvent>
               <intermediateCatchEvent id="C"><terminateEventDefinition/></intermediateCatchEvent>
               <endEvent id="E"><linkEventDefinition name="l"/></endEvent>"#,
        ),
        expected: &["boundary-event-type B", "catch-event-type C", "end-event-type E"],
    },
    Case {
        name: "event definitions that are not supported",
        source: Process(
            r#"<startEvent id="S"><conditionalEventDefinition><condition/></conditionalEventDefinition></startEvent>"#,
        ),
        expected: &["event-definition-type S"],
    },
    Case {
        name: "too many and too few event definitions",
        source: Process(
            r#"<startEvent id="S"/><intermediateCatchEvent id="C"/>
               <endEvent id="E"><terminateEventDefinition/><terminateEventDefinition/></endEvent>"#,
        ),
        expected: &["event-definition-count C", "event-definition-count E"],
    },
    Case {
        name: "an end event has no outgoing flow",
        source: Process(
            r#"<startEvent id="S"/><sequenceFlow id="f" sourceRef="E" targetRef="S"/><endEvent id="E"><outgoing>f</outgoing></endEvent>"#,
        ),
        expected: &["end-event-outgoing E"],
    },
    Case {
        name: "an error always interrupts",
        source: Definitions(
            r#"<error id="X" errorCode="x"/><process id="P" isExecutable="true"><startEvent id="S"/><userTask id="T"/>
               <sequenceFlow id="f" sourceRef="B" targetRef="T"/>
               <boundaryEvent id="B" attachedToRef="T" cancelActivity="false"><outgoing>f</outgoing><errorEventDefinition errorRef="X"/></boundaryEvent></process>"#,
        ),
        expected: &["non-interrupting-event B"],
    },
    Case {
        name: "an escalation is caught at a sub-process or call activity, not at a task",
        source: Process(
            r#"<startEvent id="S"/><userTask id="T"/><sequenceFlow id="f" sourceRef="B" targetRef="T"/>
               <boundaryEvent id="B" attachedToRef="T"><outgoing>f</outgoing><escalationEventDefinition/></boundaryEvent>"#,
        ),
        expected: &["escalation-boundary-host B"],
    },
    Case {
        name: "a catching message event has a message with a name and a subscription",
        source: Definitions(
            r#"<message id="M"/><process id="P" isExecutable="true"><startEvent id="S"/>
               <intermediateCatchEvent id="A"><messageEventDefinition/></intermediateCatchEvent>
               <receiveTask id="B"/><receiveTask id="C" messageRef="M"/></process>"#,
        ),
        expected: &["message-name M", "missing-subscription M", "message-reference A", "message-reference B"],
    },
    Case {
        name: "a message of a start event has a constant name and only one start event",
        source: Definitions(
            r#"<message id="M" name="=order"/><process id="P" isExecutable="true">
               <startEvent id="S"><messageEventDefinition messageRef="M"/></startEvent>
               <startEvent id="T"><messageEventDefinition messageRef="M"/></startEvent></process>"#,
        ),
        expected: &["shared-start-message M", "start-name-expression M"],
    },
    Case {
        name: "a task and its boundary event wait for different messages",
        source: Definitions(
            r#"<message id="M" name="m"><extensionElements><wf:subscription correlationKey="=key"/></extensionElements></message>
               <process id="P" isExecutable="true"><startEvent id="S"/><receiveTask id="T" messageRef="M"/>
               <sequenceFlow id="f" sourceRef="B" targetRef="T"/>
               <boundaryEvent id="B" attachedToRef="T"><outgoing>f</outgoing><messageEventDefinition messageRef="M"/></boundaryEvent></process>"#,
        ),
        expected: &["receive-task-message B"],
    },
    Case {
        name: "timers",
        source: Process(
            r#"<startEvent id="S"/><intermediateCatchEvent id="A"><timerEventDefinition/></intermediateCatchEvent>
               <intermediateCatchEvent id="B"><timerEventDefinition><timeDuration>soon</timeDuration></timerEventDefinition></intermediateCatchEvent>
               <intermediateCatchEvent id="C"><timerEventDefinition><timeCycle>R3/PT1S</timeCycle></timerEventDefinition></intermediateCatchEvent>"#,
        ),
        expected: &["timer-cycle A", "timer-definition A", "timer-value B", "timer-cycle C"],
    },
    Case {
        name: "an interrupting timer fires once",
        source: Process(
            r#"<startEvent id="S"/><userTask id="T"/><sequenceFlow id="f" sourceRef="B" targetRef="T"/>
               <boundaryEvent id="B" attachedToRef="T"><outgoing>f</outgoing><timerEventDefinition><timeCycle>R/PT1S</timeCycle></timerEventDefinition></boundaryEvent>"#,
        ),
        expected: &["timer-cycle B"],
    },
    Case {
        name: "a timer that starts a process cannot depend on a variable",
        source: Process(
            r#"<startEvent id="S"><timerEventDefinition><timeDuration>=delay</timeDuration></timerEventDefinition></startEvent>"#,
        ),
        expected: &["timer-value S"],
    },
    Case {
        name: "events refer to errors, escalations and signals, which have a code or name",
        source: Definitions(
            r#"<error id="R"/><escalation id="L"/><signal id="G"/><process id="P" isExecutable="true">
               <startEvent id="S"><signalEventDefinition signalRef="G"/></startEvent>
               <startEvent id="T"><signalEventDefinition/></startEvent>
               <endEvent id="A"><errorEventDefinition/></endEvent><endEvent id="B"><errorEventDefinition errorRef="R"/></endEvent>
               <endEvent id="C"><escalationEventDefinition/></endEvent><endEvent id="D"><escalationEventDefinition escalationRef="L"/></endEvent></process>"#,
        ),
        expected: &[
            "signal-name G",
            "signal-reference T",
            "error-reference A",
            "error-code B",
            "escalation-reference C",
            "escalation-code D",
        ],
    },
    Case {
        name: "links have a name and a catching link event",
        source: Process(
            r#"<startEvent id="S"/><intermediateThrowEvent id="A"><linkEventDefinition name=""/></intermediateThrowEvent>
               <intermediateThrowEvent id="B"><linkEventDefinition name="l"/></intermediateThrowEvent>"#,
        ),
        expected: &["link-name A", "link-pair B"],
    },
    Case {
        name: "an error is caught by one boundary event",
        source: Definitions(
            r#"<error id="R" errorCode="r"/><process id="P" isExecutable="true"><startEvent id="S"/><userTask id="T"/>
               <sequenceFlow id="f" sourceRef="A" targetRef="T"/><sequenceFlow id="g" sourceRef="B" targetRef="T"/>
               <boundaryEvent id="A" attachedToRef="T"><outgoing>f</outgoing><errorEventDefinition errorRef="R"/></boundaryEvent>
               <boundaryEvent id="B" attachedToRef="T"><outgoing>g</outgoing><errorEventDefinition errorRef="R"/></boundaryEvent></process>"#,
        ),
        expected: &["duplicate-event B"],
    },
    Case {
        name: "an escalation event without a code excludes other escalation events",
        source: Definitions(
            r#"<escalation id="L" escalationCode="l"/><process id="P" isExecutable="true"><startEvent id="S"/>
               <subProcess id="T"><startEvent id="T1"/></subProcess>
               <sequenceFlow id="f" sourceRef="A" targetRef="T"/><sequenceFlow id="g" sourceRef="B" targetRef="T"/>
               <boundaryEvent id="A" attachedToRef="T"><outgoing>f</outgoing><escalationEventDefinition/></boundaryEvent>
               <boundaryEvent id="B" attachedToRef="T"><outgoing>g</outgoing><escalationEventDefinition escalationRef="L"/></boundaryEvent></process>"#,
        ),
        expected: &["duplicate-event B"],
    },
    Case {
        name: "compensation waits for completion, and its activity is in its scope",
        source: Process(
            r#"<startEvent id="S"/><userTask id="T"/>
               <endEvent id="A"><compensateEventDefinition waitForCompletion="false"/></endEvent>
               <endEvent id="B"><compensateEventDefinition activityRef="Nothing"/></endEvent>
               <endEvent id="C"><compensateEventDefinition activityRef="T"/></endEvent>"#,
        ),
        expected: &["compensation-wait A", "compensation-activity B", "compensation-activity C"],
    },
];
