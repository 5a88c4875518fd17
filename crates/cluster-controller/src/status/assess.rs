//! The judgement of a pass; what comes first counts.

mod phase;
mod postgres;
mod recovery;
mod upgrade;

use std::time::Duration;

use api_types::WorkflowCluster;
use api_types::cluster::ClusterReason as Reason;
use api_types::cluster::{ClusterPhase, ClusterReason};
use api_types::condition::RECONCILING;
use api_types::engine_access::engine_name;
use api_types::labels::ADOPT;
use api_types::reason::Reason as _;
use controller_kit::assessment::readiness_of;
use controller_kit::condition::{Readiness, find};
use controller_kit::events::{Event, EventType};
use controller_kit::outcome::{ErrorClass, Next};
use controller_kit::pass::Scene;
use controller_kit::plan::Wait;
use controller_kit::problem::Problem;
use engine_client::model::HealthState;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::ResourceExt as _;

use super::facts::{migration_message, why_stopped};
use super::{Assessment, Facts, RESYNC};
use crate::children::migration_job::UpTo;
use crate::external::External;
use crate::kind::{Applied, Clusters};
use crate::observe::children::is_observed;
use crate::observe::engine::EngineView;
use crate::observe::obstacles::PodOwner;
use crate::observe::pods::{PodHealth, PodView};
use crate::observe::{Observed, View};
use crate::plan::{ClusterPlan, Plan, Step, Unproven};
use crate::upgrade::migration::{JobState, Migration};
use crate::upgrade::rollout::EngineTemplate;
use crate::validate::Target;
use phase::has_run;

/// What is awaited is watched, but pods and engines are not.
const RECHECK_MOVING: Duration = Duration::from_secs(5);
/// The next pass follows from what this one made.
const RECHECK_AT_ONCE: Duration = Duration::from_secs(1);
/// A pod that is not ready for so long is reported by name.
const UNREADY_IS_A_PROBLEM_AFTER: Duration = Duration::from_mins(1);

/// A cluster that is being deleted: nothing is made anew, and its children are deleted with it.
#[must_use]
pub fn assess_deletion() -> Assessment {
    Assessment {
        phase: ClusterPhase::Deleting,
        readiness: Readiness::InProgress,
        reason: Reason::Deleting,
        message: "the owned objects are being deleted; the database is kept".to_owned(),
        next: Next::Gone,
        facts: None,
    }
}

/// A cluster that is being deleted and waits for its dependants. Its endpoint stays in the status, because they have to
/// ask its engine.
#[must_use]
pub fn assess_cleanup(wait: &Wait<ClusterReason>) -> Assessment {
    Assessment::of_wait(ClusterPhase::Deleting, wait)
}

/// A cluster that is being deleted, and whose finalizer the API server does not let us remove.
#[must_use]
pub fn assess_stuck_deletion(problem: &Problem<ClusterReason>) -> Assessment {
    Assessment { message: problem.to_string(), next: Next::Failed(problem.class), ..assess_deletion() }
}

/// A spec that cannot be acted on. Jobs that it does not ask for, and that could not be withdrawn, are tried again until they
/// go.
#[must_use]
pub fn assess_refusal(
    cluster: &WorkflowCluster,
    problem: &Problem<ClusterReason>,
    not_withdrawn: Option<&Problem<ClusterReason>>,
) -> Assessment {
    let is_unsupported = problem.reason == Reason::FieldsNotActedOn;
    let phase =
        if is_unsupported && !has_run(cluster) { ClusterPhase::Pending } else { ClusterPhase::Failed };
    let next = Next::Failed(not_withdrawn.map_or(problem.class, |problem| problem.class));
    Assessment { next, ..Assessment::of_problem(phase, problem) }
}

/// A world that could not be read.
#[must_use]
pub fn assess_unread(cluster: &WorkflowCluster, problem: &Problem<ClusterReason>) -> Assessment {
    let phase = if has_run(cluster) { ClusterPhase::Degraded } else { ClusterPhase::Pending };
    Assessment::of_problem(phase, problem)
}

/// Judges a pass over a cluster in any state.
#[must_use]
pub fn assess_pass(scene: &Scene<'_, Clusters>, plan: &ClusterPlan, applied: &Applied) -> Assessment {
    let failure = applied.failures.first();
    match (plan, scene.observed, scene.spec) {
        (ClusterPlan::Plan(plan), View::World(observed), Ok(target)) => {
            assess(scene.object, target, observed, plan, applied, scene.now)
        }
        (ClusterPlan::Cleanup(_), ..) if let Some(problem) = failure => assess_stuck_deletion(problem),
        (ClusterPlan::Cleanup(plan), ..) => plan.wait.as_ref().map_or_else(assess_deletion, assess_cleanup),
        (_, _, Err(problem)) => assess_refusal(scene.object, problem, failure),
        (_, _, Ok(_)) => assess_deletion(),
    }
}

