use super::Source::{Definitions, Process};
use super::{Case, check};
use crate::{Class, Mode};

#[test]
fn elements_that_the_engine_does_not_execute_are_refused() {
    check(CASES, Mode::Lenient, &[Class::EngineCapability]);
}

#[test]
fn too_many_job_types_are_one_finding() {
    let body = |types: usize| {
        let task = |n: usize| {
            let job = format!(r#"<wf:taskDefinition type="type-{}"/>"#, n % types);
            format!(r#"<serviceTask id="T{n:03}"><extensionElements>{job}</extensionElements></serviceTask>"#)
        };
        let tasks = (0..=types).map(task).collect::<Vec<_>>().concat();
        let document = super::Source::Process("").document();
        document.replace("</process>", &format!(r#"<startEvent id="S"/>{tasks}</process>"#))
    };
    let found = |types| {
        let report = crate::lint(body(types).as_bytes(), Mode::Lenient);
        let findings = report.findings.iter().filter(|finding| finding.rule_id() == "capability-job-types");
        findings.map(|finding| (finding.element_id.clone(), finding.message.clone())).collect::<Vec<_>>()
    };
    assert_eq!(found(500), []);
    let reported = "502 job types in one file, at most 500 are executed".to_owned();
    assert_eq!(found(502), [(Some("T500".to_owned()), reported)]);
}

pub(super) const CASES: &[Case] = &[
    Case {
        name: "start, service task, gateways and end are executed",
        source: Process(
            r#"<startEvent id="S"/><sequenceFlow id="a" sourceRef="S" targetRef="T"/>
               <serviceTask id="T"><extensionElements>
                 <wf:taskDefinition type="=&quot;charge&quot;" retries="=attempts"/>
                 <wf:taskHeaders><wf:header key="k" value="v"/></wf:taskHeaders></extensionElements></serviceTask>
               <sequenceFlow id="b" sourceRef="T" targetRef="X"/><exclusiveGateway id="X" default="d"/>
               <sequenceFlow id="c" sourceRef="X" targetRef="E"><conditionExpression>=total &gt; 3</conditionExpression></sequenceFlow>
               <sequenceFlow id="d" sourceRef="X" targetRef="Y"/><parallelGateway id="Y"/>
               <sequenceFlow id="e" sourceRef="Y" targetRef="E"/><endEvent id="E"/>"#,
        ),
        expected: &[],
    },
    Case {
        name: "tasks of other kinds",
        source: Process(
            r#"<startEvent id="S"/><task id="T1"/><userTask id="T2"/><manualTask id="T3"/><scriptTask id="T4"/>
               <businessRuleTask id="T5"/><sendTask id="T6"/><receiveTask id="T7"/><callActivity id="T8"/>"#,
        ),
        expected: &[
            "capability-undefined-task T1",
            "capability-user-task T2",
            "capability-manual-task T3",
            "capability-script-task T4",
            "capability-business-rule-task T5",
            "capability-send-task T6",
            "capability-receive-task T7",
            "capability-call-activity T8",
        ],
    },
    Case {
        name: "sub-processes of every kind",
        source: Process(
            r#"<startEvent id="S"/><subProcess id="A"/><subProcess id="B" triggeredByEvent="true"/>
               <transaction id="C"/><adHocSubProcess id="D"/>"#,
        ),
        expected: &[
            "capability-sub-process A",
            "capability-sub-process B",
            "capability-sub-process C",
            "capability-sub-process D",
        ],
    },
    Case {
        name: "gateways of other kinds",
        source: Process(
            r#"<startEvent id="S"/><inclusiveGateway id="A"/><eventBasedGateway id="B"/><complexGateway id="C"/>"#,
        ),
        expected: &[
            "capability-inclusive-gateway A",
            "capability-event-based-gateway B",
            "capability-complex-gateway C",
        ],
    },
    Case {
        name: "events by definition",
        source: Process(
            r#"<startEvent id="S"/>
               <endEvent id="A"><messageEventDefinition/></endEvent><endEvent id="B"><timerEventDefinition/></endEvent>
               <endEvent id="C"><errorEventDefinition/></endEvent><endEvent id="D"><escalationEventDefinition/></endEvent>
               <endEvent id="E"><signalEventDefinition/></endEvent>
               <intermediateThrowEvent id="F"><linkEventDefinition name="l"/></intermediateThrowEvent>
               <endEvent id="G"><compensateEventDefinition/></endEvent>
               <intermediateCatchEvent id="H"><conditionalEventDefinition><condition/></conditionalEventDefinition></intermediateCatchEvent>
               <endEvent id="I"><terminateEventDefinition/></endEvent><endEvent id="J"><cancelEventDefinition/></endEvent>
               <intermediateThrowEvent id="K"/><boundaryEvent id="L" attachedToRef="S"/>
               <endEvent id="M"><eventDefinitionRef>D1</eventDefinitionRef></endEvent><implicitThrowEvent id="N"/>"#,
        ),
        expected: &[
            "capability-message-event A",
            "capability-timer-event B",
            "capability-error-event C",
            "capability-escalation-event D",
            "capability-signal-event E",
            "capability-link-event F",
            "capability-compensation G",
            "capability-conditional-event H",
            "capability-terminate-event I",
            "capability-cancel-event J",
            "capability-intermediate-event K",
            "capability-boundary-event L",
            "capability-event-reference M",
            "capability-element N",
        ],
    },
    Case {
        name: "a process without a none start event",
        source: Process(r#"<startEvent id="S"><timerEventDefinition/></startEvent>"#),
        expected: &["capability-start-event P", "capability-timer-event S"],
    },
    Case {
        name: "loops, compensation handlers and token quantities",
        source: Process(
            r#"<startEvent id="S"/>
               <serviceTask id="A"><multiInstanceLoopCharacteristics/></serviceTask>
               <serviceTask id="B" isForCompensation="true"/><serviceTask id="C" startQuantity="2"/>"#,
        ),
        expected: &["capability-multi-instance A", "capability-compensation B", "capability-quantity C"],
    },
    Case {
        name: "extension elements that would change the execution",
        source: Process(
            r#"<startEvent id="S"/>
               <serviceTask id="A"><extensionElements><wf:ioMapping/></extensionElements></serviceTask>
               <serviceTask id="B"><extensionElements><wf:executionListeners/></extensionElements></serviceTask>"#,
        ),
        expected: &["capability-io-mapping A", "capability-listener B"],
    },
    Case {
        name: "a job that depends on variables",
        source: Process(
            r#"<startEvent id="S"/>
               <serviceTask id="A"><extensionElements><wf:taskDefinition type="=kind"/></extensionElements></serviceTask>
               <serviceTask id="B"><extensionElements><wf:taskDefinition type="t" retries="0"/></extensionElements></serviceTask>
               <serviceTask id="C"><extensionElements><wf:taskDefinition type="t" retries="=max(a, b)"/></extensionElements></serviceTask>"#,
        ),
        expected: &["capability-job-type A", "capability-retries B", "capability-retries C"],
    },
    Case {
        name: "names that cannot be stored",
        source: Process(
            r#"<startEvent id="S"/>
               <serviceTask id="A"><extensionElements><wf:taskDefinition type="a&#x202e;b"/></extensionElements></serviceTask>"#,
        ),
        expected: &["capability-identifier A"],
    },
    Case {
        name: "jobs that no WorkflowWorker can serve",
        source: Process(
            r#"<startEvent id="S"/>
               <serviceTask id="A"><extensionElements><wf:taskDefinition type="charge "/></extensionElements></serviceTask>
               <serviceTask id="B"><extensionElements><wf:taskDefinition type=" =&quot;charge&quot;"/></extensionElements></serviceTask>
               <serviceTask id="C"><extensionElements><wf:taskDefinition type="=&quot;charge &quot;"/></extensionElements></serviceTask>
               <serviceTask id="D"><extensionElements><wf:taskDefinition type="=&quot;a\nb&quot;"/></extensionElements></serviceTask>
               <serviceTask id="E"><extensionElements><wf:taskDefinition type="a&#10;b"/></extensionElements></serviceTask>
               <serviceTask id="F"><extensionElements><wf:taskDefinition type="=&quot;&quot;"/></extensionElements></serviceTask>
               <serviceTask id="G"><extensionElements><wf:taskDefinition type="charge, refund"/></extensionElements></serviceTask>
               <serviceTask id="H"><extensionElements><wf:taskDefinition type="charge payment für alle"/></extensionElements></serviceTask>"#,
        ),
        expected: &[
            "capability-unservable-job-type A",
            "capability-unservable-job-type B",
            "capability-unservable-job-type C",
            "capability-unservable-job-type D",
            "capability-unservable-job-type E",
            "capability-unservable-job-type F",
            "capability-unservable-job-type G",
        ],
    },
    Case {
        name: "two processes in one document",
        source: Definitions(
            r#"<process id="P" isExecutable="true"><startEvent id="S"/></process><process id="D"/>
               <process id="Q" isExecutable="1"><startEvent id="T"/></process>"#,
        ),
        expected: &["capability-one-process"],
    },
    Case {
        name: "a condition outside the subset",
        source: Process(
            r#"<startEvent id="S"/><exclusiveGateway id="X"/><endEvent id="E"/>
               <sequenceFlow id="f" sourceRef="X" targetRef="E"><conditionExpression>=count(items) &gt; 3</conditionExpression></sequenceFlow>"#,
        ),
        expected: &["capability-feel f"],
    },
    Case {
        name: "flows that their elements do not declare",
        source: Process(
            r#"<startEvent id="S"/><exclusiveGateway id="X"/><endEvent id="E"/>
               <sequenceFlow id="a" sourceRef="E" targetRef="S"/>
               <sequenceFlow id="b" sourceRef="X" targetRef="E"/>
               <sequenceFlow id="c" sourceRef="X" targetRef="E"><conditionExpression>=yes</conditionExpression></sequenceFlow>
               <sequenceFlow id="d" sourceRef="S" targetRef="X"><conditionExpression>=yes</conditionExpression></sequenceFlow>"#,
        ),
        expected: &["capability-flow S", "capability-flow E", "capability-flow b", "capability-flow d"],
    },
];
