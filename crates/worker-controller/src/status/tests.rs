use std::collections::BTreeSet;

use api_types::UNSEEN_GENERATION;
use api_types::condition::{READY, RECONCILING, STALLED};
use controller_kit::apply::WriteError;
use controller_kit::events::{Event, EventType};
use controller_kit::pass::{Kind as _, build_status, problem_of};
use controller_kit::plan::Wait;
use engine_access::engine::AccessError;
use engine_client::TenantKey;
use kube::core::Status;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::children::deployment::WorkerPods;
use crate::observe::pods::StuckPod;
use crate::plan::plan;
use crate::testing::{
    MINIMAL, autoscaled, deployment_applied, edit, nothing_applied, observed, running, worker, worker_with,
};
use crate::validate::validate;

mod autoscaler;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn assessed_after(worker: &WorkflowWorker, world: &Observed, applied: &Applied) -> Assessment {
    let verdict = validate(worker);
    assess(worker, world, &verdict, &plan(worker, world, &verdict), applied)
}

fn assessed(worker: &WorkflowWorker, world: &Observed) -> Assessment {
    assessed_after(worker, world, &nothing_applied())
}

fn status_of(worker: &WorkflowWorker, assessment: &Assessment) -> WorkflowWorkerStatus {
    build_status::<Workers>(worker, assessment, at(0))
}

fn event_of(worker: &WorkflowWorker, status: &WorkflowWorkerStatus) -> Option<Event> {
    let former = worker.status.clone().unwrap_or_default();
    Workers::build_events(worker, &former, status, &assessed(worker, &observed(worker))).pop()
}

fn expected_of(
    phase: WorkerPhase,
    readiness: Readiness,
    reason: Reason,
    message: &str,
    next: Next,
    facts: Facts,
) -> Assessment {
    Assessment { phase, readiness, reason, message: message.into(), next, facts: Some(facts) }
}

fn facts(pods: i32, rollout: Rollout, metrics: MetricsView, lag_seconds: Option<i64>) -> Facts {
    // Without pods nothing was given to them.
    let token_key_id = (rollout != Rollout::Absent).then(key_id);
    Facts {
        replicas: pods,
        ready_replicas: pods,
        kept_replicas: None,
        rollout,
        metrics,
        lag_seconds,
        token_key_id,
    }
}

/// Of the key that every world's token was minted from.
fn key_id() -> String {
    TenantKey::parse(test_support::builders::WORKER_KEY).unwrap().id().to_owned()
}

fn failure(code: u16, message: &str) -> Applied {
    let status = Status { code, message: message.into(), ..Status::default() };
    let source = kube::Error::Api(Box::new(status));
    let failure = WriteError { operation: "apply", object: "Deployment a/b".into(), source };
    Applied { failures: vec![problem_of::<Workers>(&failure)], ..Applied::default() }
}

#[test]
fn a_fleet_that_runs_is_ready() {
    let worker = worker(MINIMAL);
    let expected = expected_of(
        WorkerPhase::Running,
        Readiness::Ready,
        Reason::Running,
        "the fleet runs as the spec says",
        SETTLED,
        facts(1, Rollout::Complete, MetricsView::Disabled, None),
    );
    assert_eq!(assessed(&worker, &running(&worker, 1, 0)), expected);
}

#[test]
fn a_new_fleet_rolls_out() {
    let worker = autoscaled();
    let assessment = assessed(&worker, &observed(&worker));
    let expected = expected_of(
        WorkerPhase::Progressing,
        Readiness::InProgress,
        Reason::RollingOut,
        "pods are being started or replaced",
        Next::Wait { recheck: RECHECK_PODS },
        facts(0, Rollout::Absent, MetricsView::Awaited, None),
    );
    assert_eq!(assessment, expected);
    insta::assert_yaml_snapshot!("new", status_of(&worker, &assessment));
}

fn with_deployment(worker: &WorkflowWorker, pods: i32, change: impl FnOnce(&mut Value)) -> Observed {
    let mut world = running(worker, pods, 0);
    edit(&mut world.children, &WorkerPods, change);
    world
}

