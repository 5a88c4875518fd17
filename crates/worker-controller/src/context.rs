//! What a pass works with.

use std::sync::Arc;

use controller_kit::children::ChildCaches;
use controller_kit::clock::Clock;
use engine_access::engine::EngineConnector;
use engine_access::reference::Directory;
use kube::Client;

/// Shared by all passes.
pub struct Context {
    /// Reads by name.
    pub client: Client,
    /// Time: a pod that has just been made is given some to start.
    pub clock: Clock,
    /// Clusters, tenants and namespaces.
    pub directory: Arc<dyn Directory>,
    /// Where clusters are looked up beside the own namespace.
    pub cluster_namespace: String,
    /// CA bundles and worker keys.
    pub engines: EngineConnector,
    /// Children that are watched.
    pub caches: ChildCaches,
}
