use std::collections::BTreeSet;
use std::sync::Arc;

use api_types::WorkflowProcess;
use api_types::condition::WORKERS_AVAILABLE;
use api_types::labels::DEPLOYED_FOR;
use api_types::process::ProcessReason;
use api_types::process::WorkflowProcessStatus;
use api_types::reason::Reason as _;
use controller_kit::apply::WriteError;
use controller_kit::condition::find;
use controller_kit::events::Event;
use controller_kit::pass::{build_status, problem_of};
use controller_kit::plan::Wait;
use engine_access::engine::AccessError;
use engine_access::reference::{Refused, Resolved};
use engine_client::model::{Owner, QuotaKind};
use engine_client::{EngineError, ErrorClass as EngineClass, Operation};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use events::{incidents, last_events, redeployment};
use sources::unread_sources;

use super::*;
use crate::document::SourceView;
use crate::kind::Processes;
use crate::plan::{ProcessStep, Step, plan};
use crate::tenancy::Tenancy;
use crate::testing::{NO_TASK_DEFINITION, ORDER_FLOW, cluster, definition, observed, owned, process, tenant};
use crate::validate::validate;

mod events;
mod sources;

/// One pass, and what it has to be judged as.
struct Case {
    name: &'static str,
    process: WorkflowProcess,
    observed: Observed,
    failures: Vec<Problem<ProcessReason>>,
    results: Results,
    wait: Option<Wait<ProcessReason>>,
    expected: Expected,
    runs: bool,
}

