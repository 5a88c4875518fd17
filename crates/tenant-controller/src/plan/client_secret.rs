//! The Secret with which applications of a tenant reach its engine: a pod cannot mount one of another namespace.

use std::collections::BTreeMap;

use api_types::WorkflowTenant;
use api_types::engine_access::{
    ACCESS_TOKEN_KEY, CA_CERT_KEY, CLIENT_HOST_KEY, CLIENT_PORT_KEY, CLIENT_TENANT_KEY, CLIENT_URI_KEY,
    client_secret_name,
};
use api_types::labels::{CLUSTER, Component, OWNED_BY, TENANT, recommended};
use controller_kit::plan::build_owner_reference;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use kube::api::ObjectMeta;

use crate::observe::clients::Access;

/// Builds it for one namespace.
#[must_use]
pub fn build(tenant: &WorkflowTenant, access: &Access, namespace: &str) -> Secret {
    let mut secret = build_empty(tenant, namespace);
    secret.labels_mut().insert(CLUSTER.to_owned(), access.cluster.clone());
    let port = access.port.to_string();
    let tenant_id = tenant.name_any();
    let entries = [
        (CLIENT_HOST_KEY, access.host.as_str()),
        (CLIENT_PORT_KEY, &port),
        (CLIENT_URI_KEY, &access.uri),
        (CLIENT_TENANT_KEY, &tenant_id),
        (ACCESS_TOKEN_KEY, access.token.expose()),
        (CA_CERT_KEY, &access.ca_pem),
    ];
    let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
    secret.data = Some(entries.map(|(key, text)| (key.to_owned(), bytes(text))).into());
    secret
}

/// The same without what it is for.
#[must_use]
pub fn build_empty(tenant: &WorkflowTenant, namespace: &str) -> Secret {
    let name = tenant.name_any();
    let mut labels = recommended(Component::Client, &name);
    labels.insert(TENANT.to_owned(), name.clone());
    // An ownerReference does not reach beyond the namespace.
    let is_home = tenant.namespace().as_deref() == Some(namespace);
    let metadata = ObjectMeta {
        name: Some(client_secret_name(&name)),
        namespace: Some(namespace.to_owned()),
        labels: Some(labels),
        annotations: Some(BTreeMap::from([(OWNED_BY.to_owned(), proof_of_ownership(tenant))])),
        owner_references: is_home.then(|| vec![build_owner_reference(tenant)]),
        ..ObjectMeta::default()
    };
    Secret { metadata, type_: Some("Opaque".to_owned()), ..Secret::default() }
}

/// Did this life of this tenant make it? Whatever else has its name is left alone.
#[must_use]
pub fn is_ours(tenant: &WorkflowTenant, secret: &Secret) -> bool {
    secret.annotations().get(OWNED_BY) == Some(&proof_of_ownership(tenant))
}

fn proof_of_ownership(tenant: &WorkflowTenant) -> String {
    let namespace = tenant.namespace().unwrap_or_default();
    format!("{namespace}/{}/{}", tenant.name_any(), tenant.uid().unwrap_or_default())
}
