//! The Job that looks whether a base backup of CloudNativePG is complete at its destination, before it counts as one.

use k8s_openapi::api::batch::v1::Job;

use super::{Order, Task, backup_job};
use agent_jobs::pod::{Attempts, Size, build_job};

/// Attempts after the first, over about five minutes.
const MORE_ATTEMPTS: i32 = 5;
const LIMIT_SECONDS: i64 = 900;
const SIZE: Size = Size { requests: ("20m", "32Mi"), limits: ("500m", "128Mi") };
const COMMAND: &str = "inspect";

/// Builds it. It has the name of the Job that makes a backup: there is one or the other.
#[must_use]
pub fn build(order: &Order<'_>, engine_version: &str) -> Job {
    let parts = order.storage().with_variable("WORKFLOW_BACKUP_ENGINE_VERSION", engine_version);
    let attempts = Attempts { more: MORE_ATTEMPTS, also_permanent: false, seconds: LIMIT_SECONDS };
    let frame = order.frame(backup_job::name(order.backup), Task::Backup);
    build_job(agent_jobs::pod::Frame { command: COMMAND, ..frame }, parts, SIZE, attempts)
}
