//! The Secret with the fleet's token and the CA bundle: a pod cannot mount one of another namespace.

use std::collections::BTreeMap;

use api_types::engine_access::{ACCESS_TOKEN_KEY, CA_CERT_KEY, worker_access_secret_name};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;

use super::Blueprint;

/// Builds it.
#[must_use]
pub fn build(blueprint: &Blueprint<'_>) -> Secret {
    let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
    Secret {
        metadata: blueprint.metadata(worker_access_secret_name(&blueprint.worker.name_any())),
        type_: Some("Opaque".to_owned()),
        data: Some(BTreeMap::from([
            (ACCESS_TOKEN_KEY.to_owned(), bytes(blueprint.access.token.expose())),
            (CA_CERT_KEY.to_owned(), bytes(&blueprint.access.ca_pem)),
        ])),
        ..Secret::default()
    }
}
