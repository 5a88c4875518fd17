use std::sync::Arc;

use api_types::{WorkflowCluster, WorkflowTenant};
use rstest::rstest;
use serde_json::{Value, json};

use controller_kit::plan::{Deletion, Desired};

use super::*;
use crate::children::disruption_budget::DisruptionBudget;
use crate::children::{access_secret, autoscaler, deployment, disruption_budget};
use crate::testing::{
    EVERY_FIELD, MINIMAL, SEED, autoscaled, children, cluster, edit, observed, resolved, tenant, with_input,
    worker, worker_with,
};
use crate::validate::validate;

fn planned(worker: &WorkflowWorker, observed: &Observed) -> Plan {
    plan(worker, observed, &validate(worker))
}

fn steps(steps: Vec<Step>) -> Plan {
    Plan { steps, wait: None }
}

fn secret(worker: &WorkflowWorker) -> Step {
    Step::Apply(with_input(worker, |input| Desired::of(&access_secret::build(input))))
}

fn deployment(worker: &WorkflowWorker, replicas: Option<i32>) -> Step {
    let mut desired = with_input(worker, |input| Desired::of(&deployment::build(input, replicas)));
    if worker.spec.autoscaling.is_some() {
        desired.shared = deployment::NUMBER_OF_PODS;
    }
    Step::Apply(desired)
}

/// The same where an autoscaler had the number of pods before.
fn taken_over(step: Step) -> Step {
    match step {
        Step::Apply(mut desired) => {
            desired.shared = deployment::NUMBER_OF_PODS;
            Step::Apply(desired)
        }
        _ => step,
    }
}

/// With the precondition that an apply over a live Deployment carries under autoscaling.
fn guarded_deployment(worker: &WorkflowWorker, replicas: Option<i32>) -> Step {
    let Step::Apply(mut desired) = deployment(worker, replicas) else { unreachable!() };
    desired.body["metadata"]["resourceVersion"] = json!("11");
    Step::Apply(desired)
}

fn autoscaler(worker: &WorkflowWorker) -> Step {
    let autoscaling = worker.spec.autoscaling.as_ref().unwrap();
    Step::Apply(with_input(worker, |input| Desired::of(&autoscaler::build(input, autoscaling))))
}

fn budget(worker: &WorkflowWorker) -> Step {
    Step::Apply(with_input(worker, |input| Desired::of(&disruption_budget::build(input))))
}

fn settled(worker: &WorkflowWorker, replicas: Option<i32>) -> Observed {
    Observed { children: children(worker, replicas), ..observed(worker) }
}

#[rstest]
#[case::minimal("minimal", MINIMAL, Some(1))]
#[case::seed("seed", SEED, Some(3))]
#[case::every_field("every-field", EVERY_FIELD, None)]
fn children_are_built_like_this(#[case] name: &str, #[case] yaml: &str, #[case] replicas: Option<i32>) {
    let worker = worker(yaml);
    let bodies: Vec<Value> = with_input(&worker, |input| {
        let secret = Desired::of(&access_secret::build(input)).body;
        let deployment = Desired::of(&deployment::build(input, replicas)).body;
        let autoscaling = worker.spec.autoscaling.as_ref();
        let autoscaler = autoscaling.map(|it| Desired::of(&autoscaler::build(input, it)).body);
        let budget = disruption_budget::is_useful(&worker.spec)
            .then(|| Desired::of(&disruption_budget::build(input)).body);
        [Some(secret), Some(deployment), autoscaler, budget].into_iter().flatten().collect()
    });
    insta::assert_yaml_snapshot!(name, bodies);
}

#[test]
fn a_new_fleet_gets_its_token_before_its_pods_and_its_pods_before_their_autoscaler() {
    let worker = worker(SEED);
    assert_eq!(
        planned(&worker, &observed(&worker)),
        steps(vec![secret(&worker), deployment(&worker, Some(3)), autoscaler(&worker), budget(&worker)])
    );
}

#[test]
fn a_single_pod_needs_neither_autoscaler_nor_budget() {
    let worker = worker(MINIMAL);
    assert_eq!(
        planned(&worker, &observed(&worker)),
        steps(vec![secret(&worker), deployment(&worker, Some(1))])
    );
}

