//! The children of a cluster: one module each, and the list of them. Beside them stand what is no plain child: the pods
//! that two of them share, the migration Job, and the ServiceMonitor, whose kind may not exist.

pub mod ca_bundle;
pub mod disruption_budget;
pub mod headless_service;
pub mod ingress;
pub mod migration_job;
pub mod migration_network_policy;
pub mod network_policy;
pub mod pod;
pub mod reader_role;
pub mod reader_role_binding;
pub mod service;
pub mod service_monitor;
pub mod stateful_set;

use std::collections::BTreeMap;
use std::fmt;

use api_types::WorkflowCluster;
use api_types::engine_access::{self, Access};
use api_types::labels::{CLUSTER, Component, recommended};
use controller_kit::children::{AnyChild, ChildSet, LiveChildren};
use controller_kit::plan::build_owner_reference;
use kube::ResourceExt as _;
use kube::api::ObjectMeta;
use semver::Version;
use serde::Serialize;

use crate::args::Settings;
use crate::observe::secrets::AccessView;
use crate::upgrade::rollout::Rollout;
use crate::validate::Target;
use ca_bundle::CaBundle;
use disruption_budget::DisruptionBudget;
use headless_service::HeadlessService;
use ingress::EngineIngress;
use migration_network_policy::MigrationNetworkPolicy;
use network_policy::EngineNetworkPolicy;
use reader_role::ReaderRole;
use reader_role_binding::ReaderRoleBinding;
use service::ClientService;
use stateful_set::EnginePods;

/// The children of a WorkflowCluster.
pub struct ClusterChildren;

impl ChildSet for ClusterChildren {
    type Owner = WorkflowCluster;
    type Input<'a> = Input<'a>;

    /// Role before RoleBinding: the API server grants only what it finds.
    const LIST: &'static [&'static dyn AnyChild<Self>] = &[
        &ReaderRole(Access::ControllerToken),
        &ReaderRoleBinding(Access::ControllerToken),
        &ReaderRole(Access::MonitorToken),
        &ReaderRoleBinding(Access::MonitorToken),
        &ReaderRole(Access::WorkerKey),
        &ReaderRoleBinding(Access::WorkerKey),
        &ReaderRole(Access::ClientKey),
        &ReaderRoleBinding(Access::ClientKey),
        &CaBundle,
        &HeadlessService,
        &ClientService,
        &EngineNetworkPolicy,
        &MigrationNetworkPolicy,
        &EnginePods,
        &DisruptionBudget,
        &EngineIngress,
    ];
}

/// What the children are built from.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// The cluster.
    pub build: BuildInput<'a>,
    /// The Secrets of the engine's TLS and credentials.
    pub access: &'a AccessView,
    /// Template and partition of the engine's pods.
    pub rollout: &'a Rollout,
    /// What exists.
    pub live: &'a LiveChildren<ClusterChildren>,
}

/// A cluster with everything that its builders need.
#[derive(Clone, Copy)]
pub struct BuildInput<'a> {
    /// The object.
    pub cluster: &'a WorkflowCluster,
    /// What was made of its spec.
    pub target: &'a Target,
    /// The installation's settings.
    pub settings: &'a Settings,
    /// Name of the database.
    pub database: &'a str,
    /// The claim that the engine is started with; `None` = it is not known.
    pub claim: Option<&'a str>,
}

/// Versions from this one on compare their own claim with that in the database.
#[must_use]
pub fn knows_claims(version: &Version) -> bool {
    (version.major, version.minor) >= (1, 3)
}

impl fmt::Debug for BuildInput<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BuildInput({}/{})", self.namespace(), self.name())
    }
}

impl BuildInput<'_> {
    /// Name of the cluster.
    #[must_use]
    pub fn name(&self) -> String {
        self.cluster.name_any()
    }

    /// Namespace of the cluster and of all its children.
    #[must_use]
    pub fn namespace(&self) -> String {
        self.cluster.namespace().unwrap_or_default()
    }

    /// Name of the StatefulSet, the client Service and whatever there is once beside them.
    #[must_use]
    pub fn engine_name(&self) -> String {
        engine_access::engine_name(&self.name())
    }

    /// The claim that an engine of this version is started with. One that knows nothing of claims keeps the template that it has.
    #[must_use]
    pub fn claim_for(&self, version: &Version) -> Option<&str> {
        self.claim.filter(|_| knows_claims(version))
    }

    /// Image of the engine at a version.
    #[must_use]
    pub fn image(&self, version: &Version) -> String {
        let repository = self.cluster.spec.image.as_ref().unwrap_or(&self.settings.engine_image_repository);
        format!("{repository}:{version}")
    }

    /// Metadata of a child that goes with the cluster.
    #[must_use]
    pub fn metadata(&self, name: String, component: Component) -> ObjectMeta {
        ObjectMeta {
            owner_references: Some(vec![build_owner_reference(self.cluster)]),
            ..self.unowned_metadata(name, component)
        }
    }

    /// Metadata of a child that outlives the cluster.
    #[must_use]
    pub fn unowned_metadata(&self, name: String, component: Component) -> ObjectMeta {
        ObjectMeta {
            name: Some(name),
            namespace: Some(self.namespace()),
            labels: Some(self.labels(component)),
            ..ObjectMeta::default()
        }
    }

    /// Labels of a child.
    #[must_use]
    pub fn labels(&self, component: Component) -> BTreeMap<String, String> {
        let mut labels = recommended(component, &self.name());
        labels.insert(CLUSTER.to_owned(), self.name());
        labels
    }
}

pub(crate) fn body_of<T: Serialize>(object: &T) -> serde_json::Value {
    serde_json::to_value(object).expect("should serialise: Kubernetes types have string keys only")
}
