use rstest::rstest;
use serde_json::json;

use super::*;
use crate::testing::{ORDER_FLOW, process};

fn unnamed(noted: Option<&str>) -> WorkflowProcess {
    let mut process = process(ORDER_FLOW);
    process.spec.tenant_ref = None;
    process.metadata.annotations = noted.map(|tenant| [(DEPLOYED_FOR.to_owned(), tenant.to_owned())].into());
    process
}

#[rstest]
#[case::before_the_first_deployment(None, Some("acme"), "acme", Some("acme"), false)]
#[case::without_a_label(None, None, "_default", Some("_default"), false)]
#[case::as_it_was(Some("acme"), Some("acme"), "acme", None, false)]
#[case::another_label(Some("acme"), Some("beta"), "acme", None, true)]
#[case::the_label_is_gone(Some("acme"), None, "acme", None, true)]
#[case::a_label_came(Some("_default"), Some("acme"), "_default", None, true)]
fn what_is_deployed_does_not_follow_the_label(
    #[case] noted: Option<&str>,
    #[case] label: Option<&str>,
    #[case] id: &str,
    #[case] to_note: Option<&str>,
    #[case] stands_still: bool,
) {
    let process = unnamed(noted);
    let tenancy = Tenancy::of(&process, label);
    assert_eq!(tenancy.id(), id);
    assert_eq!(tenancy.to_note(&process).as_deref(), to_note);
    assert_eq!(tenancy.conflict().is_some(), stands_still, "{:?}", tenancy.conflict());
}

#[test]
fn a_tenant_that_is_named_needs_no_note_and_ignores_one() {
    let mut process = unnamed(Some("beta"));
    process.spec.tenant_ref = serde_json::from_value(json!({"name": "acme"})).unwrap();
    let tenancy = Tenancy::of(&process, Some("beta"));
    assert_eq!((tenancy.id(), tenancy.to_note(&process), tenancy.conflict()), ("acme", None, None));
}

#[test]
fn the_conflict_names_both_tenants_and_the_ways_out() {
    let tenancy = Tenancy::of(&unnamed(Some("acme")), Some("beta"));
    assert_eq!(
        tenancy.conflict().as_deref(),
        Some(
            "deployed for tenant acme, where it stays; by label workflow.example.com/tenant of this Namespace it would now \
             belong to tenant beta: set the label back, or delete this object and apply it again"
        )
    );
}
