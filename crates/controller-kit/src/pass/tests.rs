use std::sync::Mutex;
use std::time::Duration;

use api_types::WorkflowTenant;
use api_types::reason::CommonReason;
use api_types::tenant::{TenantPhase, TenantReason, WorkflowTenantStatus};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::ObjectMeta;
use rstest::rstest;
use test_support::{FakeApiServer, builders, reply};

use super::*;
use crate::condition::Readiness;
use crate::events::EventType;
use crate::outcome::ErrorClass;
use crate::plan::{Deletion, Desired};

const HOME: &str = "acme";
const FINALIZER: &str = "example.com/test";

type Own = Result<Flow, Problem<TenantReason>>;

/// A kind that does what a test says, and records the stages of its pass.
#[derive(Default)]
struct Scripted {
    stages: Mutex<Vec<&'static str>>,
    unread: Option<Problem<TenantReason>>,
    steps: Mutex<Vec<Step<Own>>>,
}

impl Scripted {
    fn record(&self, stage: &'static str) {
        self.stages.lock().unwrap().push(stage);
    }

    fn stages(&self) -> Vec<&'static str> {
        self.stages.lock().unwrap().clone()
    }
}

impl Kind for Scripted {
    type Object = WorkflowTenant;
    type Status = WorkflowTenantStatus;
    type Phase = TenantPhase;
    type Reason = TenantReason;
    type Spec = ();
    type Observed = ();
    type OwnStep = Own;
    type Plan = Plan<Step<Own>, TenantReason>;
    type Results = usize;
    type Facts = usize;

    const FINALIZER: Option<&'static str> = Some(FINALIZER);

    fn validate(tenant: &WorkflowTenant) -> Result<(), Problem<TenantReason>> {
        match &tenant.spec.display_name {
            Some(name) if name.is_empty() => Err(Problem::invalid_spec("spec.displayName: is empty")),
            _ => Ok(()),
        }
    }

    async fn observe(
        &self,
        _tenant: &WorkflowTenant,
        spec: &Result<(), Problem<TenantReason>>,
    ) -> Result<(), Problem<TenantReason>> {
        self.record(if spec.is_ok() { "observe" } else { "observe what is invalid" });
        self.unread.clone().map_or(Ok(()), Err)
    }

    fn plan(&self, _scene: &Scene<'_, Self>) -> Self::Plan {
        self.record("plan");
        Plan { steps: std::mem::take(&mut self.steps.lock().unwrap()), wait: None }
    }

    fn is_independent(step: &Step<Own>) -> bool {
        matches!(step, Step::Delete(_))
    }

    async fn execute_step(
        &self,
        _scene: &Scene<'_, Self>,
        step: &Own,
        applied: &mut Applied<Self>,
    ) -> Result<Flow, Problem<TenantReason>> {
        self.record("step");
        applied.results += 1;
        step.clone()
    }

    fn assess(
        scene: &Scene<'_, Self>,
        _plan: &Self::Plan,
        applied: &Applied<Self>,
    ) -> Assessment<TenantPhase, TenantReason, usize> {
        let problem = scene.spec.as_ref().err().or(applied.failures.first());
        let facts = applied.results;
        match problem {
            Some(problem) => Assessment { facts, ..Assessment::of_problem(TenantPhase::Degraded, problem) },
            None => Assessment {
                phase: TenantPhase::Active,
                readiness: Readiness::Ready,
                reason: TenantReason::Synced,
                message: format!("{} steps done", applied.done),
                next: Next::Settled { resync: Duration::from_secs(9) },
                facts,
            },
        }
    }

    fn assess_unread(
        _tenant: &WorkflowTenant,
        problem: &Problem<TenantReason>,
    ) -> Assessment<TenantPhase, TenantReason, usize> {
        Assessment::of_problem(TenantPhase::Pending, problem)
    }

    fn is_paused(tenant: &WorkflowTenant) -> bool {
        tenant.spec.is_paused()
    }

    fn build_own_status(
        _tenant: &WorkflowTenant,
        _former: &WorkflowTenantStatus,
        assessment: &Assessment<TenantPhase, TenantReason, usize>,
        _now: Timestamp,
    ) -> OwnStatus<Self> {
        let current_instances = i64::try_from(assessment.facts).ok();
        let fields = WorkflowTenantStatus { current_instances, ..WorkflowTenantStatus::default() };
        OwnStatus { fields, conditions: Vec::new(), kept: Vec::new() }
    }

