use super::super::Case;
use super::super::Source::{Definitions, Process};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "every outgoing flow of a decision has a condition or is the default",
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
        name: "only flows of decisions have conditions",
        source: Process(
            r#"<startEvent id="S"><outgoing>a</outgoing></startEvent><endEvent id="E"/>
               <sequenceFlow id="a" sourceRef="S" targetRef="E"><conditionExpression>=yes</conditionExpression></sequenceFlow>"#,
        ),
        expected: &["misplaced-condition a"],
    },
    Case {
        name: "an event-based gateway has two or more flows, all to catch events",
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
];
