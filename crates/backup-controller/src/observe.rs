//! All reads. What is absent is a value; what the Kubernetes API does not give ends the pass.

pub mod base_backup;
pub mod jobs;
pub mod obstacles;

use std::sync::Arc;

use api_types::backup::{BackupPhase, BackupReason, WorkflowBackupStatus};
use api_types::{WorkflowBackup, WorkflowCluster};
use controller_kit::pass::is_deleting;
use controller_kit::problem::Problem;
use engine_access::grant::{NamespaceRole, missing_permission};
use k8s_openapi::api::core::v1::Namespace;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt as _};

use crate::children::Task;
use crate::context::{Context, INSTALLATION_NAMESPACE};
use base_backup::{BaseView, observe_base_backup};
use jobs::{JobView, observe_jobs};

/// The world as one pass sees it.
#[derive(Debug, Default)]
pub struct Observed {
    /// The cluster that `spec.clusterRef` names.
    pub cluster: Option<Arc<WorkflowCluster>>,
    /// The other backups of that cluster that are not done and not being deleted.
    pub others: Vec<Arc<WorkflowBackup>>,
    /// Clusters that are being restored from this backup.
    pub restoring: Vec<String>,
    /// Its Jobs.
    pub jobs: Vec<JobView>,
    /// What CloudNativePG makes of it, if it shall.
    pub base: Option<BaseView>,
    /// Which Kubernetes cluster this is; only when a Job needs to know.
    pub installation: Option<String>,
    /// Its namespace is being deleted: nothing can be created there any more.
    pub is_namespace_ending: bool,
}

impl Observed {
    /// The Job with this task; of several drills the first one by name.
    #[must_use]
    pub fn job(&self, task: Task) -> Option<&JobView> {
        self.jobs.iter().find(|view| view.task == task)
    }
}

/// A read that the Kubernetes API did not answer as hoped. `object` is `Kind namespace/name`.
fn unread(object: &str, error: &kube::Error) -> Problem<BackupReason> {
    Problem::unread(object, error, missing_permission(error, NamespaceRole::Cluster))
}

/// Reads what a pass over this backup needs.
pub async fn observe(context: &Context, backup: &WorkflowBackup) -> Result<Observed, Problem<BackupReason>> {
    let namespace = backup.namespace().unwrap_or_default();
    let cluster = ObjectRef::new(&backup.spec.cluster_ref.name).within(&namespace);
    let is_namespace_ending = is_deleting(backup) && observe_namespace_ending(context, &namespace).await;
    let jobs = observe_jobs(context, backup).await?;
    let base = observe_base_backup(context, backup).await?;
    let must_be_made = is_begun(backup)
        && !is_finished(backup)
        && !is_deleting(backup)
        && jobs.iter().all(|view| view.task != Task::Backup);
    let installation = if must_be_made {
        let uid = context.installation.observe_uid().await;
        let uid = uid.map_err(|error| unread(&format!("Namespace {INSTALLATION_NAMESPACE}"), &error))?;
        Some(uid.to_owned())
    } else {
        None
    };
    Ok(Observed {
        cluster: context.clusters.get(&cluster),
        others: observe_others(context, backup),
        restoring: observe_restoring(context, backup),
        jobs,
        base,
        installation,
        is_namespace_ending,
    })
}

/// With the namespace the rights in it go, in no order: a refusal there does not say why.
async fn observe_namespace_ending(context: &Context, name: &str) -> bool {
    let api: Api<Namespace> = Api::all(context.client.clone());
    match api.get_metadata_opt(name).await {
        Ok(found) => found.is_none_or(|namespace| namespace.metadata.deletion_timestamp.is_some()),
        Err(error) => {
            tracing::warn!(namespace = name, %error, "whether the namespace is being deleted is not known");
            false
        }
    }
}

fn observe_others(context: &Context, backup: &WorkflowBackup) -> Vec<Arc<WorkflowBackup>> {
    let competes = |other: &Arc<WorkflowBackup>| {
        other.namespace() == backup.namespace()
            && other.spec.cluster_ref == backup.spec.cluster_ref
            && other.uid() != backup.uid()
            && !is_finished(other)
            && !is_deleting(&**other)
    };
    let mut others: Vec<_> = context.backups.state().into_iter().filter(competes).collect();
    others.sort_by_key(|other| order_of(other));
    others
}

/// Clusters of the namespace that begin with this backup and are not done with that.
fn observe_restoring(context: &Context, backup: &WorkflowBackup) -> Vec<String> {
    let clusters = context.clusters.state();
    let own = clusters.iter().filter(|cluster| cluster.namespace() == backup.namespace());
    let mut names: Vec<_> = own.filter(|cluster| reads(cluster, backup)).map(|it| it.name_any()).collect();
    names.sort();
    names
}

/// Whether a cluster is being restored from this backup, named as the object or by its id.
#[must_use]
pub fn reads(cluster: &WorkflowCluster, backup: &WorkflowBackup) -> bool {
    let Some(recovery) = cluster.spec.recovery() else { return false };
    let status = backup.status.as_ref();
    let is_meant = recovery.backup_ref.as_ref().is_some_and(|named| named.name == backup.name_any())
        || recovery.backup_id.is_some()
            && recovery.backup_id.as_ref() == status.and_then(|status| status.backup_id.as_ref());
    let restored = cluster.status.as_ref().and_then(|status| status.recovery.as_ref());
    is_meant && !is_deleting(cluster) && restored.is_none_or(|recovery| recovery.completed_at.is_none())
}

/// In which order backups of one cluster are made.
#[must_use]
pub fn order_of(backup: &WorkflowBackup) -> (Option<jiff::Timestamp>, String) {
    (backup.creation_timestamp().map(|time| time.0), backup.name_any())
}

/// Is the destination recorded, so that something may be there?
#[must_use]
pub fn is_begun(backup: &WorkflowBackup) -> bool {
    backup.status.as_ref().is_some_and(|status| status.artefact.is_some())
}

/// Will nothing more be done to make it?
#[must_use]
pub fn is_finished(backup: &WorkflowBackup) -> bool {
    backup.status.as_ref().is_some_and(is_final)
}

/// The same of a status. An object that is being deleted has another phase, but keeps what it had reached.
#[must_use]
pub fn is_final(status: &WorkflowBackupStatus) -> bool {
    matches!(status.phase, Some(BackupPhase::Completed | BackupPhase::Failed))
        || status.completed_at.is_some()
}

/// Is the backup complete?
#[must_use]
pub fn is_complete(backup: &WorkflowBackup) -> bool {
    backup.status.as_ref().is_some_and(|status| status.completed_at.is_some())
}
