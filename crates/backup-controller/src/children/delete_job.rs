//! The Job that deletes at the destination what a backup left there.

use api_types::{WorkflowBackup, names};
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt as _;

use super::{Order, Task};
use agent_jobs::destination::short_uid;
use agent_jobs::pod::{Attempts, Size, build_job};

/// Time for all attempts. Whatever fails is tried again until then: a Secret or a right that was taken away may come back.
pub const LIMIT_SECONDS: i64 = 600;
/// More than fit into the time.
const MORE_ATTEMPTS: i32 = 10;
const SIZE: Size = Size { requests: ("20m", "32Mi"), limits: ("500m", "128Mi") };

/// Its name.
#[must_use]
pub fn name(backup: &WorkflowBackup) -> String {
    names::child(&backup.name_any(), &format!("{}-{}", Task::Delete.as_str(), short_uid(backup)))
}

/// Builds it. `server_is_gone`: the Postgres of a base backup archives no more.
#[must_use]
pub fn build(order: &Order<'_>, server_is_gone: bool) -> Job {
    let attempts = Attempts { more: MORE_ATTEMPTS, also_permanent: true, seconds: LIMIT_SECONDS };
    let mut parts = order.storage();
    if server_is_gone {
        parts = parts.with_variable("WORKFLOW_BACKUP_SERVER_IS_GONE", "true");
    }
    build_job(order.frame(name(order.backup), Task::Delete), parts, SIZE, attempts)
}