/// Judges a pass.
#[must_use]
pub fn assess(
    cluster: &WorkflowCluster,
    target: &Target,
    observed: &Observed,
    plan: &Plan,
    applied: &Applied,
    now: Timestamp,
) -> Assessment {
    let judge = Judge { cluster, target, observed, plan, now };
    let Judgement { phase, readiness, reason, message, next } = judge
        .judge_failure(applied)
        .or_else(|| judge.judge_paused())
        .or_else(|| judge.judge_names())
        .or_else(|| judge.judge_claim())
        .or_else(|| judge.judge_scaling())
        .or_else(|| judge.judge_postgres())
        .or_else(|| judge.judge_recovery())
        .or_else(|| judge.judge_migration())
        .or_else(|| judge.judge_upgrade())
        .or_else(|| judge.judge_pods())
        .or_else(|| judge.judge_provider())
        .unwrap_or_else(|| judge.judge_engine());
    // A key's id is reported when it was read, and workers wait for it.
    let next = match next {
        Next::Settled { .. } if plan.writes_credentials => Next::Wait { recheck: RECHECK_AT_ONCE },
        next => next,
    };
    let events = build_done(plan, applied);
    let facts = Some(Facts { events, ..Facts::of(cluster, target, observed, plan, now) });
    Assessment { phase, readiness, reason, message, next, facts }
}

struct Judgement {
    phase: ClusterPhase,
    readiness: Readiness,
    reason: ClusterReason,
    message: String,
    next: Next,
}

struct Judge<'a> {
    cluster: &'a WorkflowCluster,
    target: &'a Target,
    observed: &'a Observed,
    plan: &'a Plan,
    now: Timestamp,
}

