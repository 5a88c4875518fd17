//! What a pass works with.

use std::sync::Arc;

use controller_kit::apply::Writer;
use engine_access::engine::EngineConnector;
use engine_access::reference::{Directory, Namespaces};
use kube::Client;

use crate::client_checks::ClientChecks;
use crate::listing::TenantListings;

/// Shared by all passes.
pub struct Context {
    /// Reads of what no cache shows.
    pub client: Client,
    /// Writes of the Secrets of clients.
    pub writer: Writer,
    /// Clusters and namespaces.
    pub directory: Arc<dyn Directory>,
    /// Which namespaces there are, and which are a tenant's by label.
    pub namespaces: Arc<dyn Namespaces>,
    /// Where clusters are looked up beside the own namespace.
    pub cluster_namespace: String,
    /// Engines.
    pub engines: EngineConnector,
    /// What engines said of all their tenants a moment ago.
    pub listings: TenantListings,
    /// When the Secrets of clients were last read.
    pub client_checks: ClientChecks,
}
