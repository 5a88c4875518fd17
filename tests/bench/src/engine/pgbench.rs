//! The same statements without an engine: `pgbench`, on the same database.

use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use sqlx::PgConnection;
use tokio::process::Command;

use super::Options;
use crate::world::{World, script};

/// Keys that the engine never gives: its own begin at 2^51.
const FIRST_KEY: u64 = 1 << 60;
/// Sessions as the engine prepares its own (`database::prepare_session`).
const SESSION: &str = "-c search_path=pg_catalog -c jit=off -c plan_cache_mode=force_generic_plan -c enable_seqscan=off \
                       -c enable_bitmapscan=off";
/// Keys of one run.
const KEYS: u64 = 100_000_000_000;

/// Lifecycles per second of `size` jobs at a time.
pub(crate) async fn play(world: &World, options: &Options, size: u32) -> anyhow::Result<f64> {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let base = FIRST_KEY + KEYS * u64::from(RUNS.fetch_add(1, Ordering::Relaxed));
    let mut connection = world.session().await?;
    let definition: i64 = sqlx::query_scalar("SELECT max(key) FROM workflow.process_definition")
        .fetch_one(&mut connection)
        .await?;
    let before = count_completed(&mut connection).await?;
    let database = &world.database;
    let output = Command::new(world.postgres.bindir().join("pgbench"))
        .args(["--no-vacuum", "--protocol", "prepared", "--jobs", "2"])
        .args(["--client", &options.clients.to_string(), "--time", &options.seconds.to_string()])
        .arg("--file")
        .arg(script("lifecycle.sql"))
        .args(["--define", "n=0", "--define", &format!("size={size}")])
        .args(["--define", &format!("base={base}"), "--define", &format!("definition={definition}")])
        .args(["--host", &database.host, "--port", &database.port.to_string()])
        .args(["--username", &database.user, &database.name])
        .env("PGPASSWORD", &database.password)
        .env("PGOPTIONS", SESSION)
        .stdin(Stdio::null())
        .output()
        .await
        .context("starting pgbench")?;
    let reported = String::from_utf8_lossy(&output.stderr);
    // It also ends well when some of its clients gave up.
    ensure!(output.status.success() && !reported.contains("aborted"), "pgbench: {reported}");
    let done = u32::try_from(count_completed(&mut connection).await? - before)?;
    Ok(f64::from(done) / Duration::from_secs(options.seconds.into()).as_secs_f64())
}

async fn count_completed(connection: &mut PgConnection) -> anyhow::Result<i64> {
    let count = "SELECT count(*) FROM workflow.instance WHERE state = 2";
    Ok(sqlx::query_scalar(count).fetch_one(connection).await?)
}