#[rstest]
#[case::new_template_not_seen(|it: &mut Value| it["metadata"]["generation"] = json!(2))]
#[case::old_pods_left(|it: &mut Value| it["status"]["updatedReplicas"] = json!(2))]
#[case::pods_not_available(|it: &mut Value| it["status"]["availableReplicas"] = json!(1))]
#[case::too_few_pods(|it: &mut Value| it["spec"]["replicas"] = json!(4))]
fn pods_are_waited_for(#[case] change: fn(&mut Value)) {
    let worker = worker_with(|worker| worker["spec"]["replicas"] = json!(3));
    let world = with_deployment(&worker, 3, change);
    assert_eq!(assessed(&worker, &world).facts.unwrap().rollout, Rollout::RollingOut);
}

#[test]
fn pods_that_the_autoscaler_adds_are_not_waited_for() {
    let worker = autoscaled();
    let world = with_deployment(&worker, 8, |it| it["status"]["availableReplicas"] = json!(2));
    assert_eq!(assessed(&worker, &world).reason, Reason::Running);
    let below_the_least = with_deployment(&worker, 8, |it| it["status"]["availableReplicas"] = json!(1));
    assert_eq!(assessed(&worker, &below_the_least).reason, Reason::RollingOut);
}

/// The Deployment's generation moves with every scale, some milliseconds before its controller has seen it.
#[test]
fn a_scale_alone_is_no_rollout() {
    let mut worker = autoscaled();
    worker.status = Some(status_of(&worker, &assessed(&worker, &running(&worker, 2, 0))));
    let scaled = |it: &mut Value| {
        it["metadata"]["generation"] = json!(2);
        it["spec"]["replicas"] = json!(8);
    };
    let world = with_deployment(&worker, 2, scaled);
    assert_eq!(assessed(&worker, &world).reason, Reason::Running);

    let mut written = world.children.get(&WorkerPods).cloned().unwrap();
    let applied = deployment_applied(&written);
    assert_eq!(assessed_after(&worker, &world, &applied).reason, Reason::Running, "nor is an annotation");
    written.metadata.generation = Some(3);
    let applied = deployment_applied(&written);
    assert_eq!(assessed_after(&worker, &world, &applied).reason, Reason::RollingOut, "a new template is");
    worker.metadata.generation = Some(2);
    assert_eq!(assessed(&worker, &world).reason, Reason::RollingOut, "a new spec is");
    worker.metadata.generation = Some(1);
    worker.status = Some(status_of(&worker, &assessed_after(&worker, &world, &applied)));
    assert_eq!(assessed(&worker, &world).reason, Reason::RollingOut, "a rollout goes on until it is seen");
}

#[test]
fn what_this_pass_applied_counts_as_applied() {
    let worker = worker(MINIMAL);
    let world = running(&worker, 1, 0);
    let mut written = world.children.get(&WorkerPods).cloned().unwrap();
    written.metadata.generation = Some(2);
    let applied = deployment_applied(&written);
    assert_eq!(assessed_after(&worker, &world, &applied).reason, Reason::RollingOut);
}

#[rstest]
#[case::while_others_run(1, WorkerPhase::Degraded)]
#[case::when_none_runs(0, WorkerPhase::Failed)]
fn a_pod_that_does_not_start_is_named(#[case] ready: i32, #[case] phase: WorkerPhase) {
    let worker = worker(MINIMAL);
    let mut world = with_deployment(&worker, 1, |it| {
        it["status"]["readyReplicas"] = json!(ready);
        it["status"]["availableReplicas"] = json!(0);
    });
    world.stuck = Some(StuckPod { pod: "payment-worker-1".into(), state: "ImagePullBackOff".into() });
    let message = "pod payment-worker-1 does not start: ImagePullBackOff";
    let facts = Facts {
        kept_replicas: None,
        replicas: 1,
        ready_replicas: ready,
        rollout: Rollout::Failed(message.into()),
        metrics: MetricsView::Disabled,
        lag_seconds: None,
        token_key_id: Some(key_id()),
    };
    let next = Next::Wait { recheck: RECHECK_PODS };
    let expected = expected_of(phase, Readiness::Stalled, Reason::RolloutFailed, message, next, facts);
    assert_eq!(assessed(&worker, &world), expected);
}

