//! The adapter's process.

use clap::Parser as _;
use job_lag_metrics_adapter::args::Args;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    job_lag_metrics_adapter::run(Args::parse()).await?;
    Ok(())
}
