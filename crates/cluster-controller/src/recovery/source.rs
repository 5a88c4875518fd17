//! The backup that a cluster begins with, or why it cannot be used. Pure.

use agent_jobs::destination::agent_destination;
use api_types::WorkflowBackup;
use api_types::backup::{BackupDestination, BackupMethod, BackupPhase, WorkflowBackupStatus};
use api_types::cluster::{ClusterReason, Recovery};
use backup_format::PhysicalId;
use engine_api::version_policy::{Verdict, judge as judge_version};
use jiff::Timestamp;
use kube::ResourceExt as _;
use semver::Version;

use crate::children::BuildInput;
use crate::provider::archive::Origin;

/// A backup.
pub(super) enum Source {
    /// The agent loads it.
    Logical(Box<Wanted>),
    /// The provider makes the database from it.
    Base(Box<Origin>),
}

/// A backup that the agent loads, as far as it needs to know it.
pub(super) struct Wanted {
    pub(super) id: String,
    pub(super) destination: BackupDestination,
    pub(super) url: String,
    pub(super) digest: Option<String>,
    pub(super) identity_secret: Option<String>,
}

impl Source {
    pub(super) fn id(&self) -> String {
        match self {
            Self::Logical(wanted) => wanted.id.clone(),
            Self::Base(origin) => origin.id.to_string(),
        }
    }
}

type Refusal = (ClusterReason, String);

fn refused<T>(message: impl Into<String>) -> Result<T, Refusal> {
    Err((ClusterReason::RestoreRefused, message.into()))
}

/// The backup that `spec.bootstrap.recovery` names; `backup` is the object, if it names one.
pub(super) fn find_source(
    input: &BuildInput<'_>,
    recovery: &Recovery,
    backup: Option<&WorkflowBackup>,
) -> Result<Source, Refusal> {
    if let (Some(id), Some(destination)) = (&recovery.backup_id, &recovery.destination) {
        let identity_secret = recovery.identity_secret.clone();
        return match id.parse() {
            Ok(id) => base(input, recovery, id, destination, None),
            Err(_) => logical(recovery, id.clone(), destination.clone(), None, identity_secret),
        };
    }
    let name = recovery.backup_ref.as_ref().map(|reference| reference.name.as_str()).unwrap_or_default();
    let Some(backup) = backup else {
        let message =
            format!("spec.bootstrap.recovery.backupRef: there is no WorkflowBackup {name} in this namespace");
        return Err((ClusterReason::RestoreBackupMissing, message));
    };
    of_object(input, recovery, backup)
}

fn of_object(
    input: &BuildInput<'_>,
    recovery: &Recovery,
    backup: &WorkflowBackup,
) -> Result<Source, Refusal> {
    let name = backup.name_any();
    let status = backup.status.clone().unwrap_or_default();
    match status.phase {
        Some(BackupPhase::Completed) => {}
        Some(BackupPhase::Failed) => {
            return refused(format!("WorkflowBackup {name} failed: name another one"));
        }
        _ => {
            return Err((
                ClusterReason::RestoreBackupAwaited,
                format!("WorkflowBackup {name} is not complete yet"),
            ));
        }
    }
    let WorkflowBackupStatus { artefact: Some(artefact), backup_id: Some(id), .. } = status else {
        return refused(format!("WorkflowBackup {name} does not say where it is"));
    };
    let made_by = status.engine_version.as_deref().and_then(|version| Version::parse(version).ok());
    if let Some(made_by) = made_by {
        let to = &input.target.version;
        let verdict = judge_version(&made_by, to);
        if !matches!(verdict, Verdict::Same | Verdict::Compatible) {
            return refused(format!(
                "WorkflowBackup {name} is of engine {made_by}, spec.version {to}: {}",
                verdict.explanation()
            ));
        }
    }
    if artefact.method == BackupMethod::CloudNativePg {
        let completed_at = status.completed_at.map(|time| time.0);
        return match id.parse() {
            Ok(id) => base(input, recovery, id, &artefact.destination, completed_at),
            Err(_) => refused(format!("WorkflowBackup {name} has no id of a base backup")),
        };
    }
    let of_backup = artefact.encryption.and_then(|encryption| encryption.identity_secret);
    let identity_secret = recovery.identity_secret.clone().or(of_backup);
    logical(recovery, id, artefact.destination, status.digest, identity_secret)
}

fn logical(
    recovery: &Recovery,
    id: String,
    destination: BackupDestination,
    digest: Option<String>,
    identity_secret: Option<String>,
) -> Result<Source, Refusal> {
    if recovery.target_time.is_some() {
        return refused(format!(
            "spec.bootstrap.recovery.targetTime: backup {id} is of method Logical, which holds one point in time only"
        ));
    }
    match agent_destination(&destination) {
        Ok(url) => Ok(Source::Logical(Box::new(Wanted { id, destination, url, digest, identity_secret }))),
        Err(why) => refused(format!("spec.bootstrap.recovery: {why}")),
    }
}

/// `completed_at`: the first time that the base backup can be recovered to, if that is known.
fn base(
    input: &BuildInput<'_>,
    recovery: &Recovery,
    id: PhysicalId,
    destination: &BackupDestination,
    completed_at: Option<Timestamp>,
) -> Result<Source, Refusal> {
    if input.target.managed.is_none() {
        return refused(format!(
            "{id} is a base backup of CloudNativePG, which only spec.postgres.managed begins with"
        ));
    }
    let Some(s3) = destination.s3.clone() else {
        return refused(format!("{id} is a base backup of CloudNativePG, and the destination is not in S3"));
    };
    if let Err(why) = agent_destination(destination) {
        return refused(format!("spec.bootstrap.recovery: {why}"));
    }
    let target = match recovery.target_time.as_deref().map(str::parse::<Timestamp>) {
        None => None,
        Some(Ok(target)) => Some(target),
        Some(Err(_)) => {
            return refused("spec.bootstrap.recovery.targetTime is no time, like 2026-11-27T03:00:00Z");
        }
    };
    match (target, completed_at) {
        (Some(target), Some(completed_at)) if target < completed_at => refused(format!(
            "spec.bootstrap.recovery.targetTime is before the end of base backup {id}, {completed_at}: name an older one"
        )),
        _ => Ok(Source::Base(Box::new(Origin {
            id,
            s3,
            target_time: target.map(|target| target.to_string()),
        }))),
    }
}
