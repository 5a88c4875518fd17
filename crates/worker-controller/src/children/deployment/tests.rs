use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::testing::{autoscaled, children, edit, worker_with};

fn entry(manager: &str, operation: &str, subresource: Option<&str>, fields: &Value) -> Value {
    let mut entry = json!({
        "manager": manager, "operation": operation, "apiVersion": "apps/v1", "fieldsType": "FieldsV1", "fieldsV1": fields,
    });
    if let Some(subresource) = subresource {
        entry["subresource"] = json!(subresource);
    }
    entry
}

fn ours() -> Value {
    entry(
        "workflow-worker-controller",
        "Apply",
        None,
        &json!({"f:spec": {"f:replicas": {}, "f:template": {}}}),
    )
}

fn autoscalers() -> Value {
    entry("kube-controller-manager", "Update", Some("scale"), &json!({"f:spec": {"f:replicas": {}}}))
}

fn live(replicas: Option<i32>, managed_fields: &[Value]) -> Deployment {
    let mut children = children(&autoscaled(), replicas);
    edit(&mut children, &WorkerPods, |deployment| {
        deployment["metadata"]["managedFields"] = json!(managed_fields);
    });
    children.get(&WorkerPods).cloned().unwrap()
}

fn kept_over(replicas: &str, mut live: Deployment) -> Deployment {
    live.metadata.annotations = Some(BTreeMap::from([(KEPT_OVER_REPLICAS.to_owned(), replicas.to_owned())]));
    live
}

fn fixed(live: Deployment) -> Deployment {
    Deployment { metadata: ObjectMeta { annotations: None, ..live.metadata }, ..live }
}

#[rstest]
#[case::new(None, 3, 3)]
#[case::scaled_by_hand(Some(fixed(live(Some(7), &[ours()]))), 3, 3)]
#[case::left_by_an_autoscaler(Some(kept_over("3", live(Some(8), &[autoscalers()]))), 3, 8)]
#[case::left_below_the_spec(Some(kept_over("3", live(Some(2), &[autoscalers()]))), 3, 3)]
#[case::left_and_then_set(Some(kept_over("3", live(Some(8), &[autoscalers()]))), 4, 4)]
#[case::left_and_then_stopped(Some(kept_over("0", live(Some(8), &[autoscalers()]))), 0, 0)]
fn without_autoscaling_the_spec_rules_as_soon_as_it_changes(
    #[case] live: Option<Deployment>,
    #[case] replicas: i32,
    #[case] expected: i32,
) {
    let worker = worker_with(|worker| worker["spec"]["replicas"] = json!(replicas));
    assert_eq!(plan_replicas(&worker.spec, live.as_ref()), Some(expected));
}

#[rstest]
#[case::as_the_spec_says(5, 5)]
#[case::not_below_the_least(1, 2)]
#[case::not_above_the_most(99, 20)]
#[case::zero_would_never_be_scaled(0, 2)]
fn a_new_fleet_is_seeded_between_the_autoscalers_bounds(#[case] replicas: i32, #[case] seed: i32) {
    let mut worker = autoscaled();
    worker.spec.replicas = replicas;
    assert_eq!(plan_replicas(&worker.spec, None), Some(seed));
    assert_eq!(plan_replicas(&worker.spec, Some(&live(Some(0), &[autoscalers()]))), Some(seed));
}

#[rstest]
#[case::we_alone_own_it(&[ours()], Some(8))]
#[case::the_autoscaler_owns_it(&[autoscalers()], None)]
#[case::both_own_it(&[ours(), autoscalers()], None)]
#[case::somebody_scaled_by_hand(&[entry("kubectl", "Update", Some("scale"), &json!({"f:spec": {"f:replicas": {}}}))], None)]
#[case::we_in_another_role(&[entry("workflow-worker-controller", "Update", Some("scale"), &json!({"f:spec": {"f:replicas": {}}}))], None)]
#[case::only_the_status_has_another_owner(
    &[ours(), entry("kube-controller-manager", "Update", Some("status"), &json!({"f:status": {"f:replicas": {}}}))], Some(8))]
#[case::owners_are_unknown(&[], Some(8))]
fn with_autoscaling_the_live_number_is_kept_until_somebody_else_owns_it(
    #[case] managed_fields: &[Value],
    #[case] expected: Option<i32>,
) {
    assert_eq!(plan_replicas(&autoscaled().spec, Some(&live(Some(8), managed_fields))), expected);
}