#[rstest]
#[case::minimal(worker(MINIMAL))]
#[case::seed(worker(SEED))]
#[case::every_field(worker(EVERY_FIELD))]
fn a_fleet_as_it_shall_be_needs_nothing(#[case] worker: WorkflowWorker) {
    assert_eq!(planned(&worker, &settled(&worker, Some(3.min(worker.spec.replicas)))), Plan::converged());
}

#[test]
fn an_autoscaler_that_took_over_is_left_alone_and_our_claim_is_dropped_once() {
    let worker = autoscaled();
    let mut world = settled(&worker, Some(2));
    let by_the_autoscaler = json!([{
        "manager": "kube-controller-manager", "operation": "Update", "subresource": "scale",
        "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:replicas": {}}},
    }]);
    edit(&mut world.children, &WorkerPods, |deployment| {
        deployment["spec"]["replicas"] = json!(8);
        deployment["metadata"]["managedFields"] = by_the_autoscaler.clone();
    });
    assert_eq!(planned(&worker, &world), steps(vec![guarded_deployment(&worker, None)]));

    let mut handed_over = settled(&worker, None);
    edit(&mut handed_over.children, &WorkerPods, |deployment| {
        deployment["spec"]["replicas"] = json!(8);
        deployment["metadata"]["managedFields"] = by_the_autoscaler;
    });
    assert_eq!(planned(&worker, &handed_over), Plan::converged());
}

#[test]
fn a_new_template_keeps_the_pods_that_the_autoscaler_asked_for() {
    let before = autoscaled();
    let mut after = before.clone();
    after.spec.image = "acme/payment-worker:2.0.0".into();
    let world = settled(&before, Some(8));
    assert_eq!(planned(&after, &world), steps(vec![taken_over(guarded_deployment(&after, Some(8)))]));
}

#[test]
fn autoscaling_switched_on_keeps_the_pods_that_run() {
    let (before, after) = (worker_with(|w| w["spec"]["replicas"] = json!(5)), autoscaled());
    let world = settled(&before, Some(5));
    assert_eq!(planned(&after, &world), steps(vec![guarded_deployment(&after, Some(5)), autoscaler(&after)]));
}

#[test]
fn autoscaling_switched_off_removes_the_autoscaler_and_keeps_the_pods_that_run() {
    let before = worker_with(|worker| {
        worker["spec"]["replicas"] = json!(3);
        worker["spec"]["autoscaling"] = json!({"minReplicas": 2, "maxReplicas": 20});
    });
    let after = worker_with(|worker| worker["spec"]["replicas"] = json!(3));
    let mut world = settled(&before, None);
    edit(&mut world.children, &WorkerPods, |it| it["spec"]["replicas"] = json!(8));
    let autoscaler = world.children.get(&Autoscaler).cloned().unwrap();
    assert_eq!(
        planned(&after, &world),
        steps(vec![Step::Delete(Deletion::of(&autoscaler)), taken_over(guarded_deployment(&after, Some(8)))])
    );
    assert_eq!(planned(&after, &settled(&after, Some(8))), Plan::converged());

    // A crash after the deletion changes nothing of it.
    let mut crashed = world;
    crashed.children.set(&Autoscaler, None);
    assert_eq!(planned(&after, &crashed), steps(vec![taken_over(guarded_deployment(&after, Some(8)))]));
}

#[test]
fn pods_that_an_autoscaler_left_stay_until_the_spec_names_another_number() {
    let before = worker_with(|worker| worker["spec"]["replicas"] = json!(3));
    let after = worker_with(|worker| worker["spec"]["replicas"] = json!(2));
    let world = settled(&before, Some(8));
    assert_eq!(planned(&after, &world), steps(vec![taken_over(deployment(&after, Some(2)))]));
}

#[test]
fn a_budget_for_one_pod_goes() {
    let (before, after) = (worker_with(|w| w["spec"]["replicas"] = json!(2)), worker(MINIMAL));
    let world = settled(&before, Some(2));
    let budget = world.children.get(&DisruptionBudget).cloned().unwrap();
    assert_eq!(
        planned(&after, &world),
        steps(vec![Step::Delete(Deletion::of(&budget)), deployment(&after, Some(1))])
    );
}

