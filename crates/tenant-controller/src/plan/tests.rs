use std::sync::Arc;

use engine_access::reference::Refused;
use engine_client::{EngineError, ErrorClass, Operation};
use rstest::rstest;

use super::*;
use crate::testing::{cluster, held, observed, tenant};
use crate::validate::validate;

fn planned(tenant: &WorkflowTenant, observed: &Observed) -> Plan {
    plan(tenant, &validate(tenant), observed)
}

fn steps(steps: Vec<Step>) -> Plan {
    Plan { steps, wait: None }
}

#[test]
fn a_new_tenant_gets_its_finalizer_before_anything_exists_in_the_engine() {
    let mut new = tenant();
    new.metadata.finalizers = None;
    assert_eq!(
        planned(&new, &observed(None, None)),
        steps(vec![Step::AddFinalizer { annotation: None }, Step::Own(TenantStep::Put(held("acme")))])
    );
}

#[test]
fn a_tenant_that_is_held_as_it_should_be_needs_nothing() {
    assert_eq!(planned(&tenant(), &observed(Some(held("acme")), None)), Plan::converged());
}

#[rstest]
#[case::quota(|t: &mut Tenant| t.quotas.max_active_instances = None)]
#[case::name(|t: &mut Tenant| t.display_name = String::new())]
#[case::suspended(|t: &mut Tenant| t.suspended = true)]
#[case::rls(|t: &mut Tenant| t.rls = false)]
#[case::owner(|t: &mut Tenant| t.owner = None)]
#[case::generation(|t: &mut Tenant| t.generation = 0)]
fn whatever_differs_in_the_engine_is_put_right(#[case] change: fn(&mut Tenant)) {
    let mut drifted = held("acme");
    change(&mut drifted);
    assert_eq!(
        planned(&tenant(), &observed(Some(drifted), None)),
        steps(vec![Step::Own(TenantStep::Put(held("acme")))])
    );
}

#[test]
fn what_is_left_out_is_unlimited_and_the_name_stands_in() {
    let mut bare = tenant();
    bare.spec.quotas = None;
    bare.spec.display_name = None;
    bare.spec.suspended = Some(true);
    let expected = Tenant {
        display_name: "acme".into(),
        quotas: TenantQuotas::default(),
        suspended: true,
        ..held("acme")
    };
    assert_eq!(build_tenant(&bare), expected);
}

#[test]
fn a_cluster_without_an_endpoint_is_awaited() {
    let mut new = cluster();
    new.status = None;
    let world = Observed { cluster: Ok(Arc::new(new)), engine: EngineView::NotAsked, clients: None };
    let wait = Wait {
        reason: TenantReason::ClusterNotReady,
        message: "WorkflowCluster workflow-system/prod-east has no endpoint yet or is being deleted".into(),
        recheck: Duration::from_mins(1),
    };
    assert_eq!(planned(&tenant(), &world), Plan { steps: Vec::new(), wait: Some(wait) });
}

#[test]
fn a_cluster_that_is_stopped_is_awaited() {
    let mut stopped = cluster();
    stopped.spec.stopped = Some(true);
    let world = Observed { cluster: Ok(Arc::new(stopped)), engine: EngineView::NotAsked, clients: None };
    let wait = Wait {
        reason: TenantReason::ClusterStopped,
        message:
            "WorkflowCluster workflow-system/prod-east is stopped; this goes on when its engine runs again"
                .into(),
        recheck: Duration::from_mins(1),
    };
    assert_eq!(planned(&tenant(), &world), Plan { steps: Vec::new(), wait: Some(wait) });
}

#[test]
fn nothing_is_planned_for_what_may_not_or_cannot_be_written() {
    let mut paused = tenant();
    paused.spec.paused = Some(true);
    assert_eq!(planned(&paused, &observed(None, None)), Plan::converged());

    let mut invalid = tenant();
    invalid.spec.isolation = Some(api_types::tenant::Isolation { rls: Some(false) });
    assert_eq!(planned(&invalid, &observed(None, None)), Plan::converged());

    let refused =
        Observed { cluster: Err(Refused("why".into())), engine: EngineView::NotAsked, clients: None };
    assert_eq!(planned(&tenant(), &refused), Plan::converged());

    let error = EngineError::new(Operation::ListTenants, ErrorClass::Unavailable, "away");
    let silent = Observed { engine: EngineView::Failed(error), ..observed(None, None) };
    assert_eq!(planned(&tenant(), &silent), Plan::converged());
}
