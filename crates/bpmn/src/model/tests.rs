use std::collections::BTreeMap;

use rstest::rstest;
use serde_json::json;

use super::{
    Definitions, Element, ElementIndex, ElementKind, Flow, FlowIndex, Process, Retries, ServiceTask,
};
use crate::feel::{self, Expr};

fn element(id: &str, name: &str, kind: ElementKind, incoming: &[u32], outgoing: &[u32]) -> Element {
    Element {
        id: id.to_owned(),
        name: Some(name.to_owned()),
        kind,
        incoming: incoming.iter().copied().map(FlowIndex).collect(),
        outgoing: outgoing.iter().copied().map(FlowIndex).collect(),
    }
}

fn flow(id: &str, name: Option<&str>, source: u32, target: u32, condition: Option<Expr>) -> Flow {
    Flow {
        id: id.to_owned(),
        name: name.map(str::to_owned),
        source: ElementIndex(source),
        target: ElementIndex(target),
        condition,
    }
}

#[test]
fn model_is_the_graph_of_the_document() {
    let charge = ServiceTask {
        job_type: "charge-payment".to_owned(),
        retries: Retries::Fixed(5),
        headers: BTreeMap::from([("region".to_owned(), "eu".to_owned())]),
    };
    let refund = ServiceTask {
        job_type: "refund-payment".to_owned(),
        retries: Retries::Expression(feel::parse("attempts").unwrap()),
        headers: BTreeMap::new(),
    };
    let expected = Definitions {
        processes: vec![Process {
            id: "order".to_owned(),
            name: Some("Order".to_owned()),
            is_executable: true,
            version_tag: Some("v1.2.3".to_owned()),
            elements: vec![
                element("Start_received", "Order received", ElementKind::StartEvent, &[], &[0]),
                element("Task_charge", "Charge payment", ElementKind::ServiceTask(charge), &[0], &[1]),
                element(
                    "Gateway_paid",
                    "Paid?",
                    ElementKind::ExclusiveGateway { default: Some(FlowIndex(3)) },
                    &[1],
                    &[2, 3],
                ),
                element("Task_refund", "Refund payment", ElementKind::ServiceTask(refund), &[3], &[4]),
                element("End_done", "Order paid", ElementKind::EndEvent, &[2], &[]),
                element("End_refunded", "Order refunded", ElementKind::EndEvent, &[4], &[]),
            ],
            flows: vec![
                flow("Flow_1", None, 0, 1, None),
                flow("Flow_2", None, 1, 2, None),
                flow("Flow_yes", Some("yes"), 2, 4, feel::parse("payment.ok and total > 0").ok()),
                flow("Flow_no", Some("no"), 2, 3, None),
                flow("Flow_3", None, 3, 5, None),
            ],
            start: ElementIndex(0),
        }],
    };
    let definitions = crate::parse(include_bytes!("../../testdata/order.bpmn")).unwrap();
    assert_eq!(definitions, expected);

    let process = &definitions.processes[0];
    assert_eq!(process.element_by_id("Task_refund"), Some(ElementIndex(3)));
    assert_eq!(process.flow_by_id("Flow_no"), Some(FlowIndex(3)));
    assert_eq!(process.element(process.flow(FlowIndex(3)).target).id, "Task_refund");
    assert_eq!(process.job_types().into_iter().collect::<Vec<_>>(), ["charge-payment", "refund-payment"]);
}

#[rstest]
#[case(json!({"attempts": 7}), Some(7))]
#[case(json!({"attempts": 0}), None)]
#[case(json!({"attempts": 101}), None)]
#[case(json!({"attempts": 2.5}), None)]
#[case(json!({"attempts": "3"}), None)]
#[case(json!({}), None)]
fn retries_resolve_to_a_number_that_the_engine_allows(
    #[case] variables: serde_json::Value,
    #[case] expected: Option<u32>,
) {
    let retries = Retries::Expression(feel::parse("attempts").unwrap());
    assert_eq!(retries.resolve(&variables), expected);
}

#[test]
fn missing_retries_are_three() {
    assert_eq!(super::retries(None), Some(Retries::Fixed(3)));
}
