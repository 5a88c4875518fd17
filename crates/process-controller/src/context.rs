//! What a pass works with.

use std::sync::Arc;

use api_types::WorkflowWorker;
use engine_access::engine::EngineConnector;
use engine_access::reference::Directory;
use kube::Client;

use crate::document::Linter;
use crate::incidents::OpenIncidents;
use crate::source::Source;
use crate::source::fetches::Fetches;

/// Shared by all passes.
pub struct Context {
    /// Reads of what no cache shows.
    pub client: Client,
    /// The kinds of sources that are acted on.
    pub sources: &'static [&'static dyn Source],
    /// Sources that take long.
    pub fetches: Fetches,
    /// Lints documents.
    pub linter: Linter,
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
