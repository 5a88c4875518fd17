//! The passes over WorkflowClusters: they read caches, and write what [`plan_schedule`] says. They write nothing to the cluster,
//! so they are no passes of the kit's [`Kind`](controller_kit::pass::Kind), whose every pass reports in a status.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use api_types::backup::BackupReason;
use api_types::labels::BACKUP_CONTROLLER;
use api_types::reason::Reason as _;
use api_types::{WorkflowBackup, WorkflowCluster};
use controller_kit::apply::Writer;
use controller_kit::clock::Clock;
use controller_kit::controller::{Pass, Reconciler};
use controller_kit::events::{Event, EventType, Publisher};
use controller_kit::message::of_kube;
use controller_kit::outcome::{ErrorClass, Next};
use controller_kit::pass::is_deleting;
use engine_access::grant::{NamespaceRole, missing_grant};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use kube::api::PostParams;
use kube::runtime::reflector::Store;
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Handled, SchedulePlan, ScheduleStep, View, plan_schedule};
use crate::args::Settings;
use crate::children::Task;

/// WorkflowClusters, as far as their backups go.
pub struct Schedules {
    /// Creates objects, and reads those that are there already.
    pub client: Client,
    /// Deletes.
    pub writer: Writer,
    /// Events.
    pub publisher: Publisher,
    /// Time.
    pub clock: Clock,
    /// Watched clusters.
    pub clusters: Store<WorkflowCluster>,
    /// Watched backups.
    pub backups: Store<WorkflowBackup>,
    /// Watched Jobs of the operator.
    pub jobs: Store<Job>,
    /// The installation's settings.
    pub settings: Settings,
    /// By uid of the cluster.
    pub memory: Mutex<HashMap<String, Handled>>,
}

/// A write that failed.
struct Refused {
    class: ErrorClass,
    message: String,
}

impl Reconciler for Schedules {
    type Object = WorkflowCluster;

    async fn reconcile(&self, cluster: Arc<WorkflowCluster>) -> Pass<WorkflowCluster> {
        let plan = self.plan(&cluster);
        for step in &plan.steps {
            if let Err(refused) = self.execute(&cluster, step).await {
                tracing::warn!(error = refused.message, "a step of the schedule failed");
                let note = format!("{}: {}", refused.class.reason(), refused.message);
                let reason = refused.class.reason().to_string();
                self.publisher.publish(&*cluster, Event { type_: EventType::Warning, reason, note }).await;
                return Pass::unwritten(Next::Failed(refused.class));
            }
        }
        let did_something = !plan.steps.is_empty();
        self.remember(&cluster, plan.handled);
        let recheck = if did_something { super::RECHECK.min(plan.recheck) } else { plan.recheck };
        Pass::unwritten(Next::Wait { recheck })
    }
}

impl Schedules {
    /// What a pass does now.
    pub fn plan(&self, cluster: &WorkflowCluster) -> SchedulePlan {
        let (namespace, name) = (cluster.namespace(), cluster.name_any());
        let mut neighbours = self.clusters.state();
        neighbours.retain(|other| other.namespace() == namespace);
        let mut backups = self.backups.state();
        backups.retain(|it| it.namespace() == namespace && it.spec.cluster_ref.name == name);
        let mut jobs = self.jobs.state();
        jobs.retain(|job| {
            job.namespace() == namespace
                && Task::of(job).is_some()
                && job.labels().get(api_types::labels::CLUSTER) == Some(&name)
        });
        let uid = cluster.uid().unwrap_or_default();
        let handled = self.lock().get(&uid).cloned().unwrap_or_default();
        let view = View {
            cluster,
            neighbours: &neighbours,
            backups: &backups,
            jobs: &jobs,
            handled,
            settings: &self.settings,
        };
        plan_schedule(&view, self.clock.now())
    }

    fn remember(&self, cluster: &WorkflowCluster, handled: Handled) {
        let uid = cluster.uid().unwrap_or_default();
        if is_deleting(cluster) {
            self.lock().remove(&uid);
        } else if handled != Handled::default() {
            self.lock().insert(uid, handled);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Handled>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn execute(&self, cluster: &WorkflowCluster, step: &ScheduleStep) -> Result<(), Refused> {
        match step {
            ScheduleStep::Make(backup) => {
                let Some(live) = self.create(&**backup).await? else { return Ok(()) };
                if live.spec.cluster_ref == backup.spec.cluster_ref {
                    return Ok(());
                }
                self.tell_name_taken(cluster, &**backup).await;
            }
            ScheduleStep::Drill(job) => {
                let Some(live) = self.create(&**job).await? else { return Ok(()) };
                if live.owner_references() != job.owner_references() {
                    self.tell_name_taken(cluster, &**job).await;
                }
            }
            ScheduleStep::Delete(deletion) => {
                self.writer.delete(deletion).await.map_err(|error| Refused {
                    class: error.class(),
                    message: missing_grant(&error.source, NamespaceRole::Cluster)
                        .unwrap_or_else(|| error.message()),
                })?;
            }
            ScheduleStep::Publish(event) => self.publisher.publish(cluster, event.clone()).await,
        }
        Ok(())
    }

    /// Creates the object; the one that is there already under its name, if there is one.
    async fn create<K>(&self, object: &K) -> Result<Option<K>, Refused>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + Serialize
            + DeserializeOwned,
    {
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        let api: Api<K> = Api::namespaced(self.client.clone(), &namespace);
        let params = PostParams {
            field_manager: Some(BACKUP_CONTROLLER.field_manager.to_owned()),
            ..PostParams::default()
        };
        let refused = |operation: &str, error: &kube::Error| Refused {
            class: ErrorClass::of_kube(error),
            message: missing_grant(error, NamespaceRole::Cluster).unwrap_or_else(|| {
                format!("failed to {operation} {} {namespace}/{name}: {}", K::kind(&()), of_kube(error))
            }),
        };
        match api.create(&params, object).await {
            Ok(_) => Ok(None),
            Err(kube::Error::Api(status)) if status.code == 409 => {
                api.get(&name).await.map(Some).map_err(|error| refused("read", &error))
            }
            Err(error) => Err(refused("create", &error)),
        }
    }

    async fn tell_name_taken<K: Resource<DynamicType = ()>>(&self, cluster: &WorkflowCluster, object: &K) {
        let reason = BackupReason::NameTaken;
        let note = format!(
            "{reason}: {} {} exists and belongs to something else: delete it",
            K::kind(&()),
            object.name_any()
        );
        let event = Event { type_: EventType::Warning, reason: reason.as_str().to_owned(), note };
        self.publisher.publish(cluster, event).await;
    }
}

#[cfg(test)]
mod tests;
