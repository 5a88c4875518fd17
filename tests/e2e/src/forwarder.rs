//! The engine's Service on a port of this machine, wherever the cluster is and for as long as it takes.
//!
//! `kubectl port-forward` alone stays with one pod and ends with it. Here each connection gets one of its own, to a pod that is
//! ready at that moment; so callers notice of a pod that ends what they would notice in the cluster, and come back to another.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context as _;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kube::api::ListParams;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::cluster::Cluster;
use crate::engine::forward_port;

/// Accepts connections until it is dropped.
#[derive(Debug)]
pub struct Forwarder {
    address: (String, u16),
    _accepting: JoinSet<()>,
}

struct Service {
    cluster: Cluster,
    namespace: String,
    name: String,
    port: u16,
    /// Spreads connections over the pods.
    next: AtomicUsize,
}

impl Forwarder {
    /// Listens for this Service.
    pub async fn start(cluster: &Cluster, namespace: &str, name: &str, port: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let service = Arc::new(Service {
            cluster: cluster.clone(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            port,
            next: AtomicUsize::default(),
        });
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let service = Arc::clone(&service);
                // A connection that fails is closed, and its caller tries again.
                connections.spawn(async move { service.carry(stream).await.ok() });
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { address: (address.ip().to_string(), address.port()), _accepting: accepting })
    }

    /// Where it listens.
    pub fn address(&self) -> (String, u16) {
        self.address.clone()
    }
}

impl Service {
    async fn carry(&self, mut stream: TcpStream) -> anyhow::Result<()> {
        let pods = self.ready_pods().await?;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let pod = pods.get(number % pods.len().max(1)).context("no pod is ready")?;
        let (_forward, port) =
            forward_port(&self.cluster, &self.namespace, &format!("pod/{pod}"), self.port).await?;
        let mut to_pod = TcpStream::connect(("127.0.0.1", port)).await?;
        for side in [&stream, &to_pod] {
            side.set_nodelay(true)?;
        }
        copy_bidirectional(&mut stream, &mut to_pod).await?;
        Ok(())
    }

    async fn ready_pods(&self) -> anyhow::Result<Vec<String>> {
        let slices: Api<EndpointSlice> = Api::namespaced(self.cluster.client.clone(), &self.namespace);
        let of_this = ListParams::default().labels(&format!("kubernetes.io/service-name={}", self.name));
        let endpoints = slices.list(&of_this).await?.items.into_iter().flat_map(|slice| slice.endpoints);
        let is_ready = |ready: Option<bool>| ready.unwrap_or(true);
        let ready = endpoints.filter(|endpoint| {
            is_ready(endpoint.conditions.as_ref().and_then(|conditions| conditions.ready))
        });
        Ok(ready.filter_map(|endpoint| endpoint.target_ref?.name).collect())
    }
}
