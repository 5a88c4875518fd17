//! A backup was made for this plan. Who makes it is not our concern: a person, a pipeline or a tool says that it is done.

use api_types::labels::{BACKUP_BEFORE_UPGRADE, BACKUP_COMPLETED};

use super::Scene;

pub(super) fn closed(scene: &Scene<'_>) -> Option<String> {
    let is_asked_for = scene.annotation(BACKUP_BEFORE_UPGRADE) == Some("true");
    let is_made = scene.annotation(BACKUP_COMPLETED) == Some(scene.plan_hash);
    (is_asked_for && !is_made).then(|| {
        format!(
            "a backup is made and the WorkflowCluster is annotated with {BACKUP_COMPLETED}={}",
            scene.plan_hash
        )
    })
}
