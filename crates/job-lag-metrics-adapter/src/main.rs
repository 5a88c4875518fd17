//! The adapter's process.

use clap::Parser as _;
use job_lag_metrics_adapter::args::Args;

// Not one per processor of the node: an answer takes microseconds, and each thread has a heap of its own.
#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    job_lag_metrics_adapter::run(Args::parse()).await?;
    Ok(())
}