    fn build_last_events(_scene: &Scene<'_, Self>, _applied: &Applied<Self>) -> Vec<Event> {
        vec![Event { type_: EventType::Warning, reason: "Left".into(), note: "something is left".into() }]
    }

    fn missing_permission(error: &kube::Error) -> Option<MissingPermission> {
        let kube::Error::Api(status) = error else { return None };
        (status.code == 403).then(|| MissingPermission {
            message: "no permission in namespace acme".into(),
            hint: "create a RoleBinding".into(),
        })
    }

    fn forget(&self, _tenant: &WorkflowTenant) {
        self.record("forget");
    }
}

fn tenant() -> WorkflowTenant {
    let mut tenant = builders::stored(builders::tenant(HOME, "a", &builders::cluster(HOME, "prod")));
    tenant.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
    tenant
}

fn child(name: &str) -> ConfigMap {
    let metadata = ObjectMeta {
        namespace: Some(HOME.into()),
        name: Some(name.into()),
        uid: Some(format!("uid-of-{name}")),
        ..ObjectMeta::default()
    };
    ConfigMap { metadata, ..ConfigMap::default() }
}

fn apply(name: &str) -> Step<Own> {
    let mut child = child(name);
    child.metadata.uid = None;
    Step::Apply(Desired::of(&child))
}

fn own() -> Step<Own> {
    Step::Own(Ok(Flow::GoOn))
}

/// One pass over `tenant`, with its stages.
async fn pass(
    apiserver: &FakeApiServer,
    tenant: &WorkflowTenant,
    kind: Scripted,
) -> (Pass<WorkflowTenant>, Vec<&'static str>) {
    let clock = Clock::fixed(Timestamp::UNIX_EPOCH);
    let client = apiserver.client();
    let passes = Passes {
        kind,
        writer: Writer::new(client.clone(), "test"),
        publisher: Publisher::new(client, "test", "pod-0".into(), clock.clone()),
        clock,
    };
    let pass = passes.reconcile(Arc::new(tenant.clone())).await;
    (pass, passes.kind.stages())
}

async fn pass_with(
    tenant: &WorkflowTenant,
    steps: Vec<Step<Own>>,
) -> (Next, Vec<String>, WorkflowTenantStatus) {
    let apiserver = FakeApiServer::new();
    apiserver.seed(tenant);
    let (pass, _) = pass(&apiserver, tenant, Scripted { steps: steps.into(), ..Scripted::default() }).await;
    let written = apiserver.get::<WorkflowTenant>(HOME, "a").and_then(|tenant| tenant.status);
    (pass.next, writes(&apiserver), written.unwrap_or_default())
}

/// The writes, by verb and last part of the path.
fn writes(apiserver: &FakeApiServer) -> Vec<String> {
    let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    apiserver.mutations().iter().map(|it| format!("{} {}", it.method, last(&it.path))).collect()
}

#[tokio::test]
async fn the_stages_follow_each_other_and_the_status_is_written_last() {
    let apiserver = FakeApiServer::new();
    apiserver.seed(&tenant());
    let steps = vec![apply("config"), own()].into();
    let (pass, stages) = pass(&apiserver, &tenant(), Scripted { steps, ..Scripted::default() }).await;
    assert_eq!(stages, ["observe", "plan", "step"]);
    assert_eq!(writes(&apiserver), ["PATCH config", "PATCH status", "POST events"]);
    assert_eq!(pass.next, Next::Settled { resync: Duration::from_secs(9) });
    let status = pass.written.and_then(|tenant| tenant.status).unwrap_or_default();
    assert_eq!((status.ready, status.message.as_deref()), (true, Some("2 steps done")));
    assert_eq!((status.observed_generation, status.current_instances), (Some(1), Some(1)));
}

#[tokio::test]
async fn a_pass_that_changes_nothing_writes_nothing() {
    let apiserver = FakeApiServer::new();
    apiserver.seed(&tenant());
    pass(&apiserver, &tenant(), Scripted::default()).await;
    let settled = apiserver.get::<WorkflowTenant>(HOME, "a").unwrap();
    apiserver.forget_requests();
    let (pass, _) = pass(&apiserver, &settled, Scripted::default()).await;
    assert_eq!(writes(&apiserver), [""; 0]);
    assert!(pass.written.is_none());
}

