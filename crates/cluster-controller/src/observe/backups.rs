//! The WorkflowBackups of a cluster, as the watch shows them.

use std::sync::Arc;

use api_types::backup::{BackupPhase, DrillResult};
use api_types::cluster::LastBackup;
use api_types::condition::STALLED;
use api_types::labels::{BACKUP_CAUSE, BACKUP_FOR_PLAN};
use api_types::{WorkflowBackup, WorkflowCluster};
use controller_kit::condition::find;
use kube::ResourceExt as _;

use crate::context::Context;

/// The WorkflowBackups of one cluster, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Backups(Vec<Arc<WorkflowBackup>>);

/// What the change of a WorkflowBackup has to show for a pass of its cluster: nothing of it moves by the second.
#[must_use]
pub fn shown(backup: &WorkflowBackup) -> (String, String, Option<BackupPhase>, bool, Option<DrillResult>) {
    let status = backup.status.clone().unwrap_or_default();
    let needs = needs_database(backup);
    let cluster = backup.spec.cluster_ref.name.clone();
    (backup.namespace().unwrap_or_default(), cluster, status.phase, needs, status.last_drill)
}

/// Looks them up.
#[must_use]
pub fn observe_backups(context: &Context, cluster: &WorkflowCluster) -> Backups {
    let (name, namespace) = (cluster.name_any(), cluster.namespace());
    let is_of_cluster = |backup: &Arc<WorkflowBackup>| {
        backup.namespace() == namespace && backup.spec.cluster_ref.name == name
    };
    let mut found: Vec<_> = context.backups.state().into_iter().filter(is_of_cluster).collect();
    found.sort_by_key(|backup| backup.name_any());
    Backups(found)
}

/// It is being made, or will be without a person.
fn needs_database(backup: &WorkflowBackup) -> bool {
    let status = backup.status.clone().unwrap_or_default();
    let is_open = matches!(status.phase, None | Some(BackupPhase::Pending | BackupPhase::Running));
    let waits_for_person = find(&status.conditions, STALLED).is_some_and(|stalled| stalled.status == "True");
    is_open && !waits_for_person && backup.metadata.deletion_timestamp.is_none()
}

/// How far a backup is that a cluster waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// The backup-controller has not made its object yet.
    Missing,
    /// It is being made.
    Running(String),
    /// It is complete.
    Completed,
    /// It failed; its name, and why.
    Failed(String, String),
}

impl Backups {
    /// For tests.
    #[cfg(test)]
    pub(crate) fn of(backups: Vec<WorkflowBackup>) -> Self {
        Self(backups.into_iter().map(Arc::new).collect())
    }

    /// Whether one of them needs the database now.
    #[must_use]
    pub fn need_database(&self) -> bool {
        self.0.iter().any(|backup| needs_database(backup))
    }

    /// Name of one that is being made.
    #[must_use]
    pub fn running(&self) -> Option<String> {
        let is_running = |backup: &&Arc<WorkflowBackup>| {
            backup.status.as_ref().is_some_and(|status| status.phase == Some(BackupPhase::Running))
        };
        self.0.iter().find(is_running).map(|backup| backup.name_any())
    }

    /// The newest that is complete.
    #[must_use]
    pub fn last(&self) -> Option<LastBackup> {
        let completed = self.0.iter().filter_map(|backup| {
            let status = backup.status.as_ref()?;
            let is_complete = status.phase == Some(BackupPhase::Completed);
            let completed_at = status.completed_at.clone().filter(|_| is_complete)?;
            Some(LastBackup { name: backup.name_any(), id: status.backup_id.clone()?, completed_at })
        });
        completed
            .max_by(|one, other| (one.completed_at.0, &one.name).cmp(&(other.completed_at.0, &other.name)))
    }

    /// The newest drill.
    #[must_use]
    pub fn last_drill(&self) -> Option<DrillResult> {
        let drills = self.0.iter().filter_map(|backup| {
            let drill = backup.status.as_ref()?.last_drill.clone()?;
            Some(DrillResult { backup_name: Some(backup.name_any()), ..drill })
        });
        drills.max_by_key(|drill| drill.at.0)
    }

    /// The one that is made before an upgrade by this plan.
    #[must_use]
    pub fn for_plan(&self, plan_hash: &str) -> Awaited {
        self.awaited(|backup| backup.annotations().get(BACKUP_FOR_PLAN).is_some_and(|plan| plan == plan_hash))
    }

    /// The one that is made before the cluster is deleted.
    #[must_use]
    pub fn for_deletion(&self, uid: &str) -> Awaited {
        let suffix = format!("-final-{}", &uid.get(..8).unwrap_or(uid));
        self.awaited(|backup| {
            let is_cause = backup.labels().get(BACKUP_CAUSE).is_some_and(|cause| cause == "deletion");
            is_cause && backup.name_any().ends_with(&suffix)
        })
    }

    fn awaited(&self, is_it: impl Fn(&WorkflowBackup) -> bool) -> Awaited {
        let mut found = Awaited::Missing;
        for backup in self.0.iter().filter(|backup| is_it(backup)) {
            let status = backup.status.clone().unwrap_or_default();
            found = match status.phase {
                Some(BackupPhase::Completed) => return Awaited::Completed,
                Some(BackupPhase::Failed) => {
                    Awaited::Failed(backup.name_any(), status.message.unwrap_or_default())
                }
                _ => Awaited::Running(backup.name_any()),
            };
        }
        found
    }
}

#[cfg(test)]
mod tests;
