//! Watches, and which change begins a pass of which object.

use std::sync::Mutex;

use api_types::backup::BackupPhase;
use api_types::cluster::{PostgresStatus, UpgradeStage};
use api_types::labels::{BACKUP_CONTROLLER, OPERATOR};
use api_types::{WorkflowBackup, WorkflowCluster};
use controller_kit::Service;
use controller_kit::builder::ControllerBuilder;
use controller_kit::controller::Queue;
use controller_kit::watch::watch_referenced;
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;

use crate::args::Settings;
use crate::context::{Context, Installation};
use crate::kind::Backups;
use crate::schedule::passes::Schedules;

/// Starts watches and controllers.
pub fn start(service: &mut Service, settings: Settings) {
    let (client, publisher, clock) =
        (service.client.clone(), service.publisher.clone(), service.clock.clone());
    let watches = service.watch_context();
    let (schedules, schedules_end) = Queue::new();
    let mut controller = ControllerBuilder::<Backups>::new(service, BACKUP_CONTROLLER.field_manager);
    let jobs = controller.watch_owned::<Job>(OPERATOR);
    // One watch for both: a change of a cluster begins a pass over it, and over its backups.
    let (backups, queue) = (controller.objects(), controller.queue());
    let (clusters, watch) =
        watch_referenced(&watches, "WorkflowCluster", queue, ClusterFields::of, move |changed| {
            schedules.push(changed.reference());
            let meant = backups.state().into_iter().filter(|backup| changed.is_meant_by(backup));
            meant.map(|backup| ObjectRef::from_obj(&*backup)).collect()
        });
    controller.service().watch([watch]);
    let passes = Schedules {
        client: client.clone(),
        writer: controller.writer(),
        publisher: publisher.clone(),
        clock,
        clusters: clusters.clone(),
        backups: controller.objects(),
        jobs: jobs.clone(),
        settings: settings.clone(),
        memory: Mutex::default(),
    };
    let context = Context {
        writer: controller.writer(),
        publisher,
        clusters: clusters.clone(),
        backups: controller.objects(),
        jobs,
        installation: Installation::new(client.clone()),
        client,
        settings,
    };
    controller.run(Backups { context });
    service.control(passes, clusters, schedules_end);
}

/// What the passes read of a WorkflowCluster: most of its status is of no interest to them.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterFields {
    namespace: String,
    name: String,
    uid: Option<String>,
    generation: Option<i64>,
    is_deleting: bool,
    version: Option<String>,
    postgres: Option<PostgresStatus>,
    upgrade: Option<(UpgradeStage, Option<String>)>,
    is_restored: bool,
}

impl ClusterFields {
    /// The fields of `cluster`.
    #[must_use]
    pub fn of(cluster: &WorkflowCluster) -> Self {
        let status = cluster.status.clone().unwrap_or_default();
        Self {
            namespace: cluster.namespace().unwrap_or_default(),
            name: cluster.name_any(),
            uid: cluster.uid(),
            generation: cluster.metadata.generation,
            is_deleting: cluster.metadata.deletion_timestamp.is_some(),
            version: status.version,
            postgres: status.postgres_status,
            upgrade: status.upgrade.map(|upgrade| (upgrade.stage, upgrade.plan_hash)),
            is_restored: status.recovery.is_some_and(|recovery| recovery.completed_at.is_some()),
        }
    }

    fn reference(&self) -> ObjectRef<WorkflowCluster> {
        ObjectRef::new(&self.name).within(&self.namespace)
    }

    /// Is it the cluster of a backup that is not done, or of its namespace, where it may be restored from the backup?
    fn is_meant_by(&self, backup: &WorkflowBackup) -> bool {
        let phase = backup.status.as_ref().and_then(|status| status.phase).unwrap_or_default();
        let is_done = matches!(phase, BackupPhase::Completed | BackupPhase::Failed);
        let is_own = backup.spec.cluster_ref.name == self.name;
        backup.namespace().as_deref() == Some(&self.namespace)
            && (is_own && !is_done || backup.metadata.deletion_timestamp.is_some())
    }
}

#[cfg(test)]
mod tests;
