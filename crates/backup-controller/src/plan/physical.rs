//! A base backup by CloudNativePG: whether there can be one, and what follows from what CloudNativePG says of it. Pure.

use std::time::Duration;

use agent_jobs::destination::{
    agent_destination, backup_id, encryption_of, location, method_of, server_name,
};
use api_types::backup::{BackupArtefact, BackupDestination, BackupMethod, BackupReason as Reason};
use api_types::cluster::BARMAN_CLOUD_INSTALL;
use api_types::{WorkflowBackup, WorkflowCluster};
use backup_format::PhysicalId;
use controller_kit::plan::Desired;
use jiff::Timestamp;
use kube::ResourceExt as _;

use super::{
    BackupPlan, BackupStep, Begun, Course, RECHECK_JOB, RECHECK_WATCHED, Step, Wait, missing_finalizer, only,
    recorded, runs,
};
use crate::args::Settings;
use crate::children::{Order, base_backup, inspect_job};
use crate::observe::Observed;
use crate::observe::base_backup::{BaseState, BaseView};

/// Whether a backup was begun as a base backup.
pub(super) fn is_base(backup: &WorkflowBackup) -> bool {
    let artefact = backup.status.as_ref().and_then(|status| status.artefact.as_ref());
    artefact.is_some_and(|artefact| artefact.method == BackupMethod::CloudNativePg)
}

/// Where the base backup will be; why there can be none. Its id is known when CloudNativePG has given it one: until then it is
/// one under which nothing is at the destination.
pub(super) fn plan_artefact(
    backup: &WorkflowBackup,
    cluster: &WorkflowCluster,
    destination: BackupDestination,
) -> Result<Begun, (Reason, String)> {
    let name = cluster.name_any();
    let unsupported = |why: &str| Err((Reason::MethodUnsupported, format!("method CloudNativePG {why}")));
    if cluster.spec.postgres.managed.is_none() {
        return unsupported(&format!("is for spec.postgres.managed, which WorkflowCluster {name} has not"));
    }
    if destination.s3.is_none() {
        return unsupported("needs a destination in S3");
    }
    let of_cluster = cluster.spec.backup.as_ref().and_then(|settings| settings.destination.as_ref());
    if cluster.spec.wal_archive().is_none() || of_cluster != Some(&destination) {
        return unsupported(&format!(
            "needs spec.backup.method CloudNativePG in WorkflowCluster {name}, and its spec.backup.destination: the WAL is there"
        ));
    }
    if encryption_of(cluster).is_some() {
        return unsupported("does not encrypt: let the bucket do that");
    }
    let url = agent_destination(&destination).map_err(|message| (Reason::DestinationInvalid, message))?;
    let server = server_name(cluster);
    Ok(Begun {
        backup_id: backup_id(backup),
        location: format!("{url}/{server}"),
        artefact: BackupArtefact {
            method: method_of(backup, cluster),
            destination,
            server_name: Some(server),
            encryption: None,
        },
        engine_version: super::engine_version(cluster).map(str::to_owned),
    })
}

/// The `Backup` is to be made, or cannot be.
pub(super) fn plan_making(backup: &WorkflowBackup, observed: &Observed) -> BackupPlan {
    let name = base_backup::name(backup);
    match &observed.base {
        Some(BaseView::KindMissing) => {
            let message = format!(
                "method CloudNativePG needs CloudNativePG and its plugin Barman Cloud, which are not installed: {BARMAN_CLOUD_INSTALL}"
            );
            only(Course::Waits(Wait::stalled(Reason::ProviderMissing, message, RECHECK_WATCHED)))
        }
        Some(BaseView::Foreign(object)) => {
            let message = format!("{object} exists and belongs to something else: delete it");
            only(Course::Waits(Wait::stalled(Reason::NameTaken, message, RECHECK_WATCHED)))
        }
        Some(BaseView::Absent) => {
            let desired = Desired::of(&base_backup::build(backup));
            let mut steps = missing_finalizer(backup);
            steps.push(Step::Own(BackupStep::CreateBaseBackup(Box::new(desired))));
            BackupPlan { steps, course: Course::Runs(is_made(&name)) }
        }
        Some(BaseView::Known { .. }) | None => only(Course::Runs(is_made(&name))),
    }
}

/// What follows from a `Backup` that is there; `None` when there is none.
pub(super) fn plan_going(
    backup: &WorkflowBackup,
    observed: &Observed,
    settings: &Settings,
    now: Timestamp,
) -> Option<BackupPlan> {
    let Some(BaseView::Known { made, state }) = &observed.base else { return None };
    let name = base_backup::name(backup);
    let fails = |message| only(Course::Fails { reason: Reason::ProviderBackupFailed, message });
    Some(match state {
        BaseState::Completed(Some(id)) => return plan_inspection(backup, id, observed, settings),
        BaseState::Completed(None) => fails(format!("CloudNativePG gave Backup {name} no id")),
        BaseState::Failed(why) => fails(format!("CloudNativePG gave up Backup {name}: {why}")),
        BaseState::Going | BaseState::ArchiveFails if is_over(*made, observed, now) => fails(format!(
            "Backup {name} was not done within {} s (maxSeconds)",
            max_seconds(observed).as_secs()
        )),
        BaseState::ArchiveFails => {
            let message = format!("Backup {name} waits: the WAL cannot be archived at the destination");
            only(Course::Runs(Wait::stalled(Reason::ProviderBackupFailed, message, RECHECK_JOB)))
        }
        BaseState::Going => only(Course::Runs(is_made(&name))),
    })
}

/// CloudNativePG says that it is complete. That counts once the destination has shown it. `None` when nothing was begun.
fn plan_inspection(
    backup: &WorkflowBackup,
    id: &PhysicalId,
    observed: &Observed,
    settings: &Settings,
) -> Option<BackupPlan> {
    let (begun, id) = (recorded(backup)?, id.to_string());
    if begun.backup_id != id {
        let location = location(&begun.artefact.destination, &id);
        return Some(only(Course::Begins(Box::new(Begun { backup_id: id, location, ..begun }))));
    }
    let scheduling = observed.cluster.as_ref().and_then(|cluster| cluster.spec.scheduling.as_ref());
    let order = Order::of(backup, scheduling, settings)?;
    let desired =
        Desired::of(&inspect_job::build(&order, begun.engine_version.as_deref().unwrap_or_default()));
    let course = Course::Runs(runs(&desired.name));
    let mut steps = missing_finalizer(backup);
    steps.push(Step::Own(BackupStep::CreateJob(Box::new(desired))));
    Some(BackupPlan { steps, course })
}

fn is_made(name: &str) -> Wait {
    Wait::passing(Reason::BackupRunning, format!("CloudNativePG makes Backup {name}"), RECHECK_JOB)
}

fn max_seconds(observed: &Observed) -> Duration {
    let settings =
        observed.cluster.as_ref().and_then(|cluster| cluster.spec.backup.clone()).unwrap_or_default();
    Duration::from_secs(u64::from(settings.max_seconds()))
}

fn is_over(made: Option<Timestamp>, observed: &Observed, now: Timestamp) -> bool {
    let age = made.and_then(|made| Duration::try_from(now.duration_since(made)).ok());
    age.is_some_and(|age| age > max_seconds(observed))
}