impl Judge<'_> {
    fn judge_failure(&self, applied: &Applied) -> Option<Judgement> {
        let problem = applied.failures.first()?;
        let readiness = readiness_of(problem.class);
        let phase = match readiness {
            Readiness::Stalled => self.problem_phase(ClusterPhase::Failed),
            Readiness::Ready | Readiness::InProgress => self.moving_phase(),
        };
        // A child that the spec makes invalid is mended by another spec. Until then everything else is still looked after.
        let next = match problem.class {
            ErrorClass::Invalid => Next::Wait { recheck: RESYNC },
            class => Next::Failed(class),
        };
        Some(Judgement { phase, readiness, reason: problem.reason, message: problem.to_string(), next })
    }

    fn judge_paused(&self) -> Option<Judgement> {
        let is_served = self.observed.is_rolled_out(self.cluster.spec.engine_pods());
        let stays = match &self.plan.upgrade.migration {
            Migration::Withdrawn { job, version } => format!(
                "; migration Job {job} for version {version}, which the spec does not ask for, stays until then"
            ),
            _ => String::new(),
        };
        self.cluster.spec.is_paused().then(|| Judgement {
            phase: if is_served { self.settled_phase() } else { self.problem_phase(ClusterPhase::Pending) },
            readiness: if is_served { Readiness::Ready } else { Readiness::InProgress },
            reason: Reason::Paused,
            message: format!("spec.paused is true: no owned object is written{stays}"),
            next: Next::Settled { resync: RESYNC },
        })
    }

    fn judge_names(&self) -> Option<Judgement> {
        let (reason, message) = match (self.plan.taken.first(), self.plan.unproven.first()) {
            (Some(taken), _) => {
                let message = format!("{taken} exists and belongs to something else: delete or rename it");
                (Reason::NameTaken, message)
            }
            (None, Some(Unproven { object, uid })) => {
                let message = format!(
                    "{object} has no proof that this installation wrote it: delete it, or take it over with \
                     annotation {ADOPT}: {uid}"
                );
                (Reason::SecretUnproven, message)
            }
            (None, None) => return None,
        };
        Some(Judgement {
            phase: self.problem_phase(ClusterPhase::Failed),
            readiness: Readiness::Stalled,
            reason,
            message,
            next: Next::Wait { recheck: RESYNC },
        })
    }

    /// Reported before everything that follows from it, and only in the pass that does it.
    fn judge_scaling(&self) -> Option<Judgement> {
        let (from, to) = self.plan.upgrade.rollout.change.scale?;
        Some(Judgement {
            phase: self.moving_phase(),
            readiness: Readiness::InProgress,
            reason: if to > from { Reason::ScalingUp } else { Reason::ScalingDown },
            message: format!("Reconciling cluster, replicas {from} → {to}"),
            next: Next::Wait { recheck: RECHECK_AT_ONCE },
        })
    }

    /// Only in the pass that does it.
    fn judge_claim(&self) -> Option<Judgement> {
        let message = || "the database is being claimed for this WorkflowCluster".to_owned();
        self.plan.claims_database.then(|| self.moving(Reason::Reconciling, message(), RECHECK_AT_ONCE))
    }

    fn judge_migration(&self) -> Option<Judgement> {
        if let Migration::Refused { reason, message } = &self.plan.upgrade.migration {
            return Some(self.stalled(*reason, message.clone()));
        }
        if let Migration::Withdrawn { .. } = &self.plan.upgrade.migration {
            let (reason, message) = migration_message(self.plan)?;
            return Some(self.moving(reason, message, RECHECK_AT_ONCE * 2));
        }
        let Migration::Needed { up_to, state, .. } = &self.plan.upgrade.migration else { return None };
        if !self.plan.upgrade.permit.job {
            return None;
        }
        if *up_to == UpTo::Expand && *state == JobState::Succeeded {
            return None;
        }
        let (reason, message) = migration_message(self.plan)?;
        if *state == JobState::Failed {
            return Some(self.stalled(reason, message));
        }
        let recheck = if matches!(state, JobState::Running(_) | JobState::FailedCreate(_)) {
            RECHECK_MOVING
        } else {
            RECHECK_AT_ONCE * 2
        };
        Some(Judgement {
            phase: self.moving_phase(),
            readiness: Readiness::InProgress,
            reason,
            message,
            next: Next::Wait { recheck },
        })
    }

    fn judge_problem(&self) -> Option<Judgement> {
        self.judge_problem_of(|_| true)
    }

    fn judge_problem_of(&self, is_judged: impl Fn(&PodView) -> bool) -> Option<Judgement> {
        let mut judged = self.observed.pods.iter().filter(|pod| is_judged(pod));
        let problem = judged.find_map(|pod| self.problem_of_pod(pod))?;
        let phase = self.missing_pods_phase();
        Some(Judgement { phase, ..self.moving(Reason::EngineUnhealthy, problem, RECHECK_MOVING) })
    }

    fn judge_pods(&self) -> Option<Judgement> {
        let (children, replicas) = (&self.observed.children, self.cluster.spec.engine_pods());
        let Some(set) = children.stateful_set() else {
            return Some(self.moving(
                Reason::Reconciling,
                "the engine's objects are being created".to_owned(),
                RECHECK_AT_ONCE,
            ));
        };
        if self.observed.is_rolled_out(replicas) && !self.plan.upgrade.rollout.is_rolling {
            return None;
        }
        if let Some(failed) = self.observed.obstacles.failed_create(PodOwner::StatefulSet, &set.name_any()) {
            let phase = self.missing_pods_phase();
            return Some(Judgement {
                phase,
                ..self.moving(Reason::FailedCreate, failed.message(), RECHECK_MOVING)
            });
        }
        if let Some(problem) = self.judge_problem() {
            return Some(problem);
        }
        if !is_observed(set)
            && let Some(unchanged) = self.judge_as_before()
        {
            return Some(unchanged);
        }
        let status = set.status.clone().unwrap_or_default();
        let ready = children.ready_replicas();
        if self.plan.upgrade.rollout.is_rolling && status.replicas > 0 {
            let updated =
                if self.plan.upgrade.rollout.change.template { 0 } else { self.observed.replaced_pods() };
            let message = format!("{updated} of {replicas} engine pods have been replaced");
            return Some(self.moving(Reason::RollingOut, message, RECHECK_MOVING));
        }
        if status.replicas > replicas {
            let message = match status.replicas - replicas {
                1 => "1 engine pod is ending".to_owned(),
                several => format!("{several} engine pods are ending"),
            };
            return Some(self.moving(Reason::ScalingDown, message, RECHECK_MOVING));
        }
        Some(self.moving(
            Reason::EngineStarting,
            format!("{ready} of {replicas} engine pods are ready"),
            RECHECK_MOVING,
        ))
    }

    /// Until Kubernetes has seen the latest change, its counts say nothing new: what was reported while something moved stays.
    fn judge_as_before(&self) -> Option<Judgement> {
        let conditions = &self.cluster.status.as_ref()?.conditions;
        let moving = find(conditions, RECONCILING)?;
        let reason = ClusterReason::ALL.iter().find(|known| known.as_str() == moving.reason)?;
        Some(self.moving(*reason, moving.message.clone(), RECHECK_AT_ONCE))
    }

    /// What holds this pod up, in words. A pod that is being replaced anyway is not reported.
    fn problem_of_pod(&self, pod: &PodView) -> Option<String> {
        if pod.health.is_ready() || pod.terminating || pod.ordinal.is_none() {
            return None;
        }
        if let Some(problem) = self.observed.problem_message(pod) {
            return Some(format!("engine pod {}: {problem}", pod.name));
        }
        let PodHealth::Unready { since } = pod.health else { return None };
        let unready = Duration::try_from(self.now.duration_since(since?)).unwrap_or_default();
        (unready >= UNREADY_IS_A_PROBLEM_AFTER)
            .then(|| format!("engine pod {} does not become ready: look at its events and log", pod.name))
    }

    fn judge_engine(&self) -> Judgement {
        let replicas = self.cluster.spec.engine_pods();
        if replicas == 0 {
            let message = format!("{}: no engine pod runs, the data is kept", why_stopped(self.cluster));
            return self.settled(Reason::Stopped, message);
        }
        let unhealthy = |problem: String| Judgement {
            phase: self.problem_phase(ClusterPhase::Provisioning),
            ..self.moving(Reason::EngineUnhealthy, problem, RECHECK_MOVING)
        };
        match &self.observed.engine {
            EngineView::NotAsked => self.moving(
                Reason::EngineStarting,
                "waiting for the first answer of the engine".to_owned(),
                RECHECK_AT_ONCE,
            ),
            EngineView::Unreachable(problem) => unhealthy(format!("the engine does not answer: {problem}")),
            EngineView::Answered { state: HealthState::Serving, .. } if self.external().is_pending => Judgement {
                phase: self.settled_phase(),
                ..self.moving(
                    Reason::LoadBalancerPending,
                    format!(
                        "the engine serves, and Service {} has no address of a load balancer yet: the cloud gives it",
                        engine_name(&self.cluster.name_any())
                    ),
                    RESYNC,
                )
            },
            EngineView::Answered { state: HealthState::Serving, .. } => {
                let pods = if replicas == 1 { "pod serves" } else { "pods serve" };
                self.settled(
                    Reason::Running,
                    format!("{replicas} engine {pods} at version {}", self.running_version()),
                )
            }
            EngineView::Answered { state, problem } => {
                let word = if *state == HealthState::Degraded { "degraded" } else { "not serving" };
                let problem = problem.as_ref().map(|problem| format!(": {problem}")).unwrap_or_default();
                unhealthy(format!("the engine says that it is {word}{problem}"))
            }
        }
    }

    fn external(&self) -> External {
        External::of(self.cluster, self.observed.children.client_service())
    }

    fn running_version(&self) -> String {
        let running = self.observed.running_version().map(str::to_owned);
        running.unwrap_or_else(|| {
            let template = self.plan.upgrade.rollout.template.as_ref();
            template.map_or(&self.target.version, EngineTemplate::version).to_string()
        })
    }

    fn settled(&self, reason: ClusterReason, message: String) -> Judgement {
        let phase = self.settled_phase();
        Judgement {
            phase,
            readiness: Readiness::Ready,
            reason,
            message,
            next: Next::Settled { resync: RESYNC },
        }
    }

    fn stalled(&self, reason: ClusterReason, message: String) -> Judgement {
        Judgement {
            phase: self.problem_phase(ClusterPhase::Failed),
            readiness: Readiness::Stalled,
            reason,
            message,
            // The database may be restored, the Job deleted: looked at again, but nothing is repeated.
            next: Next::Wait { recheck: RESYNC },
        }
    }

    fn moving(&self, reason: ClusterReason, message: String, recheck: Duration) -> Judgement {
        Judgement {
            phase: self.moving_phase(),
            readiness: Readiness::InProgress,
            reason,
            message,
            next: Next::Wait { recheck },
        }
    }
}

/// What was done and is worth an event.
fn build_done(plan: &Plan, applied: &Applied) -> Vec<Event> {
    let mut reported = Vec::new();
    let mut report = |reason: ClusterReason, note: &str| {
        reported.push(Event {
            type_: EventType::Normal,
            reason: reason.as_str().to_owned(),
            note: note.to_owned(),
        });
    };
    let change = plan.upgrade.rollout.change;
    let writes_set =
        plan.steps.iter().any(|step| matches!(step, Step::Apply(desired) if desired.is_a::<StatefulSet>()));
    if writes_set && applied.failures.is_empty() && (change.scale.is_some() || change.template) {
        report(Reason::StatefulSetUpdated, "StatefulSet updated successfully");
    }
    if let Some(former) = &applied.results.former_claim {
        let uid = &former.uid;
        let note = format!("the database was taken over from {} (uid {uid})", former.identity.in_words());
        report(Reason::DatabaseTakenOver, &note);
    }
    if applied.results.renewed_certificate {
        report(
            Reason::CertificateRotated,
            "the engine's certificate was renewed; its pods take it over without a restart",
        );
    }
    reported
}