type Expected = (ProcessPhase, Readiness, ProcessReason, &'static str, Next);

fn case(name: &'static str, expected: Expected) -> Case {
    Case {
        name,
        process: process(ORDER_FLOW),
        observed: observed(ORDER_FLOW, None),
        failures: Vec::new(),
        results: Results::default(),
        wait: None,
        expected,
        runs: false,
    }
}

impl Case {
    fn source(mut self, source: SourceView) -> Self {
        self.observed.source = source;
        self
    }

    fn engine(mut self, engine: EngineView) -> Self {
        self.observed.engine = engine;
        self
    }

    fn failure(mut self, failure: Problem<ProcessReason>) -> Self {
        self.failures.push(failure);
        self
    }

    fn runs(mut self) -> Self {
        self.observed = observed(ORDER_FLOW, Some(owned(definition(ORDER_FLOW))));
        self.runs = true;
        self
    }

    /// It names no tenant, was deployed for `acme`, and its Namespace is labelled with `beta` now.
    fn moved(mut self) -> Self {
        self.process.spec.tenant_ref = None;
        self.process.metadata.annotations = Some([(DEPLOYED_FOR.to_owned(), "acme".to_owned())].into());
        self.observed.tenancy = Tenancy::of(&self.process, Some("beta"));
        self
    }

    fn change(mut self, change: impl FnOnce(&mut WorkflowProcess)) -> Self {
        change(&mut self.process);
        self
    }

    fn assess(&self) -> Assessment {
        let spec = validate(&self.process);
        let mut planned = plan(&self.process, &spec, &self.observed);
        planned.wait = planned.wait.or_else(|| self.wait.clone());
        assess(&self.process, &spec, &self.observed, &planned, &self.failures, &self.results)
    }

    fn status(&self) -> WorkflowProcessStatus {
        self.status_at(now())
    }

    fn status_at(&self, now: Timestamp) -> WorkflowProcessStatus {
        build_status::<Processes>(&self.process, &self.assess(), now)
    }

    fn events(&self) -> Vec<Event> {
        self.events_of(&self.status())
    }

    fn events_of(&self, status: &WorkflowProcessStatus) -> Vec<Event> {
        let former = self.process.status.clone().unwrap_or_default();
        build_events(&self.process, &former, status, &self.assess())
    }
}

fn now() -> Timestamp {
    Timestamp::from_second(1_778_754_600).unwrap()
}

fn engine_error(class: EngineClass) -> EngineError {
    EngineError::new(Operation::DeployProcess, class, "why")
}

fn write_error(code: u16, reason: &str) -> WriteError {
    let refusal = test_support::reply::failure(code, reason, "why");
    WriteError {
        operation: "add the finalizer to",
        object: "WorkflowProcess a/b".into(),
        source: kube::Error::Api(refusal.into()),
    }
}

fn rejected() -> DeployResult {
    let finding = Finding {
        rule_id: "engine-rule".into(),
        severity: Severity::Error,
        element_id: None,
        line: 3,
        column: 4,
        message: "Task_charge is too expensive".into(),
    };
    DeployResult::Rejected { findings: vec![finding], truncated: false }
}

fn no_endpoint() -> AccessError {
    AccessError::NoEndpoint { cluster: "workflow-system/prod-east".into() }
}

fn deleting(process: &mut WorkflowProcess) {
    process.metadata.deletion_timestamp = Some(Time(now()));
}

const INVALID: Next = Next::Failed(ErrorClass::Invalid);
const TRANSIENT: Next = Next::Failed(ErrorClass::Transient);
const SETTLED: Next = Next::Settled { resync: RESYNC };

fn cases() -> Vec<Case> {
    use ProcessPhase::{Blocked, Deployed, Failed, Pending, Validating};
    use Readiness::{InProgress, Ready, Stalled};
    let unread = |class: ErrorClass| SourceView::Unread(Problem::new(class.reason(), class, "why"));
    let failed = |class| of_engine(&engine_error(class));
    let quota = EngineClass::QuotaExceeded { quota: QuotaKind::Storage, limit: 1, current: 1 };
    let precondition = EngineClass::Precondition { reason: "TENANT_SUSPENDED".into() };
    let awaited = |reason| Wait { reason, message: "why".into(), recheck: Duration::from_secs(9) };
    let recheck = Next::Wait { recheck: Duration::from_secs(9) };
    vec![
        case("deployed", (Deployed, Ready, Reason::Deployed, "Deployed v3 (key=2251799813685250)", SETTLED)).runs(),
        case("nothing is known yet", (Validating, InProgress, Reason::Validating,
            "the engine has not confirmed the definition", TRANSIENT)),
        case("invalid", (Failed, Stalled, Reason::ValidationFailed,
            "missing taskDefinition on Task_charge (missing-task-definition, line 7, column 5)", INVALID))
            .source(observed(NO_TASK_DEFINITION, None).source),
        case("no ConfigMap", (Pending, Stalled, Reason::SourceMissing, "why", INVALID))
            .source(SourceView::Missing("why".into())),
        case("empty", (Failed, Stalled, Reason::SourceInvalid, "why", INVALID))
            .source(SourceView::Invalid("why".into())),
        case("no source", (Failed, Stalled, Reason::InvalidSpec,
            "spec.source must have exactly one of bpmn, configMapRef, gitRef and fluxRef", INVALID))
            .change(|process| process.spec.source.bpmn = None),
        case("apiserver away", (Pending, InProgress, Reason::KubernetesUnavailable, "why", TRANSIENT))
            .source(unread(ErrorClass::Transient)),
        case("may not read", (Pending, Stalled, Reason::Denied, "why", Next::Failed(ErrorClass::Denied)))
            .source(unread(ErrorClass::Denied)),
        case("linter died", (Pending, Stalled, Reason::InternalError, "why", Next::Failed(ErrorClass::Defect)))
            .source(unread(ErrorClass::Defect)),
        Case {
            observed: Observed { references: Err(Refused("why".into())), ..observed(ORDER_FLOW, None) },
            ..case("not granted", (Pending, Stalled, Reason::ReferenceNotPermittedOrMissing, "why", INVALID))
        },
        case("another label", (Blocked, Stalled, Reason::DeployedForAnotherTenant,
            "deployed for tenant acme, where it stays; by label workflow.example.com/tenant of this Namespace it would \
             now belong to tenant beta: set the label back, or delete this object and apply it again", INVALID))
            .moved(),
        case("another writer", (Pending, InProgress, Reason::Conflict,
            "failed to add the finalizer to WorkflowProcess a/b: why", Next::Failed(ErrorClass::Conflict)))
            .failure(problem_of::<Processes>(&write_error(409, "Conflict"))),
        case("may not write", (Pending, Stalled, Reason::Denied,
            "failed to add the finalizer to WorkflowProcess a/b: why", Next::Failed(ErrorClass::Denied)))
            .failure(problem_of::<Processes>(&write_error(403, "Forbidden"))),
        Case {
            results: Results { deployed: Some(rejected()), ..Results::default() },
            ..case("rejected", (Failed, Stalled, Reason::RejectedByEngine,
                "Task_charge is too expensive (engine-rule, line 3, column 4)", INVALID))
        },
        case("paused", (Pending, InProgress, Reason::Paused, "spec.paused is true: nothing is deployed", SETTLED))
            .change(|process| process.spec.paused = Some(true)),
        case("paused while it runs", (Deployed, Ready, Reason::Paused, "spec.paused is true: nothing is deployed", SETTLED))
            .runs()
            .change(|process| process.spec.paused = Some(true)),
        Case { wait: Some(awaited(Reason::ClusterNotReady)),
            ..case("cluster", (Pending, InProgress, Reason::ClusterNotReady, "why", recheck)) },
        Case { wait: Some(awaited(Reason::ClusterStopped)),
            ..case("stopped", (Pending, InProgress, Reason::ClusterStopped, "why", recheck)) },
        Case { wait: Some(awaited(Reason::ClusterUpdating)),
            ..case("rolling", (Pending, InProgress, Reason::ClusterUpdating, "why", recheck)) },
        Case { wait: Some(awaited(Reason::TenantNotReady)),
            ..case("tenant", (Pending, InProgress, Reason::TenantNotReady, "why", recheck)) },
        Case { wait: Some(awaited(Reason::TenantSuspended)),
            ..case("suspended", (Blocked, Stalled, Reason::TenantSuspended, "why", recheck)) },
        case("no credentials", (Pending, InProgress, Reason::EngineCredentialsMissing,
            "WorkflowCluster workflow-system/prod-east has no status.endpoint yet", TRANSIENT))
            .engine(EngineView::NotReady(no_endpoint())),
        case("unreachable", (Pending, InProgress, Reason::EngineUnreachable, "deploy process: why", TRANSIENT))
            .engine(EngineView::Failed(engine_error(EngineClass::Unavailable))),
        case("stale", (Pending, InProgress, Reason::EngineUnreachable, "deploy process: why",
            Next::Failed(ErrorClass::Conflict))).failure(failed(EngineClass::Stale)),
        case("quota", (Blocked, Stalled, Reason::QuotaExceeded, "deploy process: why",
            Next::Wait { recheck: Duration::from_mins(1) })).failure(failed(quota)),
        case("duplicate", (Failed, Stalled, Reason::DuplicateProcessId, "deploy process: why",
            Next::Wait { recheck: Duration::from_mins(5) })).failure(failed(EngineClass::AlreadyOwned)),
        case("owned by another", (Failed, Stalled, Reason::DuplicateProcessId,
            "process id order-flow is deployed by WorkflowProcess/acme-tenant/elder already; delete one of the two, or change the process id",
            Next::Wait { recheck: Duration::from_mins(5) })).engine(of_another()),
        case("engine waits", (Pending, InProgress, Reason::TenantNotReady, "deploy process: why", TRANSIENT))
            .failure(failed(precondition)),
        case("engine has no tenant", (Pending, InProgress, Reason::TenantNotReady, "deploy process: why", TRANSIENT))
            .failure(failed(EngineClass::NotFound)),
        case("refused credential", (Pending, Stalled, Reason::EngineCredentialsMissing, "deploy process: why",
            Next::Failed(ErrorClass::Denied))).failure(failed(EngineClass::Denied)),
        case("old engine", (Failed, Stalled, Reason::NotSupportedByEngine, "deploy process: why",
            Next::Failed(ErrorClass::Defect))).failure(failed(EngineClass::Unsupported)),
        case("refused request", (Failed, Stalled, Reason::RejectedByEngine, "deploy process: why", INVALID))
            .failure(failed(EngineClass::Invalid)),
        case("engine is broken", (Pending, Stalled, Reason::InternalError, "deploy process: why",
            Next::Failed(ErrorClass::Defect))).failure(failed(EngineClass::Internal)),
        case("data is damaged", (Pending, Stalled, Reason::InternalError, "deploy process: why",
            Next::Failed(ErrorClass::Defect))).failure(failed(EngineClass::Corrupt)),
    ]
}

fn of_another() -> EngineView {
    let mut latest = owned(definition(ORDER_FLOW));
    latest.owner =
        latest.owner.map(|owner| Owner { id: "WorkflowProcess/acme-tenant/elder".to_owned(), ..owner });
    observed(ORDER_FLOW, Some(latest)).engine
}

fn deletions() -> Vec<Case> {
    use ProcessPhase::Deleting;
    use Readiness::InProgress;
    let failed = |class| of_engine_deletion(&engine_error(class));
    vec![
        case("deletion: engine away", (Deleting, InProgress, Reason::DeletionBlocked,
            "the engine cannot retire the definition: deploy process: why", TRANSIENT))
            .change(deleting)
            .engine(EngineView::Failed(engine_error(EngineClass::Unavailable))),
        case("deletion: engine refuses", (Deleting, InProgress, Reason::DeletionBlocked,
            "the engine cannot retire the definition: deploy process: why", Next::Failed(ErrorClass::Denied)))
            .change(deleting)
            .failure(failed(EngineClass::Invalid)),
        case("deletion: no credentials", (Deleting, InProgress, Reason::DeletionBlocked,
            "the engine cannot be called: WorkflowCluster workflow-system/prod-east has no status.endpoint yet", TRANSIENT))
            .change(deleting)
            .engine(EngineView::NotReady(no_endpoint())),
        case("deletion: stopped", (Deleting, InProgress, Reason::ClusterStopped,
            "WorkflowCluster workflow-system/prod-east is stopped, so its engine cannot be asked; start it, or delete that cluster",
            Next::Wait { recheck: RECHECK_CLUSTER }))
            .change(deleting)
            .engine(EngineView::Unasked(Unasked::Stopped { cluster: "workflow-system/prod-east".into() })),
        case("deletion: no endpoint", (Deleting, InProgress, Reason::DeletionBlocked,
            "WorkflowCluster workflow-system/prod-east has no endpoint, so its engine cannot be asked; correct or delete that cluster",
            Next::Wait { recheck: RECHECK_CLUSTER }))
            .change(deleting)
            .engine(EngineView::Unasked(Unasked::NoEndpoint { cluster: "workflow-system/prod-east".into() })),
        case("deletion: cluster unread", (Deleting, InProgress, Reason::DeletionBlocked, "why", TRANSIENT))
            .change(deleting)
            .engine(EngineView::Unasked(Unasked::Unread(controller_kit::problem::Problem::new(ProcessReason::KubernetesUnavailable, controller_kit::outcome::ErrorClass::Transient, "why")))),
        case("deletion: may not write", (Deleting, InProgress, Reason::DeletionBlocked,
            "failed to add the finalizer to WorkflowProcess a/b: why", Next::Failed(ErrorClass::Denied)))
            .change(deleting)
            .failure(problem_of::<Processes>(&write_error(403, "Forbidden"))),
        case("deletion: another writer", (Deleting, InProgress, Reason::Deleting,
            "the definition is retired, the object goes next", Next::Failed(ErrorClass::Conflict)))
            .change(deleting)
            .failure(problem_of::<Processes>(&write_error(409, "Conflict"))),
    ]
}

#[test]
fn every_outcome_has_its_phase_reason_message_and_next_look() {
    for case in cases().into_iter().chain(deletions()).chain(unread_sources()) {
        let (phase, readiness, reason, message, next) = case.expected;
        let definition = case.runs.then(|| definition(ORDER_FLOW));
        let assessment = case.assess();
        let facts = Facts { definition, ..assessment.facts.clone() };
        let expected = Assessment { phase, readiness, reason, message: message.into(), next, facts };
        assert_eq!(assessment, expected, "{}", case.name);
    }
}

/// Reasons that no pass gives: they belong to what every kind can suffer.
const FOREIGN: [ProcessReason; 4] = [
    // Every field is acted on.
    Reason::FieldsNotActedOn,
    // Set by the API server as the default, and reported by the watch.
    Reason::Unseen,
    Reason::Unreadable,
    // A process creates no Kubernetes object; its name in the engine has DuplicateProcessId.
    Reason::NameTaken,
];

#[test]
fn every_reason_is_given_by_some_outcome() {
    let mut given: BTreeSet<String> = FOREIGN.iter().map(ToString::to_string).collect();
    for case in cases().into_iter().chain(deletions()).chain(unread_sources()) {
        given.extend(case.status().conditions.into_iter().map(|condition| condition.reason));
    }
    given.extend(last_events().into_iter().flatten().map(|event| event.reason));
    given.extend(redeployment(false).into_iter().chain(redeployment(true)).map(|event| event.reason));
    given.extend(incidents(None, 2).into_iter().map(|event| event.reason));
    let mut served = case("served", cases().remove(0).expected).runs();
    served.observed.served_job_types.clear();
    given.extend(served.status().conditions.into_iter().map(|condition| condition.reason));
    served.observed.change = Some(SourceChange { waiting_instances: Some(1), ..SourceChange::default() });
    given.extend(served.events().into_iter().map(|event| event.reason));
    let known: BTreeSet<String> = ProcessReason::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(known.difference(&given).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn the_whole_status_of_a_deployed_process() {
    let case = case("deployed", cases().remove(0).expected).runs();
    let condition = |type_: &str, reason: &str, message: &str| {
        json!({
            "type": type_,
            "status": "True",
            "reason": reason,
            "message": message,
            "observedGeneration": 1,
            "lastTransitionTime": "2026-05-14T10:30:00Z",
        })
    };
    let message = "Deployed v3 (key=2251799813685250)";
    assert_eq!(
        serde_json::to_value(case.status()).unwrap(),
        json!({
            "observedGeneration": 1,
            "phase": "Deployed",
            "ready": true,
            "message": message,
            "conditions": [
                condition("Deployed", "Deployed", message),
                condition("Ready", "Deployed", message),
                condition("Valid", "Valid", "accepted"),
                condition("WorkersAvailable", "WorkersAvailable", "every job type has a WorkflowWorker"),
            ],
            "processDefinitionKey": 2_251_799_813_685_250_i64,
            "bpmnProcessId": "order-flow",
            "version": 3,
            "versionTag": "v1.2.3",
            "deployedAt": "2026-05-14T10:30:00Z",
            "sourceDigest": format!("sha256:{}", bpmn::digest(ORDER_FLOW.as_bytes())),
            "jobTypes": ["charge-payment", "refund-payment"],
        })
    );
}

#[test]
fn what_passes_by_itself_does_not_rewrite_the_status_of_a_deployed_process() {
    let settled = case("deployed", cases().remove(0).expected).runs().status();
    let passing = ["deployed", "unreachable", "stale", "rolling", "stopped", "cluster", "apiserver away"];
    for mut case in cases() {
        case.process.status = Some(settled.clone());
        let kept = case.status() == settled;
        assert_eq!(kept, passing.contains(&case.name), "{}", case.name);
    }
}

#[test]
fn a_rejection_holds_until_source_or_spec_change() {
    let mut case = cases().into_iter().find(|case| case.name == "rejected").unwrap();
    case.process.status = Some(case.status());
    case.results = Results::default();
    assert_eq!(plan(&case.process, &Ok(()), &case.observed), Plan::converged());
    assert_eq!(case.assess().reason, Reason::RejectedByEngine);
    assert_eq!(Some(case.status()), case.process.status);

    case.process.metadata.generation = Some(2);
    let steps = plan(&case.process, &Ok(()), &case.observed).steps;
    assert!(matches!(steps.as_slice(), [Step::Own(ProcessStep::Deploy(_))]), "{steps:?}");
}

#[test]
fn another_version_of_the_engine_is_asked_once_more() {
    let version = |case: &mut Case, version: Option<&str>| {
        let mut cluster = cluster();
        cluster.status.as_mut().unwrap().version = version.map(str::to_owned);
        case.observed.references =
            Ok(Resolved { cluster: Arc::new(cluster), tenant: Some(Arc::new(tenant())) });
    };
    let is_asked = |case: &Case| !plan(&case.process, &Ok(()), &case.observed).steps.is_empty();
    let mut case = named("rejected");
    version(&mut case, Some("1.2.3"));
    case.process.status = Some(case.status());
    let answer = std::mem::take(&mut case.results);
    for (now, expected) in [(Some("1.2.3"), false), (None, false), (Some("1.3.0"), true)] {
        version(&mut case, now);
        assert_eq!(is_asked(&case), expected, "{now:?}");
        assert_eq!(case.status().refused_by_version.is_some(), !expected, "{now:?}");
    }
    case.results = answer;
    case.process.status = Some(case.status());
    assert_eq!(case.status().refused_by_version.as_deref(), Some("1.3.0"));
    assert!(!is_asked(&case));
}

fn named(name: &str) -> Case {
    cases().into_iter().find(|case| case.name == name).unwrap()
}

#[test]
fn another_reason_for_the_same_wait_is_no_event_and_reported_when_the_wait_is_a_minute_old() {
    use Reason::{ClusterNotReady, ClusterUpdating, EngineUnreachable, TenantNotReady};
    let began = named("cluster").status();
    for mut case in cases() {
        case.process.status = Some(began.clone());
        let goes_on =
            [ClusterNotReady, ClusterUpdating, EngineUnreachable, TenantNotReady].contains(&case.expected.2);
        let at = |seconds| case.status_at(now() + Duration::from_secs(seconds));
        assert_eq!(at(59) == began, goes_on, "{}", case.name);
        let later = at(60);
        assert_eq!(later == began, case.name == "cluster", "{}", case.name);
        let event = case.events_of(&later);
        assert_eq!(event.is_empty(), goes_on, "{}: {event:?}", case.name);
    }
}

#[test]
fn a_new_generation_is_reported_at_once_also_while_it_waits() {
    let mut case = named("tenant");
    case.process.status = Some(named("cluster").status());
    case.process.metadata.generation = Some(2);
    assert_eq!(case.status().observed_generation, Some(2));
}

#[test]
fn a_job_type_that_looks_like_another_one_is_shown_with_its_blanks() {
    let mut case = case("blank", cases().remove(0).expected).runs();
    let mut deployed = definition(ORDER_FLOW);
    deployed.job_types =
        ["charge", "charge ", "charge payment", "charge\u{a0}", "größe"].map(str::to_owned).to_vec();
    case.observed = observed(ORDER_FLOW, Some(owned(deployed)));
    case.observed.served_job_types = BTreeSet::from(["charge".to_owned()]);
    let status = case.status();
    let reported = find(&status.conditions, WORKERS_AVAILABLE).map(|condition| condition.message.as_str());
    assert_eq!(
        reported,
        Some(r#"no WorkflowWorker serves "charge ", "charge payment", "charge\u{a0}", größe"#)
    );
}
