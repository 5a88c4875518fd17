//! The cluster that the user named, and no other: `WORKFLOW_KUBECONFIG` must be set (the recipes set it). Neither
//! `KUBECONFIG` nor `~/.kube/config` is ever read.

use std::path::PathBuf;

use anyhow::Context as _;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// A named cluster.
#[derive(Clone)]
pub struct Cluster {
    /// Full access.
    pub client: Client,
    /// For programs that are started, such as `kubectl port-forward`.
    pub kubeconfig: PathBuf,
}

impl Cluster {
    /// The cluster of `WORKFLOW_KUBECONFIG`.
    pub async fn named() -> anyhow::Result<Self> {
        let path = std::env::var("WORKFLOW_KUBECONFIG").context(
            "WORKFLOW_KUBECONFIG is not set: run this by `./dev demo` or `./dev e2e`, which name the cluster",
        )?;
        // A second call in the same process is no mistake.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let kubeconfig = Kubeconfig::read_from(&path).with_context(|| format!("reading {path}"))?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        Ok(Self { client: Client::try_from(config)?, kubeconfig: path.into() })
    }
}
