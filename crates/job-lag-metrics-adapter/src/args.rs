//! Command line and environment.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use controller_kit::args::ServiceArgs;

/// Serves job lag to HorizontalPodAutoscalers as external metrics.
#[derive(Clone, Debug, clap::Parser)]
#[command(version)]
pub struct Args {
    #[command(flatten)]
    pub service: ServiceArgs,

    /// Address of the aggregated API (TLS).
    #[arg(long, env = "BIND_ADDRESS", default_value = "0.0.0.0:6443")]
    pub bind: SocketAddr,

    /// Directory with `tls.crt` and `tls.key`, looked at every few seconds. Left out: the adapter makes its own
    /// certificate, keeps it in Secret `<service name>-serving-cert` and keeps its APIService.
    #[arg(long, env = "TLS_DIR")]
    pub tls_dir: Option<PathBuf>,

    /// Service in the pod's namespace through which kube-apiserver reaches this server.
    #[arg(long, env = "SERVICE_NAME", default_value = "job-lag-metrics-adapter")]
    pub service_name: String,

    /// Port of that Service.
    #[arg(long, env = "SERVICE_PORT", default_value = "443")]
    pub service_port: u16,

    /// ClusterRole that shall own APIService `v1beta1.external.metrics.k8s.io`: the adapter then makes the APIService when
    /// there is none, and it goes when the ClusterRole goes. Left out: somebody else makes it, and the adapter writes
    /// `caBundle` only. One that leads to another Service is never touched. Means nothing with a TLS directory.
    #[arg(long, env = "API_SERVICE_OWNER")]
    pub api_service_owner: Option<String>,

    /// A sample older than this many seconds is no longer scaled by.
    #[arg(long, env = "MAX_SAMPLE_AGE_SECONDS", default_value = "60", value_parser = parse_max_age)]
    pub max_sample_age: Duration,
}

/// An engine sends at least a heartbeat every ten seconds: less would make healthy samples stale.
fn parse_max_age(text: &str) -> Result<Duration, String> {
    match text.parse::<u64>() {
        Ok(seconds @ 15..=3_600) => Ok(Duration::from_secs(seconds)),
        _ => Err(format!("expected whole seconds from 15 to 3600, got {text:?}")),
    }
}
