//! Serves `charge-payment` and `refund-payment` of one tenant. Copy it for your own workers: only
//! `payment.rs` is about payments.
//!
//! Owns the loop around a job: take, work, complete or fail, reconnect, drain. It never talks to Kubernetes: everything
//! it needs to know comes from the environment that a WorkflowWorker gives to its pods.

mod args;
mod payment;
mod worker;

use anyhow::Context as _;
use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().json().flatten_event(true).with_env_filter(filter).init();
    let args = args::Args::parse();
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    worker::run(args, async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
    })
    .await;
    Ok(())
}
