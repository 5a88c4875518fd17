//! The Secret with the fleet's token and the CA bundle: a pod cannot mount one of another namespace.

use std::collections::BTreeMap;

use api_types::WorkflowWorker;
use api_types::engine_access::{ACCESS_TOKEN_KEY, CA_CERT_KEY, worker_access_secret_name};
use controller_kit::children::{Child, Lookup};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;

use super::{BuildInput, WorkerChildren};

/// The child.
pub struct AccessSecret;

impl Child for AccessSecret {
    type Set = WorkerChildren;
    type Object = Secret;

    const LOOKUP: Lookup = Lookup::ByName;

    fn name(&self, worker: &WorkflowWorker) -> String {
        worker_access_secret_name(&worker.name_any())
    }

    fn build(&self, input: &BuildInput<'_>, _live: Option<&Secret>) -> Option<Secret> {
        Some(build(input))
    }
}

/// Builds it.
#[must_use]
pub fn build(input: &BuildInput<'_>) -> Secret {
    let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
    Secret {
        metadata: input.metadata(worker_access_secret_name(&input.worker.name_any())),
        type_: Some("Opaque".to_owned()),
        data: Some(BTreeMap::from([
            (ACCESS_TOKEN_KEY.to_owned(), bytes(input.access.token.expose())),
            (CA_CERT_KEY.to_owned(), bytes(&input.access.ca_pem)),
        ])),
        ..Secret::default()
    }
}
