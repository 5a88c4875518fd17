//! The objects that hold the engine's certificates and credentials. Only cluster-controller writes those of a cluster;
//! all others read them.
//!
//! # Decision
//!
//! Context: tenant-, process- and worker-controller, the metrics adapter and worker pods in any namespace call the
//! engine. They must be sure that it is the engine, and the engine must know what each of them may do. Nothing but
//! Kubernetes is assumed: no cert-manager, no OIDC issuer.
//!
//! Per `WorkflowCluster` `<c>`, in its namespace:
//!
//! | Object | Keys | Read by |
//! |---|---|---|
//! | Secret `<c>-engine-ca-key` | `ca.crt`, `ca.key`, while rotating `ca-previous.crt` | cluster-controller only |
//! | ConfigMap `<c>-engine-ca` | `ca.crt`: public bundle (old and new while rotating) | every caller |
//! | Secret `<c>-engine-tls` | `tls.crt`, `tls.key`, `ca.crt` | engine pods |
//! | Secret `<c>-engine-controller-token` | `current`, while rotating `next` or `previous` | engine pods, tenant- and process-controller |
//! | Secret `<c>-engine-monitor-token` | the same | engine pods, adapter |
//! | Secret `<c>-engine-worker-key` | the same | engine pods, worker-controller |
//! | Secret `<c>-engine-client-key` | the same | engine pods, tenant-controller |
//!
//! - The CA is public, so it is a ConfigMap: reading it needs no right to read Secrets.
//! - Callers send tokens as `authorization: Bearer <token>`. The controllers' token permits every call, the monitor
//!   token only reading health and job lag. Workers and clients never get a key. From the worker key, worker-controller
//!   mints a token that is valid for the jobs of one tenant only. From the client key, tenant-controller mints one for
//!   the instances of one tenant only. Each of the four is in a Secret of its own, so that permission to read one does
//!   not include another. Key and token formats: `engine_api::credential`.
//! - A pod cannot mount a Secret of another namespace. So worker-controller writes the worker's token and the CA bundle into
//!   its own child Secret `<w>-engine-access` (keys `token`, `ca.crt`) in the worker's namespace, after the reference was
//!   granted, and deletes it when the grant ends.
//! - tenant-controller does the same for applications: Secret `<tenant>-client` (keys `host`, `port`, `uri`, `tenant`, `token`,
//!   `ca.crt`) in the namespaces that the tenant is granted to.
//! - `status.endpoint` has the address: `<c>-engine.<namespace>.svc`, port 26500. The certificate is made for that
//!   name, so no cluster domain is assumed.
//!
//! Rejected: client certificates (in any language, a token is easier to use correctly than mutual TLS); one token for
//! all (a worker could deploy, and see every tenant); ServiceAccount tokens (the engine would need the right to review
//! them).

use crate::names;

/// gRPC port of the engine, and its JSON API (`/api/v1`).
pub const GRPC_PORT: u16 = 26500;
/// Admin port of the engine: `/livez`, `/readyz`, `/metrics`.
pub const ADMIN_PORT: u16 = 8080;

/// Key of the certificate authority, in the ConfigMap and in the Secrets.
pub const CA_CERT_KEY: &str = "ca.crt";
/// Key of the authority's private key.
pub const CA_PRIVATE_KEY_KEY: &str = "ca.key";
/// Key of the authority that was replaced last, kept until no certificate of it is left.
pub const CA_PREVIOUS_CERT_KEY: &str = "ca-previous.crt";
/// Key of the engine's certificate chain.
pub const TLS_CERT_KEY: &str = "tls.crt";
/// Key of the engine's private key.
pub const TLS_PRIVATE_KEY_KEY: &str = "tls.key";
/// Key of the token or key that is in use, in each of the Secrets of [`Access`].
pub const CURRENT_KEY: &str = "current";
/// Key of the token or key that will be used next: engines accept it already.
pub const NEXT_KEY: &str = "next";
/// Key of the token or key that was used before: engines accept it until all callers have the current one.
pub const PREVIOUS_KEY: &str = "previous";
/// Key of the token in the own Secret of a worker or of a tenant's clients.
pub const ACCESS_TOKEN_KEY: &str = "token";

/// Key of the engine's host name in the Secret of a tenant's clients.
pub const CLIENT_HOST_KEY: &str = "host";
/// Key of the engine's port in the same Secret.
pub const CLIENT_PORT_KEY: &str = "port";
/// Key of `https://<host>:<port>` in the same Secret.
pub const CLIENT_URI_KEY: &str = "uri";
/// Key of the tenant's id in the same Secret.
pub const CLIENT_TENANT_KEY: &str = "tenant";

/// A credential of the engine's API. Each has a Secret of its own in the namespace of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Access {
    /// The token of controllers.
    ControllerToken,
    /// The token of the metrics adapter and other readers.
    MonitorToken,
    /// The key that workers' tokens are minted from.
    WorkerKey,
    /// The key that clients' tokens are minted from.
    ClientKey,
}

impl Access {
    /// Every credential, in the order of declaration.
    pub const ALL: [Self; 4] = [Self::ControllerToken, Self::MonitorToken, Self::WorkerKey, Self::ClientKey];

    /// The end of the Secret's name, and the directory that engine pods see it in.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ControllerToken => "controller-token",
            Self::MonitorToken => "monitor-token",
            Self::WorkerKey => "worker-key",
            Self::ClientKey => "client-key",
        }
    }
}

/// StatefulSet and client Service of a cluster.
pub fn engine_name(cluster: &str) -> String {
    names::child(cluster, "engine")
}

/// Headless Service of a cluster's StatefulSet.
pub fn headless_service_name(cluster: &str) -> String {
    names::child(cluster, "engine-headless")
}

/// ConfigMap with the public CA bundle.
pub fn ca_config_map_name(cluster: &str) -> String {
    names::child(cluster, "engine-ca")
}

/// Secret with the CA's private key.
pub fn ca_key_secret_name(cluster: &str) -> String {
    names::child(cluster, "engine-ca-key")
}

/// Secret with the engine's serving certificate.
pub fn tls_secret_name(cluster: &str) -> String {
    names::child(cluster, "engine-tls")
}

/// Secret with this credential.
pub fn access_secret_name(cluster: &str, access: Access) -> String {
    names::child(cluster, &format!("engine-{}", access.name()))
}

/// Secret in a worker's namespace with its token and the CA bundle.
pub fn worker_access_secret_name(worker: &str) -> String {
    names::child(worker, "engine-access")
}

/// Secret with the address, the CA bundle and the token of a tenant's clients.
pub fn client_secret_name(tenant: &str) -> String {
    names::child(tenant, "client")
}

/// DNS name of the engine's client Service, without the cluster domain.
pub fn engine_host(cluster: &str, namespace: &str) -> String {
    format!("{}.{namespace}.svc", engine_name(cluster))
}

/// DNS name of one pod of the engine, as in its certificate.
pub fn engine_pod_host(cluster: &str, namespace: &str, pod: &str) -> String {
    format!("{pod}.{}.{namespace}.svc", headless_service_name(cluster))
}

/// `https://<host>:26500`.
pub fn engine_url(cluster: &str, namespace: &str) -> String {
    format!("https://{}:{GRPC_PORT}", engine_host(cluster, namespace))
}
