//! The engine of a WorkflowCluster, called from outside: through `kubectl port-forward`, which works on any cluster.

use std::process::Stdio;

use anyhow::{Context as _, bail};
use api_types::WorkflowCluster;
use api_types::engine_access::{
    Access, CA_CERT_KEY, CURRENT_KEY, GRPC_PORT, access_secret_name, ca_config_map_name, engine_host,
    engine_name,
};
use engine_client::{Credential, EngineAccess, EngineAddress, EngineClient, EnginePool, EngineTls, Timeouts};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, ResourceExt as _};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::cluster::Cluster;

/// A connection that lives as long as this value.
pub struct Connection {
    /// With the controllers' token.
    pub client: EngineClient,
    _forward: Child,
}

/// Connects to the engine of `cluster`.
pub async fn connect(cluster: &Cluster, engine: &WorkflowCluster) -> anyhow::Result<Connection> {
    let (namespace, name) = (engine.namespace().unwrap_or_default(), engine.name_any());
    let config_maps: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), &namespace);
    let ca = config_maps.get(&ca_config_map_name(&name)).await?.data.unwrap_or_default().remove(CA_CERT_KEY);
    let secrets: Api<Secret> = Api::namespaced(cluster.client.clone(), &namespace);
    let token = secrets
        .get(&access_secret_name(&name, Access::ControllerToken))
        .await?
        .data
        .unwrap_or_default()
        .remove(CURRENT_KEY);
    let token = String::from_utf8(token.context("the Secret has no controller token")?.0)?;

    let (forward, port) =
        forward_port(cluster, &namespace, &format!("service/{}", engine_name(&name)), GRPC_PORT).await?;
    let tls = EngineTls {
        ca_pem: ca.context("the CA is missing")?,
        server_name: Some(engine_host(&name, &namespace)),
    };
    let access = EngineAccess {
        address: EngineAddress { host: "127.0.0.1".to_owned(), port, tls: Some(tls) },
        credential: Credential::parse(&token)?,
    };
    Ok(Connection { client: EnginePool::new(Timeouts::default()).client(&access)?, _forward: forward })
}

/// A free local port that leads to `target`; it closes when the child is dropped.
async fn forward_port(
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
