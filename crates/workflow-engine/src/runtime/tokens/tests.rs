use engine_api::model::IncidentKind;
use rstest::rstest;
use serde_json::json;

use super::*;

fn process(body: &str) -> Process {
    let document = format!(
        r#"<bpmn:definitions xmlns:bpmn="http://www.omg.org/spec/BPMN/20100524/MODEL"
            xmlns:zeebe="http://camunda.org/schema/zeebe/1.0" id="d" targetNamespace="t">
            <bpmn:process id="p" isExecutable="true">{body}</bpmn:process></bpmn:definitions>"#
    );
    let definitions = bpmn::parse(document.as_bytes());
    definitions.expect("should be executable").processes.remove(0)
}

fn task(id: &str) -> String {
    task_with_retries(id, "3")
}

fn task_with_retries(id: &str, retries: &str) -> String {
    format!(
        r#"<bpmn:serviceTask id="{id}"><bpmn:extensionElements>
           <zeebe:taskDefinition type="{id}-type" retries="{retries}" /></bpmn:extensionElements></bpmn:serviceTask>"#
    )
}

fn node(kind: &str, id: &str) -> String {
    format!(r#"<bpmn:{kind} id="{id}" />"#)
}

/// "a>b" is a flow, "a>b if condition" a conditional one.
fn flows(flows: &[&str]) -> String {
    flows
        .iter()
        .map(|flow| {
            let (ends, condition) = flow.split_once(" if ").unwrap_or((flow, ""));
            let (source, target) = ends.split_once('>').expect("should be a flow");
            let condition = match condition {
                "" => String::new(),
                condition => format!("<bpmn:conditionExpression>={condition}</bpmn:conditionExpression>"),
            };
            format!(
                r#"<bpmn:sequenceFlow id="{source}_{target}" sourceRef="{source}" targetRef="{target}">{condition}</bpmn:sequenceFlow>"#
            )
        })
        .collect::<Vec<String>>()
        .concat()
}

fn job(element_id: &str) -> NewJob {
    NewJob { element_id: element_id.to_owned(), job_type: format!("{element_id}-type"), retries: 3 }
}

fn marking(resting: u32, arrived: &[(&str, u32)]) -> Marking {
    let arrived = arrived.iter().map(|(flow, count)| ((*flow).to_owned(), *count)).collect();
    Marking { resting, arrived, jobs: Vec::new() }
}

#[test]
fn a_process_without_tasks_completes_when_it_starts() {
    let process = process(&[node("startEvent", "s"), node("endEvent", "e"), flows(&["s>e"])].concat());
    let expected = Advance { completed: true, ..Advance::default() };
    assert_eq!(advance_start(&process, &json!({})), expected);
}

#[test]
fn a_token_waits_at_a_task_and_ends_after_it() {
    let process = process(
        &[node("startEvent", "s"), task("a"), node("endEvent", "e"), flows(&["s>a", "a>e"])].concat(),
    );
    let started = advance_start(&process, &json!({}));
    assert_eq!(started, Advance { marking: marking(1, &[]), jobs: vec![job("a")], ..Advance::default() });
    assert_eq!(
        advance_completed(&process, &started.marking, "a", &json!({})),
        Ok(Advance { completed: true, ..Advance::default() })
    );
}

/// s > fork > a, b > join > c > e
fn fork_and_join() -> Process {
    let elements = [
        node("startEvent", "s"),
        node("endEvent", "e"),
        node("parallelGateway", "fork"),
        node("parallelGateway", "join"),
        task("a"),
        task("b"),
        task("c"),
    ];
    process(
        &(elements.concat() + &flows(&["s>fork", "fork>a", "fork>b", "a>join", "b>join", "join>c", "c>e"])),
    )
}

#[test]
fn a_fork_creates_a_token_per_flow_and_a_join_merges_them() {
    let process = fork_and_join();
    let started = advance_start(&process, &json!({}));
    assert_eq!(
        started,
        Advance { marking: marking(2, &[]), jobs: vec![job("a"), job("b")], ..Advance::default() }
    );
    let half = advance_completed(&process, &started.marking, "b", &json!({})).expect("should move");
    assert_eq!(half, Advance { marking: marking(1, &[("b_join", 1)]), ..Advance::default() });
    let joined = advance_completed(&process, &half.marking, "a", &json!({})).expect("should move");
    assert_eq!(joined, Advance { marking: marking(1, &[]), jobs: vec![job("c")], ..Advance::default() });
    let ended = advance_completed(&process, &joined.marking, "c", &json!({})).expect("should move");
    assert_eq!(ended, Advance { completed: true, ..Advance::default() });
}

#[test]
fn a_second_token_on_one_flow_waits_for_the_next_join() {
    let process = fork_and_join();
    let before = marking(1, &[("a_join", 2)]);
    let joined = advance_completed(&process, &before, "b", &json!({})).expect("should move");
    assert_eq!(
        joined,
        Advance { marking: marking(1, &[("a_join", 1)]), jobs: vec![job("c")], ..Advance::default() }
    );
}

#[test]
fn a_join_that_no_token_can_reach_any_more_raises_an_incident() {
    let process = fork_and_join();
    // There is no token from b, as after an exclusive gateway that leads into a parallel join.
    let stuck = advance_completed(&process, &marking(1, &[]), "a", &json!({})).expect("should move");
    assert_eq!(
        stuck,
        Advance {
            marking: marking(0, &[("a_join", 1)]),
            incidents: vec![NewIncident {
                kind: IncidentKind::StuckJoin,
                element_id: "join".to_owned(),
                message: "the join waits for a token that can no longer come".to_owned(),
                flow_id: None,
                tokens: 0,
            }],
            ..Advance::default()
        }
    );
}

#[rstest]
#[case::first_true_in_document_order(json!({"n": 20}), "big")]
#[case::second(json!({"n": 7}), "medium")]
#[case::default(json!({"n": 1}), "small")]
#[case::missing_variable(json!({}), "small")]
fn an_exclusive_gateway_takes_one_flow(#[case] variables: Value, #[case] taken: &str) {
    let elements = [
        node("startEvent", "s"),
        node("endEvent", "e"),
        r#"<bpmn:exclusiveGateway id="x" default="x_small" />"#.to_owned(),
        task("big"),
        task("medium"),
        task("small"),
    ];
    let flows = flows(&[
        "s>x",
        "x>small",
        "x>big if n &gt; 10",
        "x>medium if n &gt; 5",
        "big>e",
        "medium>e",
        "small>e",
    ]);
    let started = advance_start(&process(&(elements.concat() + &flows)), &variables);
    assert_eq!(started, Advance { marking: marking(1, &[]), jobs: vec![job(taken)], ..Advance::default() });
}

#[test]
fn a_gateway_without_a_true_condition_holds_its_token_in_an_incident() {
    let elements =
        [node("startEvent", "s"), node("endEvent", "e"), node("exclusiveGateway", "x"), task("a"), task("b")];
    let flows = flows(&["s>x", "x>a if n &gt; 1", "x>b if n &lt; 0", "a>e", "b>e"]);
    let started = advance_start(&process(&(elements.concat() + &flows)), &json!({"n": 0}));
    assert_eq!(
        started,
        Advance {
            marking: marking(1, &[]),
            incidents: vec![NewIncident {
                kind: IncidentKind::ConditionError,
                element_id: "x".to_owned(),
                message: "no condition is true and there is no default flow".to_owned(),
                flow_id: Some("s_x".to_owned()),
                tokens: 1,
            }],
            ..Advance::default()
        }
    );
}

#[rstest]
#[case::a_number(json!({"attempts": 7}), Some(7))]
#[case::nothing(json!({}), None)]
fn retries_may_depend_on_variables(#[case] variables: Value, #[case] retries: Option<i32>) {
    let elements = [node("startEvent", "s"), node("endEvent", "e"), task_with_retries("a", "=attempts")];
    let started = advance_start(&process(&(elements.concat() + &flows(&["s>a", "a>e"]))), &variables);
    let expected = match retries {
        Some(retries) => Advance {
            marking: marking(1, &[]),
            jobs: vec![NewJob { retries, ..job("a") }],
            ..Advance::default()
        },
        None => Advance {
            marking: marking(1, &[]),
            incidents: vec![NewIncident {
                kind: IncidentKind::ExtractValueError,
                element_id: "a".to_owned(),
                message: "the retries expression gives no number".to_owned(),
                flow_id: Some("s_a".to_owned()),
                tokens: 1,
            }],
            ..Advance::default()
        },
    };
    assert_eq!(started, expected);
}

#[test]
fn a_loop_without_a_task_raises_an_incident() {
    // It depends on conditions at run time, so the linter cannot find it.
    let elements = [
        node("startEvent", "s"),
        node("endEvent", "e"),
        r#"<bpmn:exclusiveGateway id="x" default="x_y" />"#.to_owned(),
        r#"<bpmn:exclusiveGateway id="y" default="y_x" />"#.to_owned(),
    ];
    let flows = flows(&["s>x", "x>y", "x>e if stop", "y>x", "y>e if stop"]);
    let process = process(&(elements.concat() + &flows));
    let stopped = advance_start(&process, &json!({}));
    assert_eq!((stopped.marking, stopped.completed, stopped.incidents.len()), (marking(1, &[]), false, 1));
    assert_eq!(stopped.incidents[0].message, ENDLESS_LOOP);
    assert!(ENDLESS_LOOP.contains(&format!("moved {MAX_MOVES} times")), "{ENDLESS_LOOP}");
    assert!(advance_start(&process, &json!({"stop": true})).completed);
}

#[test]
fn an_element_that_does_not_fit_the_marking_is_an_error() {
    let process = fork_and_join();
    assert_eq!(
        advance_completed(&process, &marking(1, &[]), "gone", &json!({})),
        Err(Error::UnknownElement("gone".to_owned()))
    );
    assert_eq!(
        advance_completed(&process, &marking(0, &[]), "a", &json!({})),
        Err(Error::NoToken("a".to_owned()))
    );
}

#[test]
fn a_retried_token_advances_when_its_step_succeeds() {
    let elements =
        [node("startEvent", "s"), node("endEvent", "e"), node("exclusiveGateway", "x"), task("a"), task("b")];
    let flows = flows(&["s>x", "x>a if n &gt; 1", "x>b if n &lt; 0", "a>e", "b>e"]);
    let process = process(&(elements.concat() + &flows));
    let held = advance_start(&process, &json!({"n": 0}));
    let retry = |n: i32| advance_retried(&process, &held.marking, ("x", Some("s_x"), 1), &json!({"n": n}));
    assert_eq!(retry(0), Ok(held.clone()));
    assert_eq!(
        retry(2),
        Ok(Advance { marking: marking(1, &[]), jobs: vec![job("a")], ..Advance::default() })
    );
    assert_eq!(
        advance_retried(&process, &marking(0, &[]), ("x", None, 1), &json!({})),
        Err(Error::NoToken("x".to_owned()))
    );
    assert_eq!(
        advance_retried(&process, &held.marking, ("x", Some("gone"), 1), &json!({})),
        Err(Error::UnknownElement("gone".to_owned()))
    );
}

/// Two tokens in endless loops, both of which can leave towards a join.
#[test]
fn each_token_of_a_stopped_loop_can_be_retried_from_its_flow() {
    let elements = [
        node("startEvent", "s"),
        node("endEvent", "e"),
        node("parallelGateway", "fork"),
        node("parallelGateway", "join"),
        r#"<bpmn:exclusiveGateway id="x" default="x_y" />"#.to_owned(),
        r#"<bpmn:exclusiveGateway id="y" default="y_x" />"#.to_owned(),
        r#"<bpmn:exclusiveGateway id="u" default="u_v" />"#.to_owned(),
        r#"<bpmn:exclusiveGateway id="v" default="v_u" />"#.to_owned(),
    ];
    let flows = flows(&[
        "s>fork",
        "fork>x",
        "fork>u",
        "x>y",
        "y>join if stop",
        "y>x",
        "u>v",
        "v>join if stop",
        "v>u",
        "join>e",
    ]);
    let process = process(&(elements.concat() + &flows));
    let stopped = advance_start(&process, &json!({}));
    let held: u32 = stopped.incidents.iter().map(|incident| incident.tokens).sum();
    assert_eq!((stopped.marking.resting, held, stopped.incidents.len()), (2, 2, 2));
    let mut marking = stopped.marking;
    let mut completed = false;
    for incident in &stopped.incidents {
        let held = (incident.element_id.as_str(), incident.flow_id.as_deref(), incident.tokens);
        let advance = advance_retried(&process, &marking, held, &json!({"stop": true})).expect("should move");
        assert_eq!(advance.incidents, []);
        (marking, completed) = (advance.marking, advance.completed);
    }
    assert!(completed, "{marking:?}");
}