/// A pod that runs since before the key changed may still use its old token.
#[rstest]
#[case::rolling(Some(1), "former")]
#[case::rolled_out(None, "new")]
fn a_new_key_is_reported_when_every_pod_was_started_with_its_token(
    #[case] updated: Option<i32>,
    #[case] expected: &str,
) {
    let mut worker = worker(MINIMAL);
    worker.status = Some(WorkflowWorkerStatus {
        access_key_id: Some("former".into()),
        ..WorkflowWorkerStatus::default()
    });
    let world = with_deployment(&worker, 3, |it| {
        it["status"]["updatedReplicas"] = json!(updated.unwrap_or(3));
    });
    let reported = status_of(&worker, &assessed(&worker, &world)).access_key_id;
    assert_eq!(reported, Some(if expected == "new" { key_id() } else { expected.to_owned() }));
}

#[test]
fn a_revoked_token_is_reported_no_more() {
    let mut worker = worker(MINIMAL);
    worker.status = Some(WorkflowWorkerStatus {
        access_key_id: Some("former".into()),
        ..WorkflowWorkerStatus::default()
    });
    let status = status_of(&worker, &assessed(&worker, &observed(&worker)));
    assert_eq!(status.access_key_id, None);
}

#[test]
fn pods_that_may_not_be_created_are_reported() {
    let worker = worker(MINIMAL);
    let world = with_deployment(&worker, 0, |it| {
        it["spec"]["replicas"] = json!(1);
        it["status"]["conditions"] = json!([
            {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota: pods, requested: pods=1"},
        ]);
    });
    let assessment = assessed(&worker, &world);
    assert_eq!(
        (assessment.phase, assessment.reason, assessment.message.as_str()),
        (
            WorkerPhase::Failed,
            Reason::RolloutFailed,
            "pods cannot be created: ResourceQuota pods is used up; see kubectl -n workflow-system get events --field-selector reason=FailedCreate"
        )
    );
}

/// What each of them changes in the world of a fleet that runs.
type Change = fn(&mut WorkflowWorker, &mut Observed);

#[rstest]
#[case::refused(|_: &mut WorkflowWorker, world: &mut Observed| world.references = References::Refused("not permitted".into()),
    WorkerPhase::Pending, Readiness::Stalled, Reason::ReferenceNotPermittedOrMissing, "not permitted", Next::Failed(ErrorClass::Invalid))]
#[case::unreadable(|_: &mut WorkflowWorker, world: &mut Observed| world.references = References::Unreadable,
    WorkerPhase::Degraded, Readiness::InProgress, Reason::ClusterNotReady,
    "the cluster or tenant of this worker cannot be read now; the fleet is left as it is", Next::Wait { recheck: RECHECK_WATCHED })]
#[case::invalid(|worker: &mut WorkflowWorker, _: &mut Observed| worker.spec.replicas = -1,
    WorkerPhase::Degraded, Readiness::Stalled, Reason::InvalidSpec, "spec.replicas is -1, expected at least 0", Next::Failed(ErrorClass::Invalid))]
#[case::paused(|worker: &mut WorkflowWorker, _: &mut Observed| worker.spec.paused = Some(true),
    WorkerPhase::Running, Readiness::Ready, Reason::Paused, "spec.paused is true: no owned object is written", SETTLED)]
#[case::paused_before_its_time(|worker: &mut WorkflowWorker, world: &mut Observed| { worker.spec.paused = Some(true); world.children.set(&WorkerPods, None); },
    WorkerPhase::Pending, Readiness::InProgress, Reason::Paused, "spec.paused is true: no owned object is written", SETTLED)]
#[case::no_credentials(|_: &mut WorkflowWorker, world: &mut Observed| world.access = AccessView::NotReady(AccessError::NoEndpoint { cluster: "a/b".into() }),
    WorkerPhase::Degraded, Readiness::InProgress, Reason::EngineCredentialsMissing, "WorkflowCluster a/b has no status.endpoint yet",
    Next::Failed(ErrorClass::Transient))]
#[case::service_account(|_: &mut WorkflowWorker, world: &mut Observed| world.missing = vec![Missing::ServiceAccount { name: "worker-sa".into() }],
    WorkerPhase::Degraded, Readiness::Stalled, Reason::ServiceAccountMissing,
    "spec.authentication.serviceAccount: ServiceAccount workflow-system/worker-sa does not exist", Next::Wait { recheck: RECHECK_MISSING })]