#[test]
fn a_new_token_changes_the_secret_and_rolls_the_pods() {
    let worker = worker(MINIMAL);
    let mut world = settled(&worker, Some(1));
    let AccessView::Known(access) = &mut world.access else { unreachable!() };
    access.ca_pem = "rotated".into();
    let plan = planned(&worker, &world);
    let kinds: Vec<_> = plan
        .steps
        .iter()
        .map(|step| match step {
            Step::Apply(desired) => desired.resource.kind.as_str(),
            _ => "deleted",
        })
        .collect();
    assert_eq!(kinds, ["Secret", "Deployment"]);
}

#[rstest]
#[case::secret("Secret", Vec::new())]
#[case::deployment("Deployment", vec![secret(&autoscaled())])]
#[case::autoscaler("HorizontalPodAutoscaler", vec![secret(&autoscaled()), deployment(&autoscaled(), Some(2))])]
#[case::budget("PodDisruptionBudget", vec![secret(&autoscaled()), deployment(&autoscaled(), Some(2)), autoscaler(&autoscaled())])]
fn a_taken_name_stops_what_depends_on_it(#[case] kind: &str, #[case] expected: Vec<Step>) {
    let worker = autoscaled();
    let taken = children(&worker, Some(2));
    let foreign = |value: &mut Value| value["metadata"]["ownerReferences"] = json!([]);
    let mut world = observed(&worker);
    let object = match kind {
        "Secret" => {
            world.children.set(&AccessSecret, taken.get(&AccessSecret).cloned());
            edit(&mut world.children, &AccessSecret, foreign);
            "payment-worker-engine-access"
        }
        "Deployment" => {
            world.children.set(&WorkerPods, taken.get(&WorkerPods).cloned());
            edit(&mut world.children, &WorkerPods, foreign);
            "payment-worker"
        }
        "HorizontalPodAutoscaler" => {
            world.children.set(&Autoscaler, taken.get(&Autoscaler).cloned());
            edit(&mut world.children, &Autoscaler, foreign);
            "payment-worker"
        }
        _ => {
            world.children.set(&DisruptionBudget, taken.get(&DisruptionBudget).cloned());
            edit(&mut world.children, &DisruptionBudget, foreign);
            "payment-worker"
        }
    };
    let message = format!(
        "{kind} workflow-system/{object} exists and belongs to something else; delete it or rename this worker"
    );
    let wait = Wait { reason: Reason::NameTaken, message, recheck: RECHECK_WATCHED };
    assert_eq!(planned(&worker, &world), Plan { steps: expected, wait: Some(wait) });
}

#[test]
fn what_is_not_wanted_and_not_ours_is_not_deleted() {
    let worker = worker(MINIMAL);
    let mut world = settled(&worker, Some(1));
    world.children.set(&Autoscaler, children(&autoscaled(), None).get(&Autoscaler).cloned());
    edit(&mut world.children, &Autoscaler, |it| {
        it["metadata"]["ownerReferences"][0]["uid"] = json!("another");
    });
    assert_eq!(planned(&worker, &world), Plan::converged());
}

fn revocation(children: &Children) -> Plan {
    steps(vec![
        Step::Delete(Deletion::of(children.get(&AccessSecret).unwrap())),
        Step::Delete(Deletion::of(children.get(&Autoscaler).unwrap())),
        Step::Delete(Deletion::of(children.get(&WorkerPods).unwrap())),
        Step::Delete(Deletion::of(children.get(&DisruptionBudget).unwrap())),
    ])
}

#[rstest]
#[case::plain(|_: &mut Value| ())]
#[case::a_pause_keeps_no_access(|worker: &mut Value| worker["spec"]["paused"] = json!(true))]
#[case::a_broken_spec_keeps_no_access(|worker: &mut Value| worker["spec"]["jobTypes"] = json!([]))]
fn access_that_is_no_longer_granted_is_taken_away(#[case] change: fn(&mut Value)) {
    let worker = autoscaled();
    let world = Observed { references: References::Refused("no".into()), ..settled(&worker, Some(2)) };
    let mut changed = serde_json::to_value(&worker).unwrap();
    change(&mut changed);
    let changed: WorkflowWorker = serde_json::from_value(changed).unwrap();
    assert_eq!(planned(&changed, &world), revocation(&world.children));
}

