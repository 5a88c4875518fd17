use api_types::tenant::TenantReason;
use engine_client::model::{Owner, Tenant};
use engine_client::{EngineError, ErrorClass, Operation};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use rstest::rstest;
use serde_json::json;

use super::*;
use crate::testing::{held, observed, owner, tenant};

fn deletion(policy: &str) -> WorkflowTenant {
    let mut deletion = tenant();
    deletion.metadata.generation = Some(2);
    deletion.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
    deletion.spec.deletion_policy = serde_json::from_value(json!(policy)).unwrap();
    deletion
}

fn release() -> Plan {
    Plan { steps: vec![Step::RemoveFinalizer], wait: None }
}

fn failed() -> EngineView {
    EngineView::Failed(EngineError::new(Operation::ListTenants, ErrorClass::Unavailable, "away"))
}

#[rstest]
#[case::delete("Delete", DeleteTenantMode::RefuseIfActive)]
#[case::retain("Retain", DeleteTenantMode::Retain)]
#[case::purge("Purge", DeleteTenantMode::Purge)]
fn the_tenant_goes_before_the_object(#[case] policy: &str, #[case] mode: DeleteTenantMode) {
    let delete = DeleteTenant {
        request_id: request_id("uid-of-acme", 2, "delete"),
        tenant_id: "acme".into(),
        owner: Some(owner("uid-of-acme", 0)),
        mode,
    };
    assert_eq!(
        plan_cleanup(&deletion(policy), &observed(Some(held("acme")), None)),
        Plan { steps: vec![Step::Own(TenantStep::Delete(delete)), Step::RemoveFinalizer], wait: None }
    );
}

#[rstest]
#[case::never_made(None)]
#[case::of_another(Some(Tenant { owner: Some(Owner { id: "other".into(), ..owner("uid-of-acme", 0) }), ..held("acme") }))]
#[case::of_a_later_life(Some(Tenant { owner: Some(owner("later", 9)), ..held("acme") }))]
#[case::of_nobody(Some(Tenant { owner: None, ..held("acme") }))]
fn what_is_not_ours_is_left_alone(#[case] found: Option<Tenant>) {
    assert_eq!(plan_cleanup(&deletion("Delete"), &observed(found, None)), release());
}

#[test]
fn what_an_earlier_life_left_goes_too() {
    let left = Tenant { owner: Some(owner("earlier", -9)), ..held("acme") };
    let steps = plan_cleanup(&deletion("Delete"), &observed(Some(left), None)).steps;
    assert_eq!(steps.len(), 2, "{steps:?}");
}

#[rstest]
#[case::no_answer(failed())]
#[case::stopped(EngineView::Unasked(Unasked::Stopped { cluster: "workflow-system/prod-east".into() }))]
#[case::no_endpoint(EngineView::Unasked(Unasked::NoEndpoint { cluster: "workflow-system/prod-east".into() }))]
#[case::unread(EngineView::Unasked(Unasked::Unread(controller_kit::problem::Problem::new(
    TenantReason::KubernetesUnavailable,
    controller_kit::outcome::ErrorClass::Transient,
    "no"
))))]
fn an_engine_that_cannot_be_asked_holds_the_object(#[case] engine: EngineView) {
    let world = Observed { engine, ..observed(None, None) };
    assert_eq!(plan_cleanup(&deletion("Delete"), &world), Plan::converged());
}

#[rstest]
#[case::cluster_gone(EngineView::Unasked(Unasked::ClusterGone), false)]
#[case::given_up_without_an_answer(failed(), true)]
#[case::given_up_with_an_answer(observed(Some(held("acme")), None).engine, true)]
fn an_object_that_nothing_holds_goes(#[case] engine: EngineView, #[case] forced: bool) {
    let mut deletion = deletion("Delete");
    if forced {
        deletion.annotations_mut().insert(FORCE_DELETE.into(), "true".into());
    }
    assert_eq!(plan_cleanup(&deletion, &Observed { engine, ..observed(None, None) }), release());
}
