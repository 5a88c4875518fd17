//! What a pass works with.

use api_types::{WorkflowBackup, WorkflowCluster};
use controller_kit::apply::Writer;
use controller_kit::events::Publisher;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Namespace;
use kube::runtime::reflector::Store;
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::OnceCell;

use crate::args::Settings;

/// Shared by all passes.
pub struct Context {
    /// Reads of what no cache holds.
    pub client: Client,
    /// Writes.
    pub writer: Writer,
    /// Events about clusters.
    pub publisher: Publisher,
    /// Watched clusters.
    pub clusters: Store<WorkflowCluster>,
    /// Watched backups.
    pub backups: Store<WorkflowBackup>,
    /// Watched Jobs of the operator.
    pub jobs: Store<Job>,
    /// Which Kubernetes cluster this is.
    pub installation: Installation,
    /// The installation's settings.
    pub settings: Settings,
}

/// Identity of the Kubernetes cluster: the uid of a namespace that every one has and nobody deletes. Read once.
pub struct Installation {
    client: Client,
    uid: OnceCell<String>,
}

/// The namespace whose uid it is.
pub const INSTALLATION_NAMESPACE: &str = "kube-system";

impl Installation {
    /// Not read yet.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client, uid: OnceCell::new() }
    }

    /// The uid.
    pub async fn observe_uid(&self) -> kube::Result<&str> {
        let read = async || {
            let api: Api<Namespace> = Api::all(self.client.clone());
            Ok(api.get_metadata(INSTALLATION_NAMESPACE).await?.uid().unwrap_or_default())
        };
        self.uid.get_or_try_init(read).await.map(String::as_str)
    }
}
