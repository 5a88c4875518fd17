//! How the engine's TLS and credentials are laid out. cluster-controller writes all of it, everyone else only reads.
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
//! | Secret `<c>-engine-credentials` | `controller-token`, `monitor-token`, `worker-key` | engine pods, controllers, adapter |
//!
//! - The CA is public, so it is a ConfigMap: reading it needs no right to read Secrets.
//! - Tokens go as `authorization: Bearer <token>`. `controller-token` may do everything, `monitor-token` only reads health
//!   and job lag. Workers never get the `worker-key`: worker-controller mints from it a token that holds for the jobs of
//!   one tenant only, so a worker cannot reach another tenant's jobs. Key and token formats: `engine_client::credential`.
//! - A pod cannot mount a Secret of another namespace. So worker-controller writes the worker's token and the CA bundle into
//!   its own child Secret `<w>-engine-access` (keys `token`, `ca.crt`) in the worker's namespace, after the reference was
//!   granted, and deletes it when the grant ends.
//! - `status.endpoint` says where: `<c>-engine.<namespace>.svc`, port 26500. The certificate is made for that name, so no
//!   cluster domain is assumed.
//!
//! Rejected: client certificates (workers in any language get a token right more easily than mutual TLS); one token for
//! all (a worker could deploy, and see every tenant); ServiceAccount tokens (the engine would need the right to review them).

use crate::names;

/// gRPC port of the engine, and its JSON API (`/api/v1`).
pub const GRPC_PORT: u16 = 26500;
/// Admin port of the engine: `/livez`, `/readyz`, `/metrics`.
pub const ADMIN_PORT: u16 = 8080;

/// Key of a certificate authority, in ConfigMap and Secrets alike.
pub const CA_CERT_KEY: &str = "ca.crt";
/// Key of the authority's private key.
pub const CA_PRIVATE_KEY_KEY: &str = "ca.key";
/// Key of the authority that was replaced last, kept until no certificate of it is left.
pub const CA_PREVIOUS_CERT_KEY: &str = "ca-previous.crt";
/// Key of the engine's certificate chain.
pub const TLS_CERT_KEY: &str = "tls.crt";
/// Key of the engine's private key.
pub const TLS_PRIVATE_KEY_KEY: &str = "tls.key";
/// Key of the token for controllers.
pub const CONTROLLER_TOKEN_KEY: &str = "controller-token";
/// Key of the token for the metrics adapter and other readers.
pub const MONITOR_TOKEN_KEY: &str = "monitor-token";
/// Key of the key that workers' tokens are minted from.
pub const WORKER_KEY_KEY: &str = "worker-key";
/// Key of the token in a worker's own Secret.
pub const ACCESS_TOKEN_KEY: &str = "token";

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

/// Secret with one token per role.
pub fn credentials_secret_name(cluster: &str) -> String {
    names::child(cluster, "engine-credentials")
}

/// Secret in a worker's namespace with its token and the CA bundle.
pub fn worker_access_secret_name(worker: &str) -> String {
    names::child(worker, "engine-access")
}

/// DNS name of the engine's client Service, without the cluster domain.
pub fn engine_host(cluster: &str, namespace: &str) -> String {
    format!("{}.{namespace}.svc", engine_name(cluster))
}

/// `https://<host>:26500`.
pub fn engine_url(cluster: &str, namespace: &str) -> String {
    format!("https://{}:{GRPC_PORT}", engine_host(cluster, namespace))
}
