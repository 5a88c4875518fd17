use std::sync::Arc;

use engine_access::reference::Refused;
use engine_client::model::Owner;
use rstest::rstest;
use serde_json::json;

use super::*;
use crate::testing::{
    NO_TASK_DEFINITION, ORDER_FLOW, UID, cluster, definition, observed, owned, owner, process, tenant,
};
use crate::validate::validate;

fn planned(process: &WorkflowProcess, observed: &Observed) -> Plan {
    plan(process, &validate(process), observed)
}

fn deploy(latest: u32) -> Step {
    let sha256 = bpmn::digest(ORDER_FLOW.as_bytes());
    Step::Own(ProcessStep::Deploy(DeployProcess {
        request_id: request_id(UID, 1, &format!("deploy:{sha256}:v1.2.3:{latest}:0")),
        tenant_id: "acme".into(),
        resource_name: "acme-tenant/order-flow".into(),
        content: ORDER_FLOW.as_bytes().to_vec(),
        content_sha256: sha256,
        version_tag: Some("v1.2.3".into()),
        mode: LintMode::Strict,
        owner: Some(owner()),
        follows_version: Some(latest),
    }))
}

fn steps(steps: Vec<Step>) -> Plan {
    Plan { steps, wait: None }
}

#[test]
fn a_new_process_gets_its_finalizer_before_anything_exists_in_the_engine() {
    let mut new = process(ORDER_FLOW);
    new.metadata.finalizers = None;
    assert_eq!(
        planned(&new, &observed(ORDER_FLOW, None)),
        steps(vec![Step::AddFinalizer { annotation: None }, deploy(0)])
    );
}

#[test]
fn a_deployed_process_needs_nothing() {
    let world = observed(ORDER_FLOW, Some(owned(definition(ORDER_FLOW))));
    assert_eq!(planned(&process(ORDER_FLOW), &world), Plan::converged());
}

#[rstest]
#[case::other_bytes(owned(definition(NO_TASK_DEFINITION)))]
#[case::other_version_tag({ let mut d = owned(definition(ORDER_FLOW)); d.definition.version_tag = None; d })]
#[case::owned_by_nobody({ let mut d = owned(definition(ORDER_FLOW)); d.owner = None; d })]
#[case::owned_by_a_former_life({ let mut d = owned(definition(ORDER_FLOW)); d.owner = Some(Owner { uid: "former".into(), ..owner() }); d })]
fn anything_else_in_the_engine_is_answered_with_a_deploy(
    #[case] latest: engine_client::model::ManagedDefinition,
) {
    let world = observed(ORDER_FLOW, Some(latest));
    assert_eq!(planned(&process(ORDER_FLOW), &world), steps(vec![deploy(3)]));
}

#[test]
fn a_process_id_of_another_object_is_left_alone() {
    let mut latest = owned(definition(ORDER_FLOW));
    latest.owner = Some(Owner { id: "other".into(), ..owner() });
    assert_eq!(planned(&process(ORDER_FLOW), &observed(ORDER_FLOW, Some(latest))), Plan::converged());
}

#[test]
fn nothing_is_planned_for_what_cannot_be_deployed() {
    let invalid = process(NO_TASK_DEFINITION);
    assert_eq!(planned(&invalid, &observed(NO_TASK_DEFINITION, None)), Plan::converged());
}

#[test]
fn a_paused_process_is_left_alone() {
    let mut paused = process(ORDER_FLOW);
    paused.spec.paused = Some(true);
    assert_eq!(planned(&paused, &observed(ORDER_FLOW, None)), Plan::converged());
}

#[test]
fn refused_references_and_silent_engines_stop_the_plan() {
    let unresolved = Observed { references: Err(Refused("refused".into())), ..observed(ORDER_FLOW, None) };
    assert_eq!(planned(&process(ORDER_FLOW), &unresolved), Plan::converged());
    let silent = Observed { engine: EngineView::NotAsked, ..observed(ORDER_FLOW, None) };
    assert_eq!(planned(&process(ORDER_FLOW), &silent), Plan::converged());
}

#[rstest]
#[case::no_endpoint(|c: &mut api_types::WorkflowCluster, _: &mut api_types::WorkflowTenant| c.status = None,
    Reason::ClusterNotReady, "WorkflowCluster workflow-system/prod-east has no endpoint yet or is being deleted")]
#[case::stopped(|c: &mut api_types::WorkflowCluster, _: &mut api_types::WorkflowTenant| c.spec.stopped = Some(true),
    Reason::ClusterStopped, "WorkflowCluster workflow-system/prod-east is stopped; this goes on when its engine runs again")]
#[case::rolling(|c: &mut api_types::WorkflowCluster, _: &mut api_types::WorkflowTenant| c.status.as_mut().unwrap().accepts_deployments = false,
    Reason::ClusterUpdating, "WorkflowCluster workflow-system/prod-east does not accept deployments now; the deployment follows by itself")]
#[case::suspended(|_: &mut api_types::WorkflowCluster, t: &mut api_types::WorkflowTenant| t.spec.suspended = Some(true),
    Reason::TenantSuspended, "WorkflowTenant workflow-system/acme is suspended; set its spec.suspended to false")]
#[case::tenant_not_ready(|_: &mut api_types::WorkflowCluster, t: &mut api_types::WorkflowTenant| t.status = None,
    Reason::TenantNotReady, "WorkflowTenant workflow-system/acme is not ready")]
fn what_is_awaited_is_a_value(
    #[case] change: fn(&mut api_types::WorkflowCluster, &mut api_types::WorkflowTenant),
    #[case] reason: Reason,
    #[case] message: &str,
) {
    let (mut cluster, mut tenant) = (cluster(), tenant());
    change(&mut cluster, &mut tenant);
    let references = Ok(Resolved { cluster: Arc::new(cluster), tenant: Some(Arc::new(tenant)) });
    let world = Observed { references, ..observed(ORDER_FLOW, None) };
    let wait = Wait { reason, message: message.into(), recheck: RECHECK_WATCHED };
    assert_eq!(planned(&process(ORDER_FLOW), &world), Plan { steps: Vec::new(), wait: Some(wait) });
}

#[test]
fn the_former_process_id_is_retired_behind_its_successor() {
    let mut renamed = process(ORDER_FLOW);
    renamed.status =
        serde_json::from_value(json!({"bpmnProcessId": "former", "processDefinitionKey": 7})).unwrap();
    let retire = Step::Own(ProcessStep::Retire(DeleteProcess {
        request_id: request_id(UID, 1, "retire:former:7"),
        tenant_id: "acme".into(),
        process_id: "former".into(),
        owner: Some(owner()),
        on_instances: OnInstances::KeepRunning,
        retain: false,
    }));
    let with_former = |latest| {
        let mut observed = observed(ORDER_FLOW, latest);
        if let EngineView::Answered { former_ids, .. } = &mut observed.engine {
            former_ids.push("former".to_owned());
        }
        observed
    };
    let deployed = with_former(Some(owned(definition(ORDER_FLOW))));
    assert_eq!(planned(&renamed, &deployed), steps(vec![retire.clone()]));
    let sha256 = bpmn::digest(ORDER_FLOW.as_bytes());
    let [Step::Own(ProcessStep::Deploy(deploy)), then] = &planned(&renamed, &with_former(None)).steps[..]
    else {
        panic!("expected a deploy and a retirement");
    };
    assert_eq!(deploy.request_id, request_id(UID, 1, &format!("deploy:{sha256}:v1.2.3:0:7")));
    assert_eq!(then, &retire);
}
