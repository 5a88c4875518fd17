//! The engine of a WorkflowCluster, called from outside: through `kubectl port-forward`, which works on any cluster.

use std::process::Stdio;

use anyhow::{Context as _, bail};
use api_types::WorkflowCluster;
use api_types::engine_access::{
    ACCESS_TOKEN_KEY, Access, CA_CERT_KEY, CLIENT_HOST_KEY, CLIENT_PORT_KEY, CURRENT_KEY, GRPC_PORT,
    access_secret_name, ca_config_map_name, client_secret_name, engine_host,
};
use engine_client::{Credential, EngineAccess, EngineAddress, EngineClient, EnginePool, EngineTls, Timeouts};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, ResourceExt as _};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::cluster::Cluster;

/// A connection that lives as long as this value.
pub struct Connection {
    /// The caller.
    pub client: EngineClient,
    _forward: Child,
}

/// Connects to the engine of `cluster` with the controllers' token, which no application has.
pub async fn connect(cluster: &Cluster, engine: &WorkflowCluster) -> anyhow::Result<Connection> {
    let (namespace, name) = (engine.namespace().unwrap_or_default(), engine.name_any());
    let config_maps: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), &namespace);
    let ca = config_maps.get(&ca_config_map_name(&name)).await?.data.unwrap_or_default().remove(CA_CERT_KEY);
    let secrets: Api<Secret> = Api::namespaced(cluster.client.clone(), &namespace);
    let token = secrets.get(&access_secret_name(&name, Access::ControllerToken)).await?;
    let credential = ClientCredential {
        host: engine_host(&name, &namespace),
        port: GRPC_PORT,
        ca_pem: ca.context("the CA is missing")?,
        token: entry(&token, CURRENT_KEY)?,
    };
    connect_with(cluster, &credential).await
}

/// What an application is given: the Secret of a tenant's clients.
#[derive(Clone)]
pub struct ClientCredential {
    /// The engine's Service.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The authority of its certificate.
    pub ca_pem: String,
    /// The bearer token.
    pub token: String,
}

impl ClientCredential {
    /// From the Secret in the application's own namespace.
    pub async fn read(cluster: &Cluster, namespace: &str, tenant: &str) -> anyhow::Result<Self> {
        let secrets: Api<Secret> = Api::namespaced(cluster.client.clone(), namespace);
        let secret = secrets.get(&client_secret_name(tenant)).await?;
        Ok(Self {
            host: entry(&secret, CLIENT_HOST_KEY)?,
            port: entry(&secret, CLIENT_PORT_KEY)?.parse()?,
            ca_pem: entry(&secret, CA_CERT_KEY)?,
            token: entry(&secret, ACCESS_TOKEN_KEY)?,
        })
    }
}

/// Connects with this credential.
pub async fn connect_with(cluster: &Cluster, credential: &ClientCredential) -> anyhow::Result<Connection> {
    connect_under(cluster, credential, &credential.host).await
}

/// Connects with this credential, and takes no certificate that is not made for `name`: as a caller does that knows the engine
/// by that name.
pub async fn connect_under(
    cluster: &Cluster,
    credential: &ClientCredential,
    name: &str,
) -> anyhow::Result<Connection> {
    let ClientCredential { host, port, ca_pem, token } = credential.clone();
    // `<service>.<namespace>.svc`
    let mut labels = host.split('.');
    let (service, namespace) = (labels.next().unwrap_or_default(), labels.next().unwrap_or_default());
    let (forward, port) = forward_port(cluster, namespace, &format!("service/{service}"), port).await?;
    let tls = EngineTls { ca_pem, server_name: Some(name.to_owned()) };
    let access = EngineAccess {
        address: EngineAddress { host: "127.0.0.1".to_owned(), port, tls: Some(tls) },
        credential: Credential::parse(&token)?,
    };
    Ok(Connection { client: EnginePool::new(Timeouts::default()).client(&access)?, _forward: forward })
}

pub(crate) fn entry(secret: &Secret, key: &str) -> anyhow::Result<String> {
    let value = secret.data.as_ref().and_then(|data| data.get(key));
    let value = value.with_context(|| format!("Secret {} has no key {key}", secret.name_any()))?;
    Ok(String::from_utf8(value.0.clone())?)
}

/// A free local port that leads to `target`; it closes when the child is dropped.
pub(crate) async fn forward_port(
    cluster: &Cluster,
    namespace: &str,
    target: &str,
    port: u16,
) -> anyhow::Result<(Child, u16)> {
    let mut child = Command::new("kubectl")
        .arg("--kubeconfig")
        .arg(&cluster.kubeconfig)
        .args([
            "--namespace",
            namespace,
            "port-forward",
            "--address",
            "127.0.0.1",
            target,
            &format!(":{port}"),
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("starting kubectl")?;
    let stdout = child.stdout.take().context("kubectl has no standard output")?;
    let mut lines = BufReader::new(stdout).lines();
    // Forwarding from 127.0.0.1:40123 -> 26500
    let Some(line) = lines.next_line().await? else { bail!("kubectl could not forward a port to {target}") };
    let local = line
        .split("127.0.0.1:")
        .nth(1)
        .and_then(|rest| rest.split(' ').next())
        .and_then(|port| port.parse().ok());
    // Keeps the pipe open: kubectl ends when it can no longer say what it does.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Ok((child, local.with_context(|| format!("kubectl said {line:?}"))?))
}