#[case::pull_secret(|_: &mut WorkflowWorker, world: &mut Observed| world.missing = vec![Missing::PullSecret { name: "registry".into(), found: None }],
    WorkerPhase::Degraded, Readiness::Stalled, Reason::PullSecretMissing,
    "spec.imagePullSecrets: Secret workflow-system/registry does not exist", Next::Wait { recheck: RECHECK_MISSING })]
#[case::pull_secret_of_another_type(|_: &mut WorkflowWorker, world: &mut Observed| world.missing = vec![Missing::PullSecret { name: "registry".into(), found: Some("Opaque".into()) }],
    WorkerPhase::Degraded, Readiness::Stalled, Reason::PullSecretMissing,
    "spec.imagePullSecrets: Secret workflow-system/registry is of type Opaque, expected kubernetes.io/dockerconfigjson", Next::Wait { recheck: RECHECK_MISSING })]
#[case::secret(|_: &mut WorkflowWorker, world: &mut Observed| world.missing = vec![Missing::SecretKey { name: "stripe".into(), key: "api-key".into() }],
    WorkerPhase::Degraded, Readiness::Stalled, Reason::EnvSecretMissing,
    "spec.env: Secret workflow-system/stripe has no key api-key or does not exist", Next::Wait { recheck: RECHECK_MISSING })]
fn what_stands_in_the_way_is_reported(
    #[case] change: Change,
    #[case] phase: WorkerPhase,
    #[case] readiness: Readiness,
    #[case] reason: Reason,
    #[case] message: &str,
    #[case] next: Next,
) {
    let mut worker = worker(MINIMAL);
    let mut world = running(&worker, 1, 0);
    change(&mut worker, &mut world);
    let assessment = assessed(&worker, &world);
    let facts = assessment.facts.clone().unwrap();
    assert_eq!(assessment, expected_of(phase, readiness, reason, message, next, facts));
}

#[rstest]
#[case::waiting(Reason::ClusterNotReady, WorkerPhase::Pending, Readiness::InProgress)]
#[case::tenant(Reason::TenantNotReady, WorkerPhase::Pending, Readiness::InProgress)]
#[case::taken(Reason::NameTaken, WorkerPhase::Failed, Readiness::Stalled)]
fn what_the_plan_awaits_is_reported(
    #[case] reason: Reason,
    #[case] phase: WorkerPhase,
    #[case] readiness: Readiness,
) {
    let worker = worker(MINIMAL);
    let wait = Wait { reason, message: "why".into(), recheck: RECHECK_WATCHED };
    let plan = Plan { steps: Vec::new(), wait: Some(wait) };
    let assessment = assess(&worker, &observed(&worker), &validate(&worker), &plan, &nothing_applied());
    let facts = facts(0, Rollout::Absent, MetricsView::Disabled, None);
    let next = Next::Wait { recheck: RECHECK_WATCHED };
    assert_eq!(assessment, expected_of(phase, readiness, reason, "why", next, facts));
}

#[rstest]
#[case::permission(403, Reason::Denied, Readiness::Stalled, ErrorClass::Denied)]
#[case::malformed(422, Reason::InternalError, Readiness::Stalled, ErrorClass::Defect)]
#[case::defect(400, Reason::InternalError, Readiness::Stalled, ErrorClass::Defect)]
#[case::away(503, Reason::KubernetesUnavailable, Readiness::InProgress, ErrorClass::Transient)]
#[case::conflict(409, Reason::Conflict, Readiness::InProgress, ErrorClass::Conflict)]
fn a_failed_write_is_reported_by_its_class(
    #[case] code: u16,
    #[case] reason: Reason,
    #[case] readiness: Readiness,
    #[case] class: ErrorClass,
) {
    let worker = worker(MINIMAL);
    let facts = facts(1, Rollout::Complete, MetricsView::Disabled, None);
    let message = "failed to apply Deployment a/b: why";
    let expected = expected_of(WorkerPhase::Degraded, readiness, reason, message, Next::Failed(class), facts);
    assert_eq!(assessed_after(&worker, &running(&worker, 1, 0), &failure(code, "why")), expected);
}

