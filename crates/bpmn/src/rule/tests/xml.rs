use super::Source::{Definitions, Document, Process};
use super::{Case, check};
use crate::{Class, Mode};

#[test]
fn documents_outside_the_schema_are_refused() {
    check(CASES, Mode::Lenient, &[Class::Xml]);
}

pub(super) const CASES: &[Case] = &[
    Case {
        name: "a complete process is valid",
        source: Process(
            r#"<startEvent id="S"><outgoing>f</outgoing></startEvent>
               <sequenceFlow id="f" sourceRef="S" targetRef="E"/>
               <endEvent id="E"><incoming>f</incoming></endEvent>"#,
        ),
        expected: &[],
    },
    Case {
        name: "a document type may define entities",
        source: Document("<!DOCTYPE definitions [<!ENTITY a \"b\">]><definitions/>"),
        expected: &["xml-doctype"],
    },
    Case {
        name: "an element is not closed",
        source: Document("<definitions>"),
        expected: &["xml-malformed"],
    },
    Case { name: "an empty document", source: Document(""), expected: &["xml-malformed"] },
    Case {
        name: "an entity is unknown",
        source: Definitions("<message id=\"M\" name=\"&what;\"/>"),
        expected: &["xml-malformed"],
    },
    Case { name: "the root is of no namespace", source: Document("<definitions/>"), expected: &["xml-root"] },
    Case {
        name: "an element is unknown",
        source: Process(r#"<startEvent id="S"/><widget id="W"/>"#),
        expected: &["schema-element W"],
    },
    Case {
        name: "an element is of another namespace",
        source: Process(r#"<startEvent id="S"/><wf:task id="W"/>"#),
        expected: &["schema-element P"],
    },
    Case {
        name: "outgoing stands before incoming",
        source: Process(
            r#"<startEvent id="S"/><sequenceFlow id="f" sourceRef="S" targetRef="T"/>
               <sequenceFlow id="g" sourceRef="T" targetRef="S"/>
               <task id="T"><outgoing>g</outgoing><incoming>f</incoming></task>"#,
        ),
        expected: &["schema-element T"],
    },
    Case {
        name: "an edge has one point",
        source: Definitions(
            r#"<process id="P" isExecutable="true"><startEvent id="S"/></process>
               <bpmndi:BPMNDiagram><bpmndi:BPMNPlane><bpmndi:BPMNEdge id="e"/></bpmndi:BPMNPlane></bpmndi:BPMNDiagram>"#,
        ),
        expected: &["schema-element"],
    },
    Case {
        name: "an attribute is unknown",
        source: Process(r#"<startEvent id="S" colour="red"/>"#),
        expected: &["schema-attribute S"],
    },
    Case {
        name: "an attribute of another namespace is allowed",
        source: Process(r#"<startEvent id="S" wf:colour="red"/>"#),
        expected: &[],
    },
    Case {
        name: "a required attribute is missing",
        source: Process(r#"<startEvent id="S"/><sequenceFlow id="f" sourceRef="S"/>"#),
        expected: &["schema-attribute f"],
    },
    Case {
        name: "a boolean is neither true nor false",
        source: Definitions(r#"<process id="P" isExecutable="yes"/>"#),
        expected: &["schema-attribute P"],
    },
    Case {
        name: "a prefix is not declared",
        source: Process(r#"<startEvent id="S"><messageEventDefinition messageRef="what:M"/></startEvent>"#),
        expected: &["schema-attribute S"],
    },
    Case {
        name: "an id is not an XML name",
        source: Process(r#"<startEvent id="1 start"/>"#),
        expected: &["schema-attribute 1 start"],
    },
    Case {
        name: "text stands between elements",
        source: Process(r#"here <startEvent id="S"/>"#),
        expected: &["schema-text P"],
    },
    Case {
        name: "a type is unknown",
        source: Process(
            r#"<startEvent id="S"/><endEvent id="E"/><sequenceFlow id="f" sourceRef="S" targetRef="E">
               <conditionExpression xsi:type="tWhatever">= a</conditionExpression></sequenceFlow>"#,
        ),
        expected: &["schema-type f"],
    },
    Case {
        name: "a formal expression may name its language",
        source: Process(
            r#"<startEvent id="S"/><endEvent id="E"/><sequenceFlow id="f" sourceRef="S" targetRef="E">
               <conditionExpression xsi:type="tFormalExpression" language="feel">= a</conditionExpression></sequenceFlow>"#,
        ),
        expected: &[],
    },
    Case {
        name: "an id is used twice",
        source: Process(r#"<startEvent id="S"/><endEvent id="S"/>"#),
        expected: &["duplicate-id S"],
    },
    Case {
        name: "a flow leads nowhere",
        source: Process(r#"<startEvent id="S"/><sequenceFlow id="f" sourceRef="S" targetRef="E"/>"#),
        expected: &["unresolved-id f"],
    },
];
