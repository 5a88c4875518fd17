//! The Job that restores a backup into a throw-away database.

use api_types::{WorkflowBackup, names};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt as _;

use super::{Order, Task};
use agent_jobs::pod::{Attempts, Size, build_job};
use agent_jobs::volumes::build_identity;

/// Attempts after the first, for a destination that does not answer.
const MORE_ATTEMPTS: i32 = 2;
/// Time to get a pod, and for the pauses between attempts.
const SLACK_SECONDS: i64 = 600;
/// It runs a PostgreSQL, whose data is in the pod's `/tmp`.
const SIZE: Size = Size { requests: ("250m", "256Mi"), limits: ("2", "2Gi") };

/// Its name: one per time that a drill was due.
#[must_use]
pub fn name(backup: &WorkflowBackup, due: Timestamp) -> String {
    names::child(&backup.name_any(), &format!("{}-{}", Task::Drill.as_str(), due.strftime("%Y%m%d%H%M")))
}

/// Builds it. `identity_secret` holds the key of an encrypted backup.
#[must_use]
pub fn build(order: &Order<'_>, due: Timestamp, identity_secret: Option<&str>, max_seconds: u32) -> Job {
    let mut parts = order.storage().with_variable("WORKFLOW_DRILL_MAX_SECONDS", &max_seconds.to_string());
    if let Some(secret) = identity_secret.filter(|_| order.artefact.encryption.is_some()) {
        parts = parts.with(build_identity(secret));
    }
    let attempts = Attempts {
        more: MORE_ATTEMPTS,
        also_permanent: false,
        seconds: i64::from(max_seconds) + SLACK_SECONDS,
    };
    build_job(order.frame(name(order.backup, due), Task::Drill), parts, SIZE, attempts)
}
