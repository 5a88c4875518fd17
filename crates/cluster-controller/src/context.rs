//! What a pass works with.

use api_types::WorkflowBackup;
use controller_kit::apply::Writer;
use controller_kit::children::ChildCaches;
use engine_access::engine::EngineConnector;
use k8s_openapi::api::batch::v1::Job;
use kube::Client;
use kube::runtime::reflector::Store;

use crate::args::Settings;
use crate::installation::Installation;
use crate::observe::dependants::DependantCaches;
use crate::observe::postgres::PostgresProbe;
use crate::proof::ProofKeeper;

/// Shared by all passes.
pub struct Context {
    /// Reads of what no cache holds.
    pub client: Client,
    /// Writes.
    pub writer: Writer,
    /// Watched children.
    pub caches: ChildCaches,
    /// Watched migration Jobs.
    pub jobs: Store<Job>,
    /// All WorkflowBackups.
    pub backups: Store<WorkflowBackup>,
    /// Who refers to the clusters.
    pub dependants: DependantCaches,
    /// Where a `clusterRef` without namespace leads when the referrer's own namespace has no such cluster.
    pub cluster_namespace: String,
    /// Which Kubernetes cluster this is.
    pub installation: Installation,
    /// Databases.
    pub postgres: PostgresProbe,
    /// Engines.
    pub engines: EngineConnector,
    /// What proves that a Secret is ours.
    pub proof: ProofKeeper,
    /// The installation's settings.
    pub settings: Settings,
}
