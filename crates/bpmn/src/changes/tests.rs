use rstest::rstest;

use super::{Changes, compare};
use crate::model::Definitions;
use crate::parse;

const ORDER: &str = include_str!("../../testdata/order.bpmn");

fn parsed(document: &str) -> Definitions {
    parse(document.as_bytes()).unwrap_or_else(|report| panic!("{report:?} in {document}"))
}

/// What an edit of the sample document changes.
fn edited(text: &str, replacement: &str) -> Changes {
    assert_eq!(ORDER.matches(text).count(), 1, "{text}");
    compare(&parsed(ORDER), &parsed(&ORDER.replace(text, replacement)))
}

fn owned(ids: &[&str]) -> Vec<String> {
    ids.iter().copied().map(str::to_owned).collect()
}

fn only_changed(ids: &[&str]) -> Changes {
    Changes { changed: owned(ids), ..Changes::default() }
}

#[rstest]
#[case::job_type(r#"type="charge-payment""#, r#"type="charge-card""#, &["Task_charge"])]
#[case::retries(r#"retries="5""#, r#"retries="6""#, &["Task_charge"])]
#[case::no_retries_are_three(r#" retries="5""#, "", &["Task_charge"])]
#[case::retries_expression("=attempts", "=attempts + 1", &["Task_refund"])]
#[case::header_value(r#"value="eu""#, r#"value="us""#, &["Task_charge"])]
#[case::header_key(r#"key="region""#, r#"key="zone""#, &["Task_charge"])]
#[case::header_gone(r#"<wf:header key="region" value="eu"/>"#, "", &["Task_charge"])]
#[case::condition("total &gt; 0", "total &gt; 1", &["Flow_yes"])]
#[case::target(r#"sourceRef="Gateway_paid" targetRef="Task_refund""#, r#"sourceRef="Gateway_paid" targetRef="End_done""#, &["Flow_no"])]
fn what_the_engine_acts_on_is_a_change(
    #[case] text: &str,
    #[case] replacement: &str,
    #[case] changed: &[&str],
) {
    assert_eq!(edited(text, replacement), only_changed(changed));
}

#[rstest]
#[case::name(r#"name="Charge payment""#, r#"name="Charge the card""#)]
#[case::name_of_the_process(r#"name="Order" "#, "")]
#[case::version_tag("v1.2.3", "v2")]
#[case::documentation(
    r#"<bpmn:startEvent id="Start_received" name="Order received">"#,
    r#"<bpmn:startEvent id="Start_received"><bpmn:documentation>new</bpmn:documentation>"#
)]
#[case::constant_job_type(r#"type="charge-payment""#, r#"type="=&quot;charge-payment&quot;""#)]
#[case::blanks_of_a_number(r#"retries="5""#, r#"retries=" 5 ""#)]
#[case::blanks_of_a_condition("=payment.ok and total &gt; 0", "=\n payment.ok  and(total&gt;0.0)\n")]
#[case::shape(r#"x="100" y="100""#, r#"x="900" y="-7""#)]
#[case::shape_gone(r#"<bpmndi:BPMNShape id="Shape_charge" bpmnElement="Task_charge"><dc:Bounds x="190" y="78" width="100" height="80"/></bpmndi:BPMNShape>"#, "")]
#[case::declared_flow("<bpmn:incoming>Flow_1</bpmn:incoming>", "")]
fn what_the_engine_does_not_act_on_is_none(#[case] text: &str, #[case] replacement: &str) {
    assert_eq!(edited(text, replacement), Changes::default());
}

#[test]
fn a_task_that_is_put_in_changes_the_flow_before_it_and_neither_neighbour() {
    let changes = edited(
        r#"<bpmn:sequenceFlow id="Flow_1" sourceRef="Start_received" targetRef="Task_charge"/>"#,
        r#"<bpmn:sequenceFlow id="Flow_1" sourceRef="Start_received" targetRef="Task_check"/>
           <bpmn:serviceTask id="Task_check"><bpmn:extensionElements><wf:taskDefinition type="check"/></bpmn:extensionElements></bpmn:serviceTask>
           <bpmn:sequenceFlow id="Flow_check" sourceRef="Task_check" targetRef="Task_charge"/>"#,
    );
    let expected = Changes {
        added: owned(&["Flow_check", "Task_check"]),
        changed: owned(&["Flow_1"]),
        ..Changes::default()
    };
    assert_eq!(changes, expected);
}

/// start → gateway → a service task and an end event, over `flows`.
fn fork(gateway: &str, flows: &str) -> Definitions {
    parsed(&format!(
        r#"<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" xmlns:wf="http://workflow.example.com/schema/1.0" targetNamespace="t">
        <process id="order" isExecutable="true">
          <startEvent id="start"/><sequenceFlow id="in" sourceRef="start" targetRef="gateway"/>
          {gateway}
          <serviceTask id="work"><extensionElements><wf:taskDefinition type="work"/></extensionElements></serviceTask>
          <endEvent id="end"/><sequenceFlow id="out" sourceRef="work" targetRef="end"/>
          {flows}
        </process></definitions>"#
    ))
}

