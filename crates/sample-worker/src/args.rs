//! The environment that a WorkflowWorker gives to its pods, and the knobs of this worker.

use std::{path::PathBuf, time::Duration};

use clap::Parser;
use engine_client::model::DEFAULT_TENANT;

/// Serves charge-payment and refund-payment of one tenant.
#[derive(Clone, Debug, Parser)]
pub(crate) struct Args {
    /// Job types to serve, separated by commas.
    #[arg(long, env = "WORKFLOW_JOB_TYPES", value_delimiter = ',', required = true)]
    pub(crate) job_types: Vec<String>,
    /// The engine's gRPC endpoint, host:port.
    #[arg(long, env = "WORKFLOW_ENGINE_ADDRESS", value_parser = host_and_port)]
    pub(crate) engine_address: (String, u16),
    /// Whose jobs to serve; without it those of the engine's default tenant.
    #[arg(long, env = "WORKFLOW_TENANT", default_value = DEFAULT_TENANT)]
    pub(crate) tenant: String,
    /// Who takes the jobs, for people.
    #[arg(long, env = "WORKFLOW_WORKER_NAME")]
    pub(crate) worker_name: String,
    /// PEM file of the authority that signs the engine's certificate; without it the connection has no TLS.
    #[arg(long, env = "WORKFLOW_CA_FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// File of the tenant's token.
    #[arg(long, env = "WORKFLOW_TOKEN_FILE")]
    pub(crate) token_file: PathBuf,
    /// Most jobs at the same time.
    #[arg(long, env = "WORK_MAX_IN_FLIGHT", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) max_in_flight: u16,
    /// How long the payment provider takes, in milliseconds.
    #[arg(long = "work-duration-ms", env = "WORK_DURATION_MS", default_value = "1000", value_parser = milliseconds)]
    pub(crate) work_duration: Duration,
    /// How long jobs may go on after SIGTERM, in milliseconds; keep it below the pod's termination grace period.
    #[arg(long = "work-grace-ms", env = "WORK_GRACE_MS", default_value = "25000", value_parser = milliseconds)]
    pub(crate) grace: Duration,
}

fn host_and_port(text: &str) -> Result<(String, u16), String> {
    let parts = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let (host, port) = parts.ok_or("expected host:port, for instance engine.workflow-system.svc:26500")?;
    Ok((host.trim_matches(['[', ']']).to_owned(), port))
}

fn milliseconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(value @ 0..=600_000) => Ok(Duration::from_millis(value)),
        _ => Err("expected 0 to 600000 milliseconds".to_owned()),
    }
}

#[cfg(test)]
mod tests;
