//! Backups and changes of the schema do not run at the same time: a backup reads every table, a change of a table waits for that,
//! and the engine's statements wait behind it.
//!
//! A backup was made for this plan: by a WorkflowBackup where the cluster has a destination, else by whatever a person or a
//! pipeline has, which says so in an annotation.

use api_types::labels::{BACKUP_BEFORE_UPGRADE, BACKUP_COMPLETED};

use super::Scene;
use crate::observe::backups::Awaited;

pub(super) fn closed(scene: &Scene<'_>) -> Option<String> {
    let is_asked_for = scene.annotation(BACKUP_BEFORE_UPGRADE) == Some("true");
    let is_said = scene.annotation(BACKUP_COMPLETED) == Some(scene.plan_hash);
    if !is_asked_for || is_said {
        return None;
    }
    let backup = scene.input.cluster.spec.backup.as_ref();
    let has_destination = backup.is_some_and(|backup| backup.destination.is_some());
    match scene.observed.backups.for_plan(scene.plan_hash) {
        Awaited::Completed => None,
        Awaited::Running(name) => Some(format!("WorkflowBackup {name} is complete")),
        Awaited::Failed(name, why) => Some(format!(
            "WorkflowBackup {name} is deleted, which makes another one, or the upgrade is called off; it failed: {why}"
        )),
        Awaited::Missing if has_destination => Some("a WorkflowBackup is complete".to_owned()),
        Awaited::Missing => Some(format!(
            "a backup is made and the WorkflowCluster is annotated with {BACKUP_COMPLETED}={}",
            scene.plan_hash
        )),
    }
}

/// A backup is being made, and the next stage changes the schema. None begins while that stage lasts.
pub(super) fn is_at_work(scene: &Scene<'_>) -> Option<String> {
    let changes_schema = scene.record.from != scene.record.to;
    let running = scene.observed.backups.running().filter(|_| changes_schema)?;
    Some(format!("WorkflowBackup {running} has ended"))
}
