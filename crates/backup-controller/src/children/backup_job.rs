//! The Job that makes a backup.

use api_types::cluster::ExternalPostgres;
use api_types::{WorkflowBackup, names};
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt as _;

use super::{Order, Task};
use agent_jobs::destination::short_uid;
use agent_jobs::pod::{Attempts, Size, build_job};
use agent_jobs::volumes::{build_database, build_recipient};

/// Attempts after the first, over about five minutes: a Postgres that restarts meanwhile is no failed backup.
const MORE_ATTEMPTS: i32 = 5;
/// Time beside the snapshot's: to get a pod, to make what it needs, and for the pauses between attempts.
const SLACK_SECONDS: i64 = 900;
/// The agent keeps a few pieces of the dump in memory while they are sent.
const SIZE: Size = Size { requests: ("100m", "128Mi"), limits: ("2", "1Gi") };

/// What a backup is made of.
#[derive(Clone, Debug)]
pub struct Source<'a> {
    /// Where the database is.
    pub postgres: &'a ExternalPostgres,
    /// The engine's version.
    pub engine_version: &'a str,
    /// `<installation>/<namespace>/<cluster>`.
    pub owner: &'a str,
    /// How long the snapshot may be held.
    pub max_seconds: u32,
}

/// Its name: that of the one attempt of this very object.
#[must_use]
pub fn name(backup: &WorkflowBackup) -> String {
    names::child(&backup.name_any(), &format!("{}-{}", Task::Backup.as_str(), short_uid(backup)))
}

/// Builds it.
#[must_use]
pub fn build(order: &Order<'_>, source: &Source<'_>) -> Job {
    let mut parts = order
        .storage()
        .with(build_database(source.postgres))
        .with_variable("WORKFLOW_BACKUP_ENGINE_VERSION", source.engine_version)
        .with_variable("WORKFLOW_BACKUP_OWNER", source.owner)
        .with_variable("WORKFLOW_BACKUP_MAX_SECONDS", &source.max_seconds.to_string());
    if let Some(encryption) = &order.artefact.encryption {
        parts = parts.with(build_recipient(&encryption.recipient_secret));
    }
    let attempts = Attempts {
        more: MORE_ATTEMPTS,
        also_permanent: false,
        seconds: i64::from(source.max_seconds) + SLACK_SECONDS,
    };
    build_job(order.frame(name(order.backup), Task::Backup), parts, SIZE, attempts)
}

#[cfg(test)]
mod tests;
