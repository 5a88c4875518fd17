//! The binary: arguments, logs, signals.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;
use workflow_engine::args::{self, Cli, Command, LintArgs, MigrateArgs, ServeArgs};
use workflow_engine::lint::{self, Verdict};
use workflow_engine::schema::migrate::{self, Order};
use workflow_engine::{database, serve};

#[tokio::main]
async fn main() -> ExitCode {
    run().await.unwrap_or_else(|error| {
        // One plain line at the end of the output: Kubernetes takes it as the container's termination message.
        let _ = writeln!(std::io::stderr(), "{error:#}");
        ExitCode::FAILURE
    })
}

async fn run() -> anyhow::Result<ExitCode> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("a TLS provider is installed already"))?;
    let cli = Cli::parse();
    if let Command::Lint(args) = &cli.command {
        return Ok(lint_files(args));
    }
    tracing_subscriber::fmt()
        .json()
        .with_env_filter(EnvFilter::try_new(&cli.log).context("--log is not a log filter")?)
        .init();
    match cli.command {
        Command::Serve(args) => serve_until_signal(args).await?,
        Command::Migrate(args) => migrate_until_signal(args).await?,
        Command::Lint(_) => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn lint_files(args: &LintArgs) -> ExitCode {
    let mut stderr = std::io::stderr();
    let verdict = lint::run(args, &mut std::io::stdout().lock(), &mut stderr).unwrap_or_else(|error| {
        let _ = writeln!(stderr, "failed to report the findings: {error}");
        Verdict::Incomplete
    });
    ExitCode::from(verdict)
}

async fn serve_until_signal(args: ServeArgs) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen for SIGINT")?;
    let on_signal = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("shutting down");
        on_signal.cancel();
    });
    Ok(serve::run(args, stop).await?)
}

/// Handles signals itself: process 1 of a container ignores signals without a handler, so that a canceled migration
/// would continue for the whole grace period. When the process ends, so does its connection, and Postgres rolls the
/// step back.
async fn migrate_until_signal(args: MigrateArgs) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen for SIGINT")?;
    let asked_to_end = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    tokio::select! {
        done = migrate_once(args) => done,
        () = asked_to_end => anyhow::bail!("asked to end before the migration was done; the next run goes on from here"),
    }
}

async fn migrate_once(args: MigrateArgs) -> anyhow::Result<()> {
    let holder = args::node_id(args.node_id.as_deref());
    let options = database::connect_options(&args.database, &format!("workflow-engine migrate {holder}"))?;
    let mut connection = database::connect(&options).await?;
    let order = Order {
        to: args.to,
        up_to: args.up_to,
        approve_breaking: args.approve_breaking,
        lock_timeout: Duration::from_secs(args.lock_timeout),
        claim: args.database.claim,
    };
    let outcome = migrate::run(&mut connection, &order).await?;
    tracing::info!(applied = ?outcome.applied, current = outcome.current, "schema is up to date");
    Ok(())
}
