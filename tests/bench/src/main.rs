//! Measures the figures of `docs/benchmarks.md`: each figure beside the bare limit, in the same run.
//!
//! Load goes to loopback, and to a namespace, tenant and custom resource definition that the run makes and removes.
//! Absolute times of a shared machine are noise; the ratios of one run are not.

mod adapter;
mod backup;
mod engine;
mod figures;
mod local;
mod print;
mod processes;
mod upgrade;
mod world;

use clap::{Parser, Subcommand};

#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Subcommand)]
enum Bench {
    /// Inline WorkflowProcesses, applied until all are deployed, beside a bare client that makes the same writes
    Processes(processes::Options),
    /// Reads of the metrics adapter at a constant rate, beside a bare TLS server
    Adapter(adapter::Options),
    /// Job lifecycles of an engine on a PostgreSQL that syncs, beside pgbench with the same statements
    Engine(engine::Options),
    /// Backups and restores beside `pg_dump` and `pg_restore`, and what a backup and a held snapshot do to jobs
    Backup(backup::Options),
    /// An upgrade of an engine by the operator under constant load, beside a plain rolling update of the same pods
    Upgrade(upgrade::Options),
    /// The bare TLS server that the adapter is compared with
    #[command(hide = true)]
    Stub(adapter::stub::Options),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    match Args::parse().bench {
        Bench::Processes(options) => processes::measure(&options).await,
        Bench::Adapter(options) => adapter::measure(&options).await,
        Bench::Engine(options) => engine::measure(&options).await,
        Bench::Backup(options) => backup::measure(&options).await,
        Bench::Upgrade(options) => upgrade::measure(&options).await,
        Bench::Stub(options) => adapter::stub::serve(&options).await,
    }
}