#[test]
fn what_goes_already_is_not_deleted_again() {
    let worker = worker(MINIMAL);
    let mut world = Observed { references: References::Refused("no".into()), ..settled(&worker, Some(1)) };
    edit(&mut world.children, &AccessSecret, |it| {
        it["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    });
    let deployment = world.children.get(&WorkerPods).cloned().unwrap();
    assert_eq!(planned(&worker, &world), steps(vec![Step::Delete(Deletion::of(&deployment))]));
}

#[rstest]
#[case::unreadable_references(|_: &mut WorkflowWorker, world: &mut Observed| world.references = References::Unreadable)]
#[case::invalid_spec(|worker: &mut WorkflowWorker, _: &mut Observed| worker.spec.job_types.clear())]
#[case::paused(|worker: &mut WorkflowWorker, _: &mut Observed| worker.spec.paused = Some(true))]
#[case::no_credentials(|_: &mut WorkflowWorker, world: &mut Observed| world.access = AccessView::NotAsked)]
fn a_fleet_is_left_as_it_is(#[case] change: fn(&mut WorkflowWorker, &mut Observed)) {
    let mut worker = autoscaled();
    let mut world = settled(&worker, Some(2));
    worker.spec.image = "acme/payment-worker:2.0.0".into();
    change(&mut worker, &mut world);
    assert_eq!(planned(&worker, &world), Plan::converged());
}

#[rstest]
#[case::no_endpoint(|cluster: &mut WorkflowCluster, _: &mut WorkflowTenant| cluster.status = None,
    Reason::ClusterNotReady, "WorkflowCluster workflow-system/prod-east has no endpoint yet or is being deleted")]
#[case::cluster_goes(|cluster: &mut WorkflowCluster, _: &mut WorkflowTenant| cluster.metadata.deletion_timestamp = cluster.metadata.creation_timestamp.clone(),
    Reason::ClusterNotReady, "WorkflowCluster workflow-system/prod-east has no endpoint yet or is being deleted")]
#[case::tenant_goes(|_: &mut WorkflowCluster, tenant: &mut WorkflowTenant| tenant.metadata.deletion_timestamp = tenant.metadata.creation_timestamp.clone(),
    Reason::TenantNotReady, "WorkflowTenant workflow-system/acme is being deleted")]
#[case::tenant_not_ready(|_: &mut WorkflowCluster, tenant: &mut WorkflowTenant| tenant.status = None,
    Reason::TenantNotReady, "WorkflowTenant workflow-system/acme is not ready")]
fn what_is_awaited_is_a_value(
    #[case] change: fn(&mut WorkflowCluster, &mut WorkflowTenant),
    #[case] reason: Reason,
    #[case] message: &str,
) {
    let (mut cluster, mut tenant) = (cluster(), tenant());
    change(&mut cluster, &mut tenant);
    let worker = worker(EVERY_FIELD);
    let references =
        References::Resolved(Resolved { cluster: Arc::new(cluster), tenant: Some(Arc::new(tenant)) });
    let world = Observed { references, ..observed(&worker) };
    let wait = Wait { reason, message: message.into(), recheck: RECHECK_WATCHED };
    assert_eq!(planned(&worker, &world), Plan { steps: Vec::new(), wait: Some(wait) });
}

#[test]
fn a_fleet_that_exists_is_kept_up_to_date_while_its_tenant_is_not_ready() {
    let mut worker = worker(EVERY_FIELD);
    let mut world = settled(&worker, Some(3));
    let Resolved { cluster, .. } = resolved(&worker);
    let mut unready = tenant();
    unready.status = None;
    world.references = References::Resolved(Resolved { cluster, tenant: Some(Arc::new(unready)) });
    worker.spec.image = "acme/payment-worker:2.0.0".into();
    assert_eq!(planned(&worker, &world), steps(vec![guarded_deployment(&worker, Some(3))]));
}

#[test]
fn a_token_never_shows_in_a_plan() {
    let worker = worker(MINIMAL);
    let token = crate::testing::access(&worker).token;
    assert!(!format!("{:?}", planned(&worker, &observed(&worker))).contains(token.expose()));
}
