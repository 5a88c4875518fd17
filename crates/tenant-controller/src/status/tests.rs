use std::collections::BTreeSet;

use api_types::labels::FORCE_DELETE;
use controller_kit::apply::WriteError;
use controller_kit::pass::{build_status, problem_of};
use controller_kit::plan::Wait;
use engine_access::engine::AccessError;
use engine_access::reference::Refused;
use engine_client::model::{PutTenant, QuotaKind};
use engine_client::{EngineError, ErrorClass as EngineClass, Operation};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use super::*;
use crate::testing::{held, now, observed, tenant, usage};

/// One pass, and what it has to be judged as.
struct Case {
    name: &'static str,
    tenant: WorkflowTenant,
    observed: Observed,
    spec: Result<(), Problem<TenantReason>>,
    wait: Option<Wait<TenantReason>>,
    failures: Vec<Problem<TenantReason>>,
    results: Results,
    expected: Expected,
}

type Expected = (TenantPhase, Readiness, TenantReason, &'static str, Next);

fn case(name: &'static str, expected: Expected) -> Case {
    Case {
        name,
        tenant: tenant(),
        observed: observed(Some(held("acme")), Some(usage(1, 0, &[]))),
        spec: Ok(()),
        wait: None,
        failures: Vec::new(),
        results: Results::default(),
        expected,
    }
}

impl Case {
    fn change(mut self, change: impl FnOnce(&mut WorkflowTenant)) -> Self {
        change(&mut self.tenant);
        self
    }

    fn engine(mut self, engine: EngineView) -> Self {
        self.observed.engine = engine;
        self
    }

    fn failure(mut self, failure: Problem<TenantReason>) -> Self {
        self.failures.push(failure);
        self
    }

    fn assess(&self) -> Assessment {
        let plan = Plan { steps: Vec::new(), wait: self.wait.clone() };
        assess(&self.tenant, &self.spec, &self.observed, &plan, &self.failures, &self.results)
    }

    fn events(&self) -> Vec<Event> {
        let former = self.tenant.status.clone().unwrap_or_default();
        build_events(&self.tenant, &former, &self.status(), &self.assess())
    }

    fn status(&self) -> WorkflowTenantStatus {
        build_status::<Tenants>(&self.tenant, &self.assess(), now())
    }
}

fn engine_error(class: EngineClass) -> EngineError {
    EngineError::new(Operation::PutTenant, class, "why")
}

fn write_failure(code: u16) -> Problem<TenantReason> {
    let refusal = test_support::reply::failure(code, "Reason", "why");
    let (operation, object) = ("add the finalizer to", "WorkflowTenant a/b".into());
    problem_of::<Tenants>(&WriteError { operation, object, source: kube::Error::Api(refusal.into()) })
}

fn no_endpoint() -> EngineView {
    EngineView::NotReady(AccessError::NoEndpoint { cluster: "workflow-system/prod-east".into() })
}

fn deleting(tenant: &mut WorkflowTenant) {
    tenant.metadata.deletion_timestamp = Some(Time(now()));
}

const INVALID: Next = Next::Failed(ErrorClass::Invalid);
const TRANSIENT: Next = Next::Failed(ErrorClass::Transient);
const DENIED: Next = Next::Failed(ErrorClass::Denied);
const DEFECT: Next = Next::Failed(ErrorClass::Defect);
const SETTLED: Next = Next::Settled { resync: USAGE_INTERVAL };

fn cases() -> Vec<Case> {
    use Readiness::{InProgress, Ready, Stalled};
    use TenantPhase::{Active, Degraded, Failed, Pending, Suspended};
    let failed = |class| of_engine(&engine_error(class));
    let put = "put tenant: why";
    let paused = "spec.paused is true: nothing is written to the engine";
    let recheck = std::time::Duration::from_secs(9);
    let precondition = EngineClass::Precondition { reason: "RLS_REQUIRED".into() };
    let quota = EngineClass::QuotaExceeded { quota: QuotaKind::Storage, limit: 1, current: 1 };
    vec![
        case(
            "active",
            (Active, Ready, Reason::Synced, "tenant acme is in the engine as the spec says", SETTLED),
        ),
        case(
            "suspended",
            (
                Suspended,
                Ready,
                Reason::Suspended,
                "spec.suspended is true: no new instances and no jobs; nothing is lost",
                SETTLED,
            ),
        )
        .change(|tenant| tenant.spec.suspended = Some(true)),
        case("paused", (Active, Ready, Reason::Paused, paused, SETTLED))
            .change(|tenant| tenant.spec.paused = Some(true)),
        case("paused before it was there", (Pending, InProgress, Reason::Paused, paused, SETTLED))
            .change(|tenant| tenant.spec.paused = Some(true))
            .engine(observed(None, None).engine),
        Case {
            spec: Err(Problem::invalid_spec("why")),
            ..case("invalid", (Failed, Stalled, Reason::InvalidSpec, "why", INVALID))
        },
        Case {
            observed: Observed { cluster: Err(Refused("why".into())), engine: EngineView::NotAsked, clients: None },
            ..case("not granted", (Pending, Stalled, Reason::ReferenceNotPermittedOrMissing, "why", INVALID))
        },
        Case {
            wait: Some(Wait { reason: Reason::ClusterNotReady, message: "why".into(), recheck }),
            ..case("cluster", (Pending, InProgress, Reason::ClusterNotReady, "why", Next::Wait { recheck }))
        },
        Case {
            wait: Some(Wait { reason: Reason::ClusterStopped, message: "why".into(), recheck }),
            ..case("stopped", (Pending, InProgress, Reason::ClusterStopped, "why", Next::Wait { recheck }))
        },
        case("not asked", (Pending, InProgress, Reason::Reconciling, "the engine was not asked", TRANSIENT))
            .engine(EngineView::NotAsked),
        case(
            "no credentials",
            (
                Pending,
                InProgress,
                Reason::EngineCredentialsMissing,
                "WorkflowCluster workflow-system/prod-east has no status.endpoint yet",
                TRANSIENT,
            ),
        )
        .engine(no_endpoint()),
        case("unreachable", (Degraded, InProgress, Reason::EngineUnreachable, put, TRANSIENT))
            .engine(EngineView::Failed(engine_error(EngineClass::Unavailable))),
        case(
            "stale",
            (Degraded, InProgress, Reason::EngineUnreachable, put, Next::Failed(ErrorClass::Conflict)),
        )
        .failure(failed(EngineClass::Stale)),
        case(
            "name taken",
            (
                Failed,
                Stalled,
                Reason::NameTaken,
                "put tenant: why; a WorkflowTenant of this name uses the same engine: delete that one, or rename this one",
                Next::Wait { recheck: std::time::Duration::from_mins(5) },
            ),
        )
        .failure(failed(EngineClass::AlreadyOwned)),
        case("refused credential", (Degraded, Stalled, Reason::EngineCredentialsMissing, put, DENIED))
            .failure(failed(EngineClass::Denied)),
        case("old engine", (Failed, Stalled, Reason::NotSupportedByEngine, put, DEFECT))
            .failure(failed(EngineClass::Unsupported)),
        case("refused", (Failed, Stalled, Reason::RejectedByEngine, put, INVALID))
            .failure(failed(EngineClass::Invalid)),
        case("precondition", (Failed, Stalled, Reason::RejectedByEngine, put, TRANSIENT))
            .failure(failed(precondition)),
        case("former one is being deleted", (Pending, InProgress, Reason::Reconciling, put, Next::Wait { recheck: PURGE_RECHECK }))
            .failure(failed(EngineClass::Precondition { reason: "TENANT_BEING_DELETED".into() })),
        case("quota of the engine", (Failed, Stalled, Reason::RejectedByEngine, put, TRANSIENT))
            .failure(failed(quota)),
        case("not found", (Failed, Stalled, Reason::RejectedByEngine, put, INVALID))
            .failure(failed(EngineClass::NotFound)),
        case("broken engine", (Degraded, Stalled, Reason::InternalError, put, DEFECT))
            .failure(failed(EngineClass::Internal)),
        case("damaged data", (Degraded, Stalled, Reason::InternalError, put, DEFECT))
            .failure(failed(EngineClass::Corrupt)),
    ]
}

fn failed_writes() -> Vec<Case> {
    use Readiness::{InProgress, Stalled};
    use TenantPhase::{Degraded, Pending};
    let finalizer = "failed to add the finalizer to WorkflowTenant a/b: why";
    vec![
        case("may not write", (Pending, Stalled, Reason::Denied, finalizer, DENIED))
            .failure(write_failure(403)),
        case("apiserver away", (Pending, InProgress, Reason::KubernetesUnavailable, finalizer, TRANSIENT))
            .failure(write_failure(503)),
        case(
            "another writer",
            (Pending, InProgress, Reason::Conflict, finalizer, Next::Failed(ErrorClass::Conflict)),
        )
        .failure(write_failure(409)),
        case("malformed", (Degraded, Stalled, Reason::InternalError, finalizer, DEFECT))
            .failure(write_failure(422)),
    ]
}

fn deletions() -> Vec<Case> {
    use Readiness::InProgress;
    use TenantPhase::Deleting;
    let why = "the engine cannot delete the tenant: put tenant: why";
    vec![
        case("deletion: away", (Deleting, InProgress, Reason::DeletionBlocked, why, TRANSIENT))
            .engine(EngineView::Failed(engine_error(EngineClass::Unavailable))),
        case("deletion: refused", (Deleting, InProgress, Reason::DeletionBlocked, why, DENIED))
            .failure(of_engine_deletion(&engine_error(EngineClass::Invalid))),
        case("deletion: stopped", (Deleting, InProgress, Reason::ClusterStopped,
            "WorkflowCluster workflow-system/prod-east is stopped, so its engine cannot be asked; start it, or delete that cluster",
            Next::Wait { recheck: RECHECK_CLUSTER }))
            .engine(EngineView::Unasked(Unasked::Stopped { cluster: "workflow-system/prod-east".into() })),
        case("deletion: no endpoint", (Deleting, InProgress, Reason::DeletionBlocked,
            "WorkflowCluster workflow-system/prod-east has no endpoint, so its engine cannot be asked; correct or delete that cluster",
            Next::Wait { recheck: RECHECK_CLUSTER }))
            .engine(EngineView::Unasked(Unasked::NoEndpoint { cluster: "workflow-system/prod-east".into() })),
        case("deletion: cluster unread", (Deleting, InProgress, Reason::DeletionBlocked, "why", TRANSIENT))
            .engine(EngineView::Unasked(Unasked::Unread(controller_kit::problem::Problem::new(TenantReason::KubernetesUnavailable, controller_kit::outcome::ErrorClass::Transient, "why")))),
        case(
            "deletion: instances run",
            (
                Deleting,
                InProgress,
                Reason::DeletionBlocked,
                "resolve or cancel what runs, or set spec.deletionPolicy to Purge: why",
                TRANSIENT,
            ),
        )
        .failure(of_engine_deletion(&engine_error(EngineClass::Precondition {
            reason: "INSTANCES_ACTIVE".into(),
        }))),
        case(
            "deletion: no credentials",
            (
                Deleting,
                InProgress,
                Reason::DeletionBlocked,
                "the engine cannot be called: WorkflowCluster workflow-system/prod-east has no status.endpoint yet",
                TRANSIENT,
            ),
        )
        .engine(no_endpoint()),
        case(
            "deletion: may not write",
            (
                Deleting,
                InProgress,
                Reason::DeletionBlocked,
                "failed to add the finalizer to WorkflowTenant a/b: why",
                DENIED,
            ),
        )
        .failure(write_failure(403)),
        case(
            "deletion: another writer",
            (
                Deleting,
                InProgress,
                Reason::Deleting,
                "the tenant is deleted, the object goes next",
                Next::Failed(ErrorClass::Conflict),
            ),
        )
        .failure(write_failure(409)),
        Case {
            results: Results { deleted: Some(TenantDeletion::Purging), ..Results::default() },
            ..case(
                "deletion: takes its time",
                (
                    Deleting,
                    InProgress,
                    Reason::Deleting,
                    "the engine is deleting what the tenant has; the object goes when nothing is left",
                    Next::Wait { recheck: PURGE_RECHECK },
                ),
            )
        },
    ]
    .into_iter()
    .map(|case| case.change(deleting))
    .collect()
}

#[test]
fn every_outcome_has_its_phase_reason_message_and_next_look() {
    for case in cases().into_iter().chain(failed_writes()).chain(deletions()) {
        let (phase, readiness, reason, message, next) = case.expected;
        let assessment = case.assess();
        let facts = assessment.facts.clone();
        let expected = Assessment { phase, readiness, reason, message: message.into(), next, facts };
        assert_eq!(assessment, expected, "{}", case.name);
    }
}

/// Reasons that no pass gives: they belong to what every kind can suffer.
const FOREIGN: [TenantReason; 3] = [
    // Reported by the API server, and by the watch.
    Reason::Unseen,
    Reason::Unreadable,
    // Every field of a WorkflowTenant is acted on.
    Reason::FieldsNotActedOn,
];

#[test]
fn every_reason_is_given_by_some_outcome() {
    let mut given: BTreeSet<String> = FOREIGN.iter().map(ToString::to_string).collect();
    for case in cases().into_iter().chain(failed_writes()).chain(deletions()).chain([over_quota()]) {
        given.extend(case.status().conditions.into_iter().map(|condition| condition.reason));
    }
    given.extend(last_events().into_iter().flatten().map(|event| event.reason));
    given.extend(crate::status::clients::tests::reasons());
    given.extend(drift(false).into_iter().chain(drift(true)).map(|event| event.reason));
    let known: BTreeSet<String> = TenantReason::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(known.difference(&given).collect::<Vec<_>>(), Vec::<&String>::new());
}

fn active() -> Case {
    cases().remove(0)
}

fn over_quota() -> Case {
    active().engine(observed(Some(held("acme")), Some(usage(1, 0, &[QuotaKind::ActiveInstances]))).engine)
}

fn drift(adopted: bool) -> Vec<Event> {
    let mut case = active();
    case.tenant.status = Some(case.status());
    case.results.put = Some(PutTenant { outcome: PutOutcome::Updated, adopted });
    case.events()
}

#[test]
fn a_correction_is_an_event_once_the_tenant_was_settled() {
    let corrected = Event {
        type_: EventType::Normal,
        reason: "DriftCorrected".into(),
        note: "the tenant in the engine differed from the spec and was corrected".into(),
    };
    assert_eq!(drift(false), [corrected]);
    let note = "tenant acme was in the engine already; this object manages it now";
    let adopted = Event { type_: EventType::Normal, reason: "Adopted".into(), note: note.into() };
    assert_eq!(drift(true), [adopted]);
    let mut new = active();
    new.results.put = Some(PutTenant { outcome: PutOutcome::Created, adopted: false });
    let reported = new.events();
    assert_eq!(reported.into_iter().map(|event| event.reason).collect::<Vec<_>>(), ["Synced"]);
}

/// Forced without an answer, forced with one, retained, purged, forced for nothing, deleted, cluster gone.
fn last_events() -> [Option<Event>; 7] {
    let last_event = |forced: bool, policy: &str, engine: EngineView, deleted: Option<TenantDeletion>| {
        let mut tenant = tenant();
        if forced {
            tenant.annotations_mut().insert(FORCE_DELETE.into(), "true".into());
        }
        tenant.spec.deletion_policy = serde_json::from_value(json!(policy)).unwrap();
        let observed = Observed { engine, ..observed(None, None) };
        build_last_events(&tenant, &observed, &Results { deleted, ..Results::default() }).pop()
    };
    let answered = || observed(Some(held("acme")), None).engine;
    [
        last_event(true, "Delete", EngineView::Failed(engine_error(EngineClass::Unavailable)), None),
        last_event(true, "Delete", answered(), None),
        last_event(false, "Retain", answered(), Some(TenantDeletion::Kept)),
        last_event(false, "Purge", answered(), Some(TenantDeletion::Deleted)),
        last_event(true, "Delete", observed(None, None).engine, None),
        last_event(false, "Delete", answered(), Some(TenantDeletion::Deleted)),
        last_event(false, "Delete", EngineView::Unasked(Unasked::ClusterGone), None),
    ]
}

#[test]
fn what_is_left_behind_is_the_last_event() {
    let forced = Event {
        type_: EventType::Warning,
        reason: "DeletionForced".into(),
        note: "DeletionForced: tenant acme may still be in the engine".into(),
    };
    let retained = Event {
        type_: EventType::Normal,
        reason: "Retained".into(),
        note: "tenant acme stays in the engine".into(),
    };
    let purged = Event {
        type_: EventType::Normal,
        reason: "Purged".into(),
        note: "tenant acme was deleted from the engine with everything that ran".into(),
    };
    let left = Event {
        type_: EventType::Warning,
        reason: "LeftInDatabase".into(),
        note: "LeftInDatabase: tenant acme may still be in the database of its cluster, which is gone; the same object \
               applied again takes it over"
            .into(),
    };
    let expected = [Some(forced.clone()), Some(forced), Some(retained), Some(purged), None, None, Some(left)];
    assert_eq!(last_events(), expected);
}

#[test]
fn an_outage_or_a_stop_does_not_rewrite_the_status_of_an_active_tenant() {
    let settled = active().status();
    for mut case in cases().into_iter().chain(failed_writes()) {
        case.tenant.status = Some(settled.clone());
        let kept = case.status() == settled;
        assert_eq!(kept, ["active", "unreachable", "stale", "stopped"].contains(&case.name), "{}", case.name);
    }
}

#[test]
fn usage_moves_only_with_what_matters() {
    let cases =
        [(None, 7, 7), (Some(100), 105, 100), (Some(100), 106, 106), (Some(10), 0, 0), (Some(0), 1, 1)];
    for (former, current, shown) in cases {
        assert_eq!(steady(former, current), shown, "{former:?} to {current}");
    }
    let sizes = [0, 99_999_999, 100_000_000, 12_345_000_000].map(gigabytes);
    assert_eq!(sizes.map(|size| size.to_string()), ["0", "0", "0.1", "12.3"]);
}
