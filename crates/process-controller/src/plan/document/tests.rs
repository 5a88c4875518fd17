use api_types::WorkflowWorker;
use serde_json::json;
use test_support::documents::{Judged, judged};

use super::*;
use crate::testing::{NO_TASK_DEFINITION, ORDER_FLOW, document, process};

fn verdict_on(source: &SourceView) -> Verdict {
    judge_source(&process(ORDER_FLOW), &Ok(()), source)
}

fn refusal(verdict: Verdict) -> (Reason, String) {
    let refusal = verdict.unwrap().unwrap_err();
    (refusal.reason, refusal.message)
}

fn reported(reason: Reason, message: &str) -> (Reason, String) {
    (reason, message.into())
}

#[test]
fn a_good_document_is_deployable_under_its_process_id() {
    let expected = Deployable {
        document: document(ORDER_FLOW),
        process_id: "order-flow".into(),
        version_tag: Some("v1.2.3".into()),
    };
    assert_eq!(verdict_on(&SourceView::Document(document(ORDER_FLOW))), Some(Ok(expected)));
}

#[test]
fn a_bad_document_is_reported_with_rule_and_place() {
    assert_eq!(
        refusal(verdict_on(&SourceView::Document(document(NO_TASK_DEFINITION)))),
        reported(
            Reason::ValidationFailed,
            "missing taskDefinition on Task_charge (missing-task-definition, line 7, column 5)"
        )
    );
}

#[test]
fn the_engine_would_deploy_what_is_accepted_here_and_refuse_the_rest() {
    for Judged { name, document: bpmn, refusal: expected } in judged() {
        let verdict = verdict_on(&SourceView::Document(document(&bpmn))).unwrap();
        match (verdict, expected) {
            (Ok(deployable), None) => assert_eq!(deployable.process_id, "order", "{name}"),
            (Err(Problem { reason: Reason::ValidationFailed, message, .. }), Some((rule, line, column))) => {
                let place = format!("({rule}, line {line}, column {column})");
                assert!(message.contains(&place), "{name}: {message} does not name {place}");
            }
            (verdict, expected) => panic!("{name}: {verdict:?} instead of {expected:?}"),
        }
    }
}

#[test]
fn two_processes_in_one_document_are_reported_with_their_ids_and_a_place() {
    let two = judged().into_iter().find(|judged| judged.name == "two executable processes").unwrap();
    assert_eq!(
        refusal(verdict_on(&SourceView::Document(document(&two.document)))),
        reported(
            Reason::ValidationFailed,
            "document has 2 executable processes, order and refund; give each a document of its own \
             (capability-one-process, line 10, column 1)"
        )
    );
}

/// What the two grammars of job types tell apart.
const LETTERS: [&str; 13] = ["a", "x", "_", "-", ".", " ", ",", "\n", "\u{7f}", "\u{a0}", "ü", "漢", "😀"];

/// Two crates that may not know each other say the same of job types: what may be deployed, and what a worker may serve.
#[test]
fn a_job_type_is_deployable_when_a_workflow_worker_may_serve_it() {
    let mut worker: WorkflowWorker = serde_json::from_value(json!({
        "apiVersion": "workflow.example.com/v1alpha1",
        "kind": "WorkflowWorker",
        "metadata": {"name": "charge", "namespace": "acme-tenant"},
        "spec": {"clusterRef": {"name": "prod-east"}, "image": "worker:1", "jobTypes": []},
    }))
    .unwrap();
    let mut texts = vec![String::new()];
    for length in 0..4 {
        let longer: Vec<String> = texts
            .iter()
            .filter(|text| text.chars().count() == length)
            .flat_map(|text| LETTERS.map(|letter| format!("{text}{letter}")))
            .collect();
        texts.extend(longer);
    }
    // Around the longest label value.
    for letter in LETTERS {
        for count in 1..70 {
            texts.extend([
                letter.repeat(count),
                "a".repeat(count) + letter + "a",
                format!("x_{}_x", letter.repeat(count)),
            ]);
        }
    }
    for text in texts {
        worker.spec.job_types = vec![text.clone()];
        let violations = api_types::violations(&worker);
        let problem = bpmn::job_type::problem(&text);
        assert_eq!(problem.is_none(), violations.is_empty(), "{text:?}: {problem:?} and {violations:?}");
    }
}

#[test]
fn a_source_that_is_not_there_or_not_usable_is_reported() {
    assert_eq!(
        refusal(verdict_on(&SourceView::Missing("no key".into()))),
        reported(Reason::SourceMissing, "no key")
    );
    assert_eq!(
        refusal(verdict_on(&SourceView::Invalid("empty".into()))),
        reported(Reason::SourceInvalid, "empty")
    );
}

#[test]
fn a_source_that_could_not_be_read_is_no_verdict() {
    let unread =
        SourceView::Unread(Problem::new(Reason::KubernetesUnavailable, ErrorClass::Transient, "timeout"));
    assert_eq!(verdict_on(&unread), None);
}
