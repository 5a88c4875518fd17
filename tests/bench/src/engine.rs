//! Job lifecycles (start, activate, complete) of one engine process, and of `pgbench` with the engine's statements on the
//! same database, in turn. Then the lag query on a million waiting jobs.

mod pgbench;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use engine_client::EngineClient;
use engine_client::model::{
    ActivateJobs, CompleteJob, DEFAULT_TENANT, JobLagFilter, StartInstance, StartInstances, Variables,
};
use test_support::builders::JOB_TYPE;
use tokio::task::JoinSet;

use crate::figures::{Spread, millis};
use crate::local::{Processes, machine_cpu};
use crate::print::{head, row, say};
use crate::world::World;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The engine's program, built with the profile release-engine
    #[arg(long, env = "WORKFLOW_ENGINE_BINARY")]
    binary: PathBuf,
    /// Clients, each with a connection that starts and one that works
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=64))]
    clients: u32,
    /// Jobs per call of a batch
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    batch: u32,
    /// Length of a round
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=300))]
    seconds: u32,
    /// Rounds of each side, in turn
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    rounds: u32,
}

/// Lifecycles per second, and processors kept busy by whom.
#[derive(Debug, Default)]
struct Round {
    rate: f64,
    machine: f64,
    engine: f64,
    postgres: f64,
    clients: f64,
}

pub(crate) async fn measure(options: &Options) -> anyhow::Result<()> {
    let world = World::start(&options.binary).await?;
    say(&format!(
        "{} clients, {} s per round, {} rounds of each in turn; PostgreSQL syncs every commit",
        options.clients, options.seconds, options.rounds
    ));
    head(&[
        "",
        "engine /s",
        "pgbench /s",
        "engine / pgbench",
        "PostgreSQL's processor time per lifecycle: engine, pgbench",
        "processors busy in the engine's rounds",
    ]);
    for size in [1, options.batch] {
        let (mut ours, mut bare) = (Vec::new(), Vec::new());
        for _ in 0..options.rounds {
            ours.push(observe_round(&world, play(&world, options, size)).await?);
            bare.push(observe_round(&world, pgbench::play(&world, options, size)).await?);
        }
        let ratios = ours.iter().zip(&bare).map(|(ours, bare)| ours.rate / bare.rate);
        let rate = |rounds: &[Round]| format!("{:.0}", Spread::of(rounds.iter().map(|round| round.rate)));
        let work = |rounds: &[Round]| {
            format!("{:.3} ms", Spread::of(rounds.iter().map(|round| 1000.0 * round.postgres / round.rate)))
        };
        let busy = |part: fn(&Round) -> f64| format!("{:.2}", Spread::of(ours.iter().map(part)));
        row(&[
            &if size == 1 { "single".to_owned() } else { format!("batches of {size}") },
            &rate(&ours),
            &rate(&bare),
            &format!("{:.2}", Spread::of(ratios)),
            &format!("{}, {}", work(&ours), work(&bare)),
            &format!(
                "engine {}, PostgreSQL {}, clients {}, whole machine {}",
                busy(|round| round.engine),
                busy(|round| round.postgres),
                busy(|round| round.clients),
                busy(|round| round.machine)
            ),
        ]);
    }
    say("");
    say(&format!("engine's RSS: {:.1} MiB", world.engine.memory().resident));
    measure_lag(&world).await
}

/// Both sides begin after a checkpoint.
async fn observe_round(
    world: &World,
    play: impl Future<Output = anyhow::Result<f64>>,
) -> anyhow::Result<Round> {
    world.checkpoint().await?;
    let look =
        || [machine_cpu(), world.engine.cpu(), world.postgres_processes().cpu(), Processes::own().cpu()];
    let (before, began) = (look(), Instant::now());
    let rate = play.await?;
    let seconds = began.elapsed().as_secs_f64();
    let after = look();
    let mut busy =
        before.iter().zip(after).map(|(before, after)| after.saturating_sub(*before).as_secs_f64() / seconds);
    let mut next = || busy.next().unwrap_or_default();
    Ok(Round { rate, machine: next(), engine: next(), postgres: next(), clients: next() })
}

async fn play(world: &World, options: &Options, size: u32) -> anyhow::Result<f64> {
    let began = Instant::now();
    let until = began + Duration::from_secs(options.seconds.into());
    let mut workers = JoinSet::new();
    for _ in 0..options.clients {
        workers.spawn(work(world.client()?, world.worker()?, size, until));
    }
    let mut done = 0;
    while let Some(worker) = workers.join_next().await {
        done += worker.context("a client panicked")??;
    }
    Ok(f64::from(done) / began.elapsed().as_secs_f64())
}

/// Starts, takes and completes `size` jobs at a time; how many it completed.
async fn work(client: EngineClient, worker: EngineClient, size: u32, until: Instant) -> anyhow::Result<u32> {
    let demand = ActivateJobs {
        tenant_id: DEFAULT_TENANT.to_owned(),
        job_types: vec![JOB_TYPE.to_owned()],
        worker: "bench".to_owned(),
        max_jobs: size,
        lease: Duration::from_mins(1),
        wait: Duration::from_secs(1),
    };
    let mut done = 0;
    while Instant::now() < until {
        start(&client, size).await?;
        let jobs = worker.activate_jobs(&demand).await?;
        let completions: Vec<CompleteJob> = jobs
            .iter()
            .map(|job| CompleteJob { job: job.job_ref(), variables: Variables::default() })
            .collect();
        match completions.as_slice() {
            // Another client was faster; its next round has more.
            [] => continue,
            [completion] => worker.complete_job(completion).await?,
            completions => {
                let lost = worker.complete_jobs(DEFAULT_TENANT, completions).await?;
                anyhow::ensure!(lost.is_empty(), "leases were lost: {lost:?}");
            }
        }
        done += u32::try_from(completions.len())?;
    }
    Ok(done)
}

async fn start(client: &EngineClient, size: u32) -> anyhow::Result<()> {
    let (request_id, tenant_id, process_id) = (String::new(), DEFAULT_TENANT.to_owned(), "order".to_owned());
    if size == 1 {
        let variables = Variables::default();
        client
            .start_instance(&StartInstance { request_id, tenant_id, process_id, version: None, variables })
            .await?;
    } else {
        let variables = vec![Variables::default(); usize::try_from(size)?];
        client
            .start_instances(&StartInstances { request_id, tenant_id, process_id, version: None, variables })
            .await?;
    }
    Ok(())
}

/// The question that the adapter's stream asks, over the API.
async fn measure_lag(world: &World) -> anyhow::Result<()> {
    let mut connection = world.session().await?;
    sqlx::query(include_str!("../sql/million.sql")).execute(&mut connection).await?;
    sqlx::query("VACUUM ANALYZE workflow.job").execute(&mut connection).await?;
    let client = world.controller()?;
    let (mut times, mut series) = (Vec::new(), 0);
    for _ in 0..5 {
        let began = Instant::now();
        series = client.list_job_lag(&JobLagFilter::default()).await?.lags.len();
        times.push(millis(began.elapsed()));
        // Answers of the last second are shared.
        tokio::time::sleep(Duration::from_millis(1500)).await;
    }
    say(&format!(
        "job lag of {series} (tenant, job type) pairs with 1,000,000 waiting jobs: {:.0} ms",
        Spread::of(times)
    ));
    Ok(())
}
