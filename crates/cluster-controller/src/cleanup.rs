//! The plan of a cluster that is being deleted. Pure.
//!
//! Kubernetes deletes in no order: a namespace, a prune of a GitOps tool or one `kubectl delete -f` takes cluster, tenants
//! and processes together. What those have in the database can only be cleaned up while the engine runs, so the cluster
//! stays, with all that it consists of, until they are done.

use std::time::Duration;

use api_types::WorkflowCluster;
use api_types::cluster::{ClusterDeletionPolicy, ClusterReason};
use api_types::labels::FORCE_DELETE;
use api_types::reason::Reason as _;
use controller_kit::events::{Event, EventType};
use controller_kit::message::listed;
use controller_kit::plan::{Desired, Wait};
use jiff::Timestamp;
use kube::ResourceExt as _;

use crate::observe::backups::Awaited;
use crate::observe::dependants::{Dependant, EngineLife, Remains};
use crate::plan::{ClusterStep, Step};
use crate::upgrade::withdrawal::unwanted_by_deleted;

/// Deletions that belong together do not arrive at the same moment.
pub const GRACE: Duration = Duration::from_secs(10);
/// A tenant whose instances still run is not cleaned up before they end: nothing waits for that without an end.
pub const LONGEST: Duration = Duration::from_mins(5);
/// Hundreds of tenants and processes may change at once: one pass per second is less than one per change.
const RECHECK: Duration = Duration::from_secs(1);
/// Characters for the names in a message, which has 256 in all.
const ROOM_FOR_NAMES: usize = 120;

/// Ordered steps, then what is awaited.
pub type Plan = controller_kit::plan::Plan<Step, ClusterReason>;

/// Waits for the dependants that are being deleted, too. Within [`GRACE`] the deletion of others may still begin; after
/// that those that are not being deleted are not awaited. Nothing is awaited when the engine is gone, nor after
/// [`LONGEST`]. A last backup comes first; `wake` is the order by which a database that sleeps serves for it.
#[must_use]
pub fn plan_cleanup(
    cluster: &WorkflowCluster,
    remains: &Remains,
    wake: Option<Desired>,
    now: Timestamp,
) -> Plan {
    let mut steps: Vec<_> =
        unwanted_by_deleted(&remains.jobs).into_iter().map(ClusterStep::WithdrawJob).map(Step::Own).collect();
    if let Some((reason, message)) = await_snapshot(cluster, remains) {
        steps.extend(wake.map(Step::Apply));
        return Plan { steps, wait: Some(Wait { reason, message, recheck: RECHECK }) };
    }
    match judge(cluster, remains, now) {
        Verdict::Wait(message) => {
            let wait = Wait { reason: ClusterReason::AwaitingDependants, message, recheck: RECHECK };
            Plan { steps, wait: Some(wait) }
        }
        Verdict::Go(_) => {
            let release = remains.release.clone();
            steps.extend(release.map(ClusterStep::ReleaseDatabase).map(Step::Own));
            steps.push(Step::RemoveFinalizer);
            Plan { steps, wait: None }
        }
    }
}

/// With `deletionPolicy: Snapshot`, what keeps the cluster until its last backup is complete; nothing when a person gives that
/// up, or when there was never a database to back up.
fn await_snapshot(cluster: &WorkflowCluster, remains: &Remains) -> Option<(ClusterReason, String)> {
    let has_run = cluster.status.as_ref().is_some_and(|status| status.version.is_some());
    let wants_snapshot = cluster.spec.deletion_policy() == ClusterDeletionPolicy::Snapshot;
    if !wants_snapshot || !has_run || is_forced(cluster) {
        return None;
    }
    match &remains.last_backup {
        Awaited::Completed => None,
        Awaited::Missing => Some((
            ClusterReason::SnapshotAwaited,
            "the last backup, a WorkflowBackup, is being created".to_owned(),
        )),
        Awaited::Running(name) => Some((
            ClusterReason::SnapshotAwaited,
            format!("the last backup, WorkflowBackup {name}, is being made"),
        )),
        Awaited::Failed(name, why) => {
            Some((ClusterReason::SnapshotFailed, format!("WorkflowBackup {name} failed: {why}")))
        }
    }
}

/// The event of a cluster that goes, if something of its dependants is left in the database.
#[must_use]
pub fn build_left_event(cluster: &WorkflowCluster, remains: &Remains, now: Timestamp) -> Option<Event> {
    match judge(cluster, remains, now) {
        Verdict::Wait(_) => None,
        Verdict::Go(event) => event,
    }
}

enum Verdict {
    Wait(String),
    Go(Option<Event>),
}

fn judge(cluster: &WorkflowCluster, remains: &Remains, now: Timestamp) -> Verdict {
    let Remains { engine, dependants, .. } = remains;
    if dependants.is_empty() {
        return Verdict::Go(None);
    }
    let go = |why: &str| Verdict::Go(Some(build_last_event(ClusterReason::LeftInDatabase, why, dependants)));
    if is_forced(cluster) {
        let last_event = build_last_event(ClusterReason::DeletionForced, "was not awaited", dependants);
        return Verdict::Go(Some(last_event));
    }
    match engine {
        EngineLife::Gone => return go("could not be cleaned up: the engine is gone already"),
        EngineLife::Stopped => {
            return go("could not be cleaned up: the engine is stopped (spec.stopped, or spec.replicas 0)");
        }
        EngineLife::Lives => {}
    }
    let waited = cluster
        .metadata
        .deletion_timestamp
        .as_ref()
        .and_then(|since| Duration::try_from(now.duration_since(since.0)).ok())
        .unwrap_or_default();
    if waited >= LONGEST {
        return go("was not cleaned up within five minutes");
    }
    let leaving: Vec<&Dependant> = dependants.iter().filter(|dependant| dependant.deleting).collect();
    match (leaving.is_empty(), waited < GRACE) {
        (true, true) => Verdict::Wait(format!(
            "the engine serves on for {} s, should these be deleted too: {}",
            GRACE.as_secs(),
            reported(dependants)
        )),
        (true, false) => go("was not deleted"),
        (false, _) => Verdict::Wait(format!(
            "the engine serves on, for at most {} minutes, until these are cleaned up: {}",
            LONGEST.as_secs() / 60,
            reported(leaving)
        )),
    }
}

/// Does a person give up what the dependants have in the database?
fn is_forced(cluster: &WorkflowCluster) -> bool {
    cluster.annotations().get(FORCE_DELETE).is_some_and(|value| value == "true")
}

fn build_last_event(reason: ClusterReason, why: &str, dependants: &[Dependant]) -> Event {
    let note = format!(
        "{reason}: the database keeps what {why}; the same objects applied again take it over: {}",
        reported(dependants)
    );
    Event { type_: EventType::Warning, reason: reason.as_str().to_owned(), note }
}

/// The names, as many as there is room for.
fn reported<'d>(dependants: impl IntoIterator<Item = &'d Dependant>) -> String {
    let names: Vec<String> = dependants.into_iter().map(ToString::to_string).collect();
    listed(&names, ROOM_FOR_NAMES)
}

#[cfg(test)]
mod tests;