fn ready_worker() -> WorkflowWorker {
    let mut worker = worker(MINIMAL);
    let assessment = assessed(&worker, &running(&worker, 1, 0));
    worker.status = Some(status_of(&worker, &assessment));
    worker
}

#[test]
fn an_unchanged_world_gives_an_equal_status_at_any_time() {
    let worker = ready_worker();
    let assessment = assessed(&worker, &running(&worker, 1, 0));
    assert_eq!(Some(build_status::<Workers>(&worker, &assessment, at(9_999))), worker.status);
    assert_eq!(event_of(&worker, worker.status.as_ref().unwrap()), None);
}

#[rstest]
#[case::conflict(409)]
#[case::apiserver_away(503)]
fn what_passes_by_itself_does_not_undo_what_runs(#[case] code: u16) {
    let worker = ready_worker();
    let assessment = assessed_after(&worker, &running(&worker, 1, 0), &failure(code, "why"));
    assert_eq!(Some(build_status::<Workers>(&worker, &assessment, at(1))), worker.status);
}

/// The status that the API server defaults says nothing of the fleet.
#[test]
fn a_conflict_on_a_worker_that_was_never_seen_is_reported() {
    let mut worker = worker(MINIMAL);
    worker.status = Some(WorkflowWorkerStatus {
        observed_generation: Some(UNSEEN_GENERATION),
        phase: Some(WorkerPhase::Pending),
        ..WorkflowWorkerStatus::default()
    });
    let assessment = assessed_after(&worker, &running(&worker, 1, 0), &failure(409, "why"));
    let status = build_status::<Workers>(&worker, &assessment, at(1));
    let message = "failed to apply Deployment a/b: why".to_owned();
    assert_eq!(
        (status.observed_generation, status.phase, status.message),
        (worker.metadata.generation, Some(WorkerPhase::Degraded), Some(message))
    );
}

#[test]
fn what_could_not_be_read_keeps_what_was_known_of_the_pods() {
    let worker = ready_worker();
    let unread = Problem::new(Reason::Denied, ErrorClass::Denied, "failed to read Deployment a/b: forbidden");
    let assessment = assess_unread(&worker, &unread);
    let expected = Assessment {
        phase: WorkerPhase::Degraded,
        readiness: Readiness::Stalled,
        reason: Reason::Denied,
        message: unread.message.clone(),
        next: Next::Failed(ErrorClass::Denied),
        facts: None,
    };
    assert_eq!(assessment, expected);
    let status = build_status::<Workers>(&worker, &assessment, at(1));
    assert_eq!((status.ready, status.replicas, status.ready_replicas), (false, Some(1), Some(1)));
}

#[rstest]
#[case::ready(Readiness::Ready, &[READY])]
#[case::in_progress(Readiness::InProgress, &[READY, RECONCILING])]
#[case::stalled(Readiness::Stalled, &[READY, STALLED])]
fn kstatus_conditions_follow_the_readiness(#[case] readiness: Readiness, #[case] expected: &[&str]) {
    let worker = worker(MINIMAL);
    let assessment = Assessment { readiness, facts: None, ..assessed(&worker, &observed(&worker)) };
    let status = status_of(&worker, &assessment);
    let types: BTreeSet<_> = status.conditions.iter().map(|condition| condition.type_.as_str()).collect();
    assert_eq!(types, expected.iter().copied().collect());
}

#[test]
fn a_pause_has_its_own_condition() {
    let mut worker = worker(MINIMAL);
    worker.spec.paused = Some(true);
    let assessment = assessed(&worker, &running(&worker, 1, 0));
    insta::assert_yaml_snapshot!("paused", status_of(&worker, &assessment));
}

#[test]
fn a_change_for_the_worse_is_reported_as_a_warning_once() {
    let worker = ready_worker();
    let mut world = running(&worker, 1, 0);
    world.missing = vec![Missing::ServiceAccount { name: "worker-sa".into() }];
    let status = build_status::<Workers>(&worker, &assessed(&worker, &world), at(1));
    let note = "ServiceAccountMissing: spec.authentication.serviceAccount: ServiceAccount workflow-system/worker-sa does not exist";
    let event =
        Event { type_: EventType::Warning, reason: "ServiceAccountMissing".into(), note: note.into() };
    assert_eq!(event_of(&worker, &status), Some(event));
}