#[tokio::test]
async fn a_failed_read_is_reported_with_what_to_do_and_nothing_is_planned() {
    let apiserver = FakeApiServer::new();
    apiserver.seed(&tenant());
    let missing = MissingPermission { message: "no permission".into(), hint: "create it".into() };
    let unread = Some(missing.into_problem(ErrorClass::Denied));
    let (pass, stages) = pass(&apiserver, &tenant(), Scripted { unread, ..Scripted::default() }).await;
    assert_eq!(stages, ["observe"]);
    let status = pass.written.and_then(|tenant| tenant.status).unwrap_or_default();
    assert_eq!(status.message.as_deref(), Some("no permission: create it"));
    let conditions: Vec<_> = status
        .conditions
        .iter()
        .map(|it| (it.type_.as_str(), it.status.as_str(), it.reason.as_str()))
        .collect();
    assert_eq!(conditions, [("Ready", "False", "Denied"), ("Stalled", "True", "Denied")]);
    assert_eq!(pass.next, Next::Failed(ErrorClass::Denied));
}

#[tokio::test]
async fn an_invalid_spec_is_still_observed_and_planned_for() {
    let mut invalid = tenant();
    invalid.spec.display_name = Some(String::new());
    let apiserver = FakeApiServer::new();
    apiserver.seed(&invalid);
    let (pass, stages) = pass(&apiserver, &invalid, Scripted::default()).await;
    assert_eq!(stages, ["observe what is invalid", "plan"]);
    assert_eq!(pass.next, Next::Failed(ErrorClass::Invalid));
}

#[rstest]
#[case::dependent_steps_end(403, &["PATCH b", "DELETE c", "PATCH status", "POST events"])]
#[case::without_an_api_all_end(503, &["PATCH b", "PATCH status", "POST events"])]
#[tokio::test]
async fn after_a_failure_only_independent_steps_go_on(#[case] code: u16, #[case] expected: &[&str]) {
    let apiserver = FakeApiServer::new();
    apiserver.seed(&tenant());
    apiserver.seed(&child("c"));
    apiserver.intercept(move |request| {
        request.path.ends_with("/b").then(|| reply::failure(code, "Reason", "why").into())
    });
    let steps = vec![apply("b"), own(), Step::Delete(Deletion::of(&child("c"))), apply("d")].into();
    let (pass, stages) = pass(&apiserver, &tenant(), Scripted { steps, ..Scripted::default() }).await;
    assert_eq!(stages, ["observe", "plan"]);
    assert_eq!(writes(&apiserver), expected);
    let message = pass.written.and_then(|tenant| tenant.status?.message).unwrap_or_default();
    let denied = "no permission in namespace acme: create a RoleBinding";
    let unavailable = "failed to apply ConfigMap acme/b: why";
    assert_eq!(message, if code == 403 { denied } else { unavailable });
}

#[tokio::test]
async fn a_step_can_end_the_pass_without_failing_it() {
    let steps = vec![Step::Own(Ok(Flow::End)), apply("b"), Step::RemoveFinalizer];
    let (next, writes, status) = pass_with(&tenant(), steps).await;
    assert_eq!(writes, ["PATCH status", "POST events"]);
    assert_eq!((next, status.ready), (Next::Settled { resync: Duration::from_secs(9) }, true));
}

#[tokio::test]
async fn the_finalizer_comes_first_and_with_its_annotation() {
    let mut new = tenant();
    new.metadata.finalizers = None;
    let annotation = Some(("example.com/note", "x".to_owned()));
    let apiserver = FakeApiServer::new();
    apiserver.seed(&new);
    let steps = vec![Step::AddFinalizer { annotation }, own()].into();
    pass(&apiserver, &new, Scripted { steps, ..Scripted::default() }).await;
    let written = apiserver.get::<WorkflowTenant>(HOME, "a").unwrap();
    assert_eq!(written.finalizers(), [FINALIZER]);
    assert_eq!(written.annotations().get("example.com/note").map(String::as_str), Some("x"));
    assert_eq!(writes(&apiserver), ["PATCH a", "PATCH status", "POST events"]);
}

