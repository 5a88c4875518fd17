//! Command line and environment that all services share.

use std::net::SocketAddr;
use std::time::Duration;

/// Flatten this into a service's own arguments.
#[derive(Clone, Debug, clap::Args)]
pub struct ServiceArgs {
    /// Address of the admin server (`/livez`, `/readyz`, `/metrics`).
    #[arg(long, env = "ADMIN_ADDRESS", default_value = "0.0.0.0:8080")]
    pub admin_address: SocketAddr,

    /// Log filter in `tracing` syntax, for instance `info` or `info,kube=debug`.
    #[arg(long, env = "LOG_FILTER", default_value = "info,kube_client=warn,hyper=warn,h2=warn")]
    pub log_filter: String,

    /// OTLP gRPC collector, for instance `http://otel-collector.observability.svc:4317`. Empty: no traces.
    #[arg(long, env = "OTLP_ENDPOINT", default_value = "")]
    pub otlp_endpoint: String,

    /// Name of this pod: lease holder identity and event source.
    #[arg(long, env = "POD_NAME", default_value = "local")]
    pub pod_name: String,

    /// Namespace of this pod: where its Lease lives.
    #[arg(long, env = "POD_NAMESPACE", default_value = "workflow-system")]
    pub pod_namespace: String,

    /// Where a `clusterRef` without namespace is looked up when the referrer's own namespace has no such cluster.
    #[arg(long, env = "CLUSTER_NAMESPACE", default_value = "workflow-system")]
    pub cluster_namespace: String,

    /// Reconciles at the same time. One namespace can hold at most half of them.
    #[arg(long, env = "CONCURRENCY", default_value_t = 16, value_parser = clap::value_parser!(u16).range(2..=256))]
    pub concurrency: u16,

    /// Longest time that one reconcile may take.
    #[arg(long, env = "RECONCILE_DEADLINE_SECONDS", default_value = "120", value_parser = parse_seconds)]
    pub reconcile_deadline: Duration,

    /// How many objects `operator_resource_status` may show; 0 switches the metric off.
    #[arg(long, env = "RESOURCE_STATUS_LIMIT", default_value_t = 1_000)]
    pub resource_status_limit: usize,

    /// Lease of the leader: how long after its last renewal another replica may take over.
    #[arg(long, env = "LEASE_DURATION_SECONDS", default_value = "15", value_parser = parse_seconds)]
    pub lease_duration: Duration,
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<u64>() {
        Ok(seconds @ 5..=3_600) => Ok(Duration::from_secs(seconds)),
        _ => Err(format!("expected whole seconds from 5 to 3600, got {text:?}")),
    }
}
