//! What a pass works with.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use api_types::{WorkflowProcess, WorkflowWorker};
use engine_access::engine::EngineConnector;
use engine_access::reference::Directory;
use kube::Client;
use kube::runtime::reflector::Store;

use crate::document::Linter;
use crate::incidents::OpenIncidents;
use crate::source::{Source, Sources};

/// Shared by all passes.
pub struct Context {
    /// Reads of what no cache shows.
    pub client: Client,
    /// The kinds of sources that are acted on.
    pub sources: Sources,
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

/// An object without a finalizer goes without a pass, so what is read for it is found by comparing with the objects that are there.
const SWEEP: Duration = Duration::from_secs(30);

impl Context {
    /// What is being read for the object is given up, but by the source that its spec names now.
    pub fn forget_sources(&self, uid: &str, named: Option<&Arc<dyn Source>>) {
        let others =
            self.sources.iter().filter(|source| named.is_none_or(|named| !Arc::ptr_eq(source, named)));
        others.for_each(|source| source.forget(uid));
    }
}

/// Forgets objects that are no longer there, again and again.
pub async fn forget_gone(sources: Sources, processes: Store<WorkflowProcess>) -> Result<(), Infallible> {
    loop {
        tokio::time::sleep(SWEEP).await;
        let present = processes.state();
        sources.iter().for_each(|source| source.retain(&present));
    }
}