#[tokio::test]
async fn an_object_that_is_released_gets_its_last_events_and_no_status() {
    let mut deleting = tenant();
    deleting.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
    let apiserver = FakeApiServer::new();
    apiserver.seed(&deleting);
    let steps = vec![Step::RemoveFinalizer].into();
    let (pass, stages) = pass(&apiserver, &deleting, Scripted { steps, ..Scripted::default() }).await;
    assert_eq!(stages, ["forget", "observe", "plan"]);
    assert_eq!((pass.next, writes(&apiserver)), (Next::Gone, vec!["PATCH a".into(), "POST events".into()]));
    assert!(apiserver.get::<WorkflowTenant>(HOME, "a").is_none());
}

#[tokio::test]
async fn an_object_that_has_only_finalizers_of_others_is_left_to_them() {
    let mut deleting = tenant();
    deleting.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
    deleting.metadata.finalizers = Some(vec!["example.com/other".into()]);
    let (next, writes, _) = pass_with(&deleting, vec![own()]).await;
    assert_eq!((next, writes), (Next::Gone, Vec::new()));
}

#[tokio::test]
async fn a_status_that_cannot_be_written_fails_the_pass_and_reports_nothing() {
    let apiserver = FakeApiServer::new();
    apiserver.seed(&tenant());
    apiserver.intercept(|request| {
        request.path.ends_with("/status").then(|| reply::failure(503, "Reason", "why").into())
    });
    let (pass, _) = pass(&apiserver, &tenant(), Scripted::default()).await;
    assert_eq!(
        (pass.next, writes(&apiserver)),
        (Next::Failed(ErrorClass::Transient), vec!["PATCH status".into()])
    );
}

#[tokio::test]
async fn a_pause_is_a_condition_of_every_kind() {
    let mut paused = tenant();
    paused.spec.paused = Some(true);
    let (_, _, status) = pass_with(&paused, Vec::new()).await;
    let paused = status.conditions.iter().find(|condition| condition.type_ == "Paused").unwrap();
    assert_eq!((paused.status.as_str(), paused.reason.as_str()), ("True", CommonReason::Paused.as_str()));
}

#[tokio::test]
async fn fields_that_others_changed_are_reported_in_addition_to_the_change_of_ready() {
    let apiserver = FakeApiServer::new();
    apiserver.seed(&tenant());
    let is_refused = std::sync::atomic::AtomicBool::new(true);
    apiserver.intercept(move |request| {
        let is_first =
            request.path.ends_with("/config") && is_refused.swap(false, std::sync::atomic::Ordering::Relaxed);
        is_first.then(|| reply::apply_conflict(&[(".data.a", "kubectl-edit")]).into())
    });
    let live = child("config");
    let desired = Desired::of(&ConfigMap { metadata: ObjectMeta { uid: None, ..live.metadata }, ..live });
    let steps = vec![Step::Apply(desired)].into();
    pass(&apiserver, &tenant(), Scripted { steps, ..Scripted::default() }).await;
    let reasons: Vec<_> = apiserver
        .mutations()
        .into_iter()
        .filter(|request| request.path.ends_with("/events"))
        .filter_map(|request| Some(request.body?["reason"].as_str()?.to_owned()))
        .collect();
    assert_eq!(reasons, ["Conflict", "Synced"]);
}

/// Others may have made a list invalid, so it is replaced as a whole. When that does not help, the first answer counts.
#[tokio::test]
async fn an_object_that_is_refused_as_invalid_is_written_again_and_its_first_refusal_is_reported() {
    let apiserver = FakeApiServer::new();
    apiserver.seed(&tenant());
    apiserver.intercept(|request| {
        request.path.ends_with("/b").then(|| reply::failure(422, "Invalid", "why").into())
    });
    let (pass, _) =
        pass(&apiserver, &tenant(), Scripted { steps: vec![apply("b")].into(), ..Scripted::default() }).await;
    assert_eq!(writes(&apiserver), ["PATCH b", "PATCH b", "PATCH status", "POST events"]);
    assert_eq!(pass.next, Next::Failed(ErrorClass::Defect));
}