const TO_WORK: &str = r#"<sequenceFlow id="a" sourceRef="gateway" targetRef="work"><conditionExpression>=a</conditionExpression></sequenceFlow>"#;
const TO_END: &str = r#"<sequenceFlow id="b" sourceRef="gateway" targetRef="end"><conditionExpression>=b</conditionExpression></sequenceFlow>"#;
const TO_END_TOO: &str = r#"<sequenceFlow id="c" sourceRef="gateway" targetRef="end"><conditionExpression>=c</conditionExpression></sequenceFlow>"#;
const EXCLUSIVE: &str = r#"<exclusiveGateway id="gateway"/>"#;

#[test]
fn an_exclusive_gateway_is_changed_by_the_order_and_the_choice_of_its_flows() {
    let former = fork(EXCLUSIVE, &[TO_WORK, TO_END].concat());
    let swapped = fork(EXCLUSIVE, &[TO_END, TO_WORK].concat());
    assert_eq!(compare(&former, &swapped), only_changed(&["gateway"]));
    let with_default = fork(r#"<exclusiveGateway id="gateway" default="b"/>"#, &[TO_WORK, TO_END].concat());
    assert_eq!(compare(&former, &with_default), only_changed(&["gateway"]));
    let moved = fork(r#"<exclusiveGateway id="gateway" default="b"/>"#, &[TO_END, TO_WORK].concat());
    assert_eq!(compare(&with_default, &moved), Changes::default(), "the default flow is tried last anyhow");
    let wider = fork(EXCLUSIVE, &[TO_WORK, TO_END, TO_END_TOO].concat());
    let expected = Changes { added: owned(&["c"]), changed: owned(&["gateway"]), ..Changes::default() };
    assert_eq!(compare(&former, &wider), expected);
}

#[test]
fn a_parallel_gateway_is_changed_by_what_it_waits_for() {
    let parallel = r#"<parallelGateway id="gateway"/>"#;
    let to_work = r#"<sequenceFlow id="a" sourceRef="gateway" targetRef="work"/>"#;
    let to_end = r#"<sequenceFlow id="b" sourceRef="gateway" targetRef="end"/>"#;
    let back = r#"<sequenceFlow id="c" sourceRef="work" targetRef="gateway"/>"#;
    let former = fork(parallel, to_work);
    let wider = fork(parallel, &[to_work, to_end].concat());
    let expected = Changes { added: owned(&["b"]), ..Changes::default() };
    assert_eq!(compare(&former, &wider), expected, "the new flow says all of it");
    let joins = fork(parallel, &[to_work, back].concat());
    let expected = Changes { added: owned(&["c"]), changed: owned(&["gateway"]), ..Changes::default() };
    assert_eq!(compare(&former, &joins), expected);
    let renamed = fork(parallel, &[to_work, &back.replace(r#"id="c""#, r#"id="d""#)].concat());
    let expected = Changes {
        added: owned(&["d"]),
        removed: owned(&["c"]),
        changed: owned(&["gateway"]),
        removed_nodes: Vec::new(),
    };
    assert_eq!(compare(&joins, &renamed), expected);
}

#[test]
fn an_element_of_another_kind_with_the_same_id_is_changed() {
    let flow = r#"<sequenceFlow id="a" sourceRef="gateway" targetRef="work"/>"#;
    let parallel = fork(r#"<parallelGateway id="gateway"/>"#, flow);
    assert_eq!(compare(&fork(EXCLUSIVE, flow), &parallel), only_changed(&["gateway"]));
}

#[test]
fn a_flow_with_the_id_of_a_former_node_is_another_element() {
    let former =
        fork(EXCLUSIVE, r#"<sequenceFlow id="a" sourceRef="gateway" targetRef="b"/><endEvent id="b"/>"#);
    let new =
        fork(EXCLUSIVE, r#"<sequenceFlow id="b" sourceRef="gateway" targetRef="a"/><endEvent id="a"/>"#);
    let both = || owned(&["a", "b"]);
    let expected = Changes {
        added: both(),
        removed: both(),
        changed: owned(&["gateway"]),
        removed_nodes: owned(&["b"]),
    };
    assert_eq!(compare(&former, &new), expected);
}

#[test]
fn everything_of_another_process_id_is_removed_and_added() {
    let changes = edited(r#"<bpmn:process id="order""#, r#"<bpmn:process id="order2""#);
    let nodes =
        owned(&["End_done", "End_refunded", "Gateway_paid", "Start_received", "Task_charge", "Task_refund"]);
    let all = owned(&[
        "End_done",
        "End_refunded",
        "Flow_1",
        "Flow_2",
        "Flow_3",
        "Flow_no",
        "Flow_yes",
        "Gateway_paid",
        "Start_received",
        "Task_charge",
        "Task_refund",
    ]);
    let expected = Changes { added: all.clone(), removed: all, changed: Vec::new(), removed_nodes: nodes };
    assert_eq!(changes, expected);
}
