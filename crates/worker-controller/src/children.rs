//! The children of a worker: one module each, and the list of them.

pub mod access_secret;
pub mod autoscaler;
pub mod deployment;
pub mod disruption_budget;

use std::collections::BTreeMap;

use api_types::WorkflowWorker;
use api_types::labels::{CLUSTER, Component, TENANT, WORKER, recommended};
use controller_kit::children::{AnyChild, ChildSet, LiveChildren};
use controller_kit::plan::build_owner_reference;
use engine_access::reference::Resolved;
use kube::ResourceExt as _;
use kube::api::ObjectMeta;

use crate::observe::Access;
use crate::validate::Fleet;
use access_secret::AccessSecret;
use autoscaler::Autoscaler;
use deployment::WorkerPods;
use disruption_budget::DisruptionBudget;

/// The children of a WorkflowWorker.
pub struct WorkerChildren;

impl ChildSet for WorkerChildren {
    type Owner = WorkflowWorker;
    type Input<'a> = BuildInput<'a>;

    /// Pods need the Secret, and the autoscaler acts on the Deployment.
    const LIST: &'static [&'static dyn AnyChild<Self>] =
        &[&AccessSecret, &WorkerPods, &Autoscaler, &DisruptionBudget];
}

/// What exists of one worker's children.
pub type Children = LiveChildren<WorkerChildren>;

/// A worker with everything that the builders of its children need.
#[derive(Clone, Copy)]
pub struct BuildInput<'a> {
    /// The worker.
    pub worker: &'a WorkflowWorker,
    /// Its job types.
    pub fleet: &'a Fleet,
    /// Its cluster and tenant.
    pub resolved: &'a Resolved,
    /// How its pods reach the engine.
    pub access: &'a Access,
}

impl BuildInput<'_> {
    /// Metadata of a child.
    #[must_use]
    pub fn metadata(&self, name: String) -> ObjectMeta {
        ObjectMeta {
            name: Some(name),
            namespace: self.worker.namespace(),
            labels: Some(self.labels()),
            owner_references: Some(vec![build_owner_reference(self.worker)]),
            ..ObjectMeta::default()
        }
    }

    /// Labels of children and pods.
    #[must_use]
    pub fn labels(&self) -> BTreeMap<String, String> {
        let name = self.worker.name_any();
        let mut labels = recommended(Component::Worker, &name);
        labels.insert(WORKER.to_owned(), name);
        labels.insert(CLUSTER.to_owned(), self.resolved.cluster.name_any());
        labels.extend(self.resolved.tenant.as_ref().map(|tenant| (TENANT.to_owned(), tenant.name_any())));
        labels
    }
}
