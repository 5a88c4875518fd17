//! The Job that loads a backup into the database, or completes the one that a provider recovered. It is made once and never
//! changed.

use agent_jobs::pod::{Attempts, Frame, Size, build_job};
use agent_jobs::volumes::{Parts, build_database, build_identity, build_storage};
use api_types::labels::Component;
use api_types::names;
use api_types::scheduling::Scheduling;
use k8s_openapi::api::batch::v1::Job;

use super::source::{Source, Wanted};
use crate::children::BuildInput;

/// Attempts after the first: a storage or a Postgres that is away for some minutes is no failed restore.
const MORE_ATTEMPTS: i32 = 5;
/// A day: how long it takes is the size of the backup, and nobody waits for the database meanwhile.
const SECONDS: i64 = 24 * 3600;
/// It keeps nothing of the backup in memory or on disk.
const SIZE: Size = Size { requests: ("100m", "128Mi"), limits: ("2", "1Gi") };

/// Its name.
#[must_use]
pub fn name(cluster: &str) -> String {
    names::child(cluster, "restore")
}

pub(super) fn build(input: &BuildInput<'_>, source: &Source, owner: &str) -> Job {
    let cluster = input.name();
    let (command, parts) = match source {
        Source::Logical(wanted) => ("restore", build_load(wanted)),
        Source::Base(origin) => {
            ("adopt", Parts::default().with_variable("WORKFLOW_BACKUP_ID", &origin.id.to_string()))
        }
    };
    let parts = parts
        .with(build_database(&input.target.postgres))
        .with_variable("WORKFLOW_RESTORE_TARGET_ENGINE_VERSION", &input.target.version.to_string())
        // Which steps a version knows only its image can say; its migration refuses a newer schema.
        .with_variable("WORKFLOW_RESTORE_MAX_SCHEMA_VERSION", &i64::MAX.to_string())
        .with_variable("WORKFLOW_RESTORE_NEW_OWNER", owner);
    let scheduling: Scheduling = input.cluster.spec.scheduling.clone().unwrap_or_default();
    let frame = Frame {
        metadata: input.metadata(name(&cluster), Component::Restore),
        cluster: &cluster,
        component: Component::Restore,
        scheduling: &scheduling,
        image: &input.settings.agent,
        command,
    };
    build_job(frame, parts, SIZE, Attempts { more: MORE_ATTEMPTS, also_permanent: false, seconds: SECONDS })
}

fn build_load(wanted: &Wanted) -> Parts {
    let mut parts = build_storage(&wanted.id, &wanted.url, &wanted.destination);
    if let Some(digest) = &wanted.digest {
        parts = parts.with_variable("WORKFLOW_RESTORE_EXPECTED_DIGEST", digest);
    }
    if let Some(secret) = &wanted.identity_secret {
        parts = parts.with(build_identity(secret));
    }
    parts
}
