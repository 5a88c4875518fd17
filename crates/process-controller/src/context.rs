//! What a pass works with.

use std::sync::Arc;

use api_types::WorkflowWorker;
use engine_access::engine::EngineConnector;
use engine_access::reference::Directory;
use kube::Client;

use crate::incidents::OpenIncidents;

/// Shared by all passes.
pub struct Context {
    /// Reads of ConfigMaps.
    pub client: Client,
    /// Clusters, tenants and namespaces.
    pub directory: Arc<dyn Directory>,
    /// Where clusters are looked up beside the own namespace.
    pub cluster_namespace: String,
    /// Engines.
    pub engines: EngineConnector,
    /// What engines said of open incidents.
    pub incidents: OpenIncidents,
    /// All workers, for the job types that they serve.
    pub workers: Arc<dyn Fn() -> Vec<Arc<WorkflowWorker>> + Send + Sync>,
}
