//! The binary: arguments, logs, signals, the result.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use backup_agent::args::Cli;
use backup_agent::programs::Programs;
use backup_agent::run::run;
use clap::Parser as _;
use rustix::fs::Mode;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("a TLS provider is installed already"))?;
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .json()
        .with_env_filter(EnvFilter::try_new(&cli.log).context("--log is not a log filter")?)
        .init();
    // Backups in a folder are nobody else's to read.
    rustix::process::umask(Mode::RWXO | Mode::WGRP);
    let stop = stop_on_signal()?;
    let programs = Programs { bindir: cli.postgres_bindir };
    let outcome = run(&cli.command, &programs, &stop).await;
    write_result(cli.result_file.as_deref(), &outcome.to_json())?;
    Ok(ExitCode::from(outcome.exit_code()))
}

/// Process 1 of a container ignores signals without a handler.
fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen for SIGINT")?;
    let on_signal = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("asked to end");
        on_signal.cancel();
    });
    Ok(stop)
}

/// Into the file as it is: Kubernetes mounts the termination message's file, which so cannot be replaced by another.
fn write_result(file: Option<&Path>, json: &str) -> anyhow::Result<()> {
    match file {
        Some(file) => {
            std::fs::write(file, json).with_context(|| format!("failed to write {}", file.display()))
        }
        None => writeln!(std::io::stderr(), "{json}").context("failed to write the result"),
    }
}
