//! Which Kubernetes cluster this is. Nothing in Kubernetes says so; the uid of a namespace that every cluster has, and that is
//! never deleted, is the usual answer.

use std::sync::OnceLock;

use api_types::cluster::ClusterReason;
use controller_kit::outcome::ErrorClass;
use controller_kit::problem::Problem;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client, ResourceExt as _};

/// The namespace whose uid stands for the Kubernetes cluster.
const NAMESPACE: &str = "kube-system";

/// Reads it once.
pub struct Installation {
    namespaces: Api<Namespace>,
    known: OnceLock<String>,
}

impl Installation {
    /// Nothing is read yet.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { namespaces: Api::all(client), known: OnceLock::new() }
    }

    /// Its id.
    pub async fn observe(&self) -> Result<String, Problem<ClusterReason>> {
        if let Some(known) = self.known.get() {
            return Ok(known.clone());
        }
        let object = format!("Namespace {NAMESPACE}");
        let found = self.namespaces.get_metadata(NAMESPACE).await;
        let found = found.map_err(|error| Problem::unread(&object, &error, None))?;
        let uid = found.uid().ok_or_else(|| {
            let class = ErrorClass::Transient;
            Problem::new(class.reason(), class, format!("{object} has no uid"))
        })?;
        Ok(self.known.get_or_init(|| uid).clone())
    }
}
