//! The Jobs of the backup agent. They are made once and never changed, and controlled by the WorkflowBackup.

pub mod backup_job;
pub(crate) mod base_backup;
pub mod delete_job;
pub mod drill_job;
pub mod inspect_job;

use api_types::WorkflowBackup;
use api_types::backup::BackupArtefact;
use api_types::labels::{BACKUP, BACKUP_TASK, CLUSTER, Component, recommended};
use api_types::scheduling::Scheduling;
use controller_kit::plan::build_owner_reference;
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt as _;
use kube::api::ObjectMeta;

use crate::args::Settings;
use agent_jobs::destination::agent_destination;
use agent_jobs::pod::Frame;
use agent_jobs::volumes::{Parts, build_storage};

/// What a Job does with a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Makes it.
    Backup,
    /// Deletes it at its destination.
    Delete,
    /// Restores it into a throw-away database.
    Drill,
}

impl Task {
    /// Every task.
    pub const ALL: [Self; 3] = [Self::Backup, Self::Delete, Self::Drill];

    /// The agent's command, and the value of the label [`BACKUP_TASK`].
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Delete => "delete",
            Self::Drill => "drill",
        }
    }

    /// The task of a Job; `None` for one that is not of the agent.
    #[must_use]
    pub fn of(job: &Job) -> Option<Self> {
        let label = job.labels().get(BACKUP_TASK)?;
        Self::ALL.into_iter().find(|task| task.as_str() == label)
    }
}

/// What every Job is built from.
#[derive(Clone, Debug)]
pub struct Order<'a> {
    /// The object.
    pub backup: &'a WorkflowBackup,
    /// Where the backup is, or will be.
    pub artefact: &'a BackupArtefact,
    /// Its id there.
    pub backup_id: &'a str,
    /// The destination as the agent takes it.
    destination: String,
    /// `spec.scheduling` of the cluster, while there is one.
    pub scheduling: Scheduling,
    /// The installation's settings.
    pub settings: &'a Settings,
}

impl<'a> Order<'a> {
    /// For a backup that was begun; `None` for one that was not.
    #[must_use]
    pub fn of(
        backup: &'a WorkflowBackup,
        scheduling: Option<&Scheduling>,
        settings: &'a Settings,
    ) -> Option<Self> {
        let status = backup.status.as_ref()?;
        let artefact = status.artefact.as_ref()?;
        Some(Self {
            backup,
            artefact,
            backup_id: status.backup_id.as_deref()?,
            destination: agent_destination(&artefact.destination).ok()?,
            scheduling: scheduling.cloned().unwrap_or_default(),
            settings,
        })
    }

    /// The same with this id, if it is one.
    #[must_use]
    pub fn with_id(mut self, id: Option<&'a str>) -> Self {
        self.backup_id = id.unwrap_or(self.backup_id);
        self
    }

    fn frame(&self, name: String, task: Task) -> Frame<'_> {
        Frame {
            metadata: self.metadata(name, task),
            cluster: &self.backup.spec.cluster_ref.name,
            component: Component::Backup,
            scheduling: &self.scheduling,
            image: &self.settings.agent,
            command: task.as_str(),
        }
    }

    fn storage(&self) -> Parts {
        build_storage(self.backup_id, &self.destination, &self.artefact.destination)
    }

    fn metadata(&self, name: String, task: Task) -> ObjectMeta {
        let mut labels = recommended(Component::Backup, &self.backup.spec.cluster_ref.name);
        labels.insert(CLUSTER.to_owned(), self.backup.spec.cluster_ref.name.clone());
        labels.insert(BACKUP.to_owned(), self.backup.name_any());
        labels.insert(BACKUP_TASK.to_owned(), task.as_str().to_owned());
        ObjectMeta {
            name: Some(name),
            namespace: self.backup.namespace(),
            labels: Some(labels),
            owner_references: Some(vec![build_owner_reference(self.backup)]),
            ..ObjectMeta::default()
        }
    }
}

#[cfg(test)]
mod agent_arguments;
