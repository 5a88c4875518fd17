//! WorkflowProcesses with an inline document, applied at once until all are deployed; and a client that makes the same
//! writes itself, without an operator and an engine.
//!
//! The bare client writes objects of a second custom resource definition: the same schema under another group, which no
//! controller watches. Each object is applied, gets a finalizer (merge patch with the resourceVersion), a status
//! (server-side apply, taken from an object that the controller deployed) and its events, one write after the other and as
//! many objects at a time as the applier of the controller's rounds has. Both sides are watched by the same code.

mod api;
mod stage;
mod writes;

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use e2e::cluster::Cluster;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::Value;

use crate::figures::Spread;
use crate::local::{Memory, machine_cpu};
use crate::print::{head, row, say};
use api::{Kind, Watched};
use stage::Stage;
use writes::Writes;

/// Nothing of a healthy run takes as long.
const PATIENCE: Duration = Duration::from_mins(10);
/// What still comes after the last object was deployed comes within.
const QUIET: Duration = Duration::from_secs(10);

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Objects
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    count: u32,
    /// Objects that are being applied at the same time
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=256))]
    concurrency: u32,
    /// Rounds of each side, in turn
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    rounds: u32,
}

impl Options {
    fn concurrency(&self) -> usize {
        usize::try_from(self.concurrency).unwrap_or(1)
    }

    fn per_object(&self, writes: u32) -> f64 {
        f64::from(writes) / f64::from(self.count)
    }
}

#[derive(Debug)]
struct Round {
    applied: Duration,
    deployed: Duration,
    deleted: Duration,
    /// Processor time until all were deployed, by whom.
    cpu: Vec<(&'static str, Option<Duration>)>,
    /// The controller's, before and after; `None` when it runs elsewhere.
    memory: Option<(Memory, Memory)>,
    writes: Writes,
    /// Writes in the time after.
    quiet: u32,
}

pub(crate) async fn measure(options: &Options) -> anyhow::Result<()> {
    let cluster = Cluster::named().await?;
    let stage = Stage::build(&cluster).await?;
    let measured = measure_on(&stage, options).await;
    let cleared = stage.clear().await;
    measured.and(cleared)
}

async fn measure_on(stage: &Stage, options: &Options) -> anyhow::Result<()> {
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for number in 1..=options.rounds {
        let round = play_controller(stage, options).await?;
        say(&format!("round {number}: controller {:.1} s", round.deployed.as_secs_f64()));
        let (deployed, deleted) = play_bare(stage, options, round.writes.events_per(options.count)).await?;
        say(&format!("round {number}: bare client {:.1} s", deployed.as_secs_f64()));
        ours.push(round);
        bare.push((deployed, deleted));
    }
    tell(options, &ours, &bare);
    Ok(())
}

async fn play_controller(stage: &Stage, options: &Options) -> anyhow::Result<Round> {
    let kind = &stage.ours;
    let watched = Watched::start(kind).await?;
    let parts = stage.parts().await?;
    let controller = stage.controller().await?;
    let (before, writes_before) = (controller.memory(), Writes::read(&stage.client).await?);
    let cpu_before: Vec<_> = parts.iter().map(|(_, processes)| processes.cpu()).collect();
    let (machine_before, began) = (machine_cpu(), Instant::now());

    let numbers = stream::iter(0..options.count);
    numbers
        .map(|number| async move { kind.apply(number).await })
        .buffer_unordered(options.concurrency())
        .try_collect::<Vec<_>>()
        .await?;
    let applied = began.elapsed();
    watched.await_deployed(options.count, PATIENCE).await?;
    let deployed = began.elapsed();
    stage.remember_status(watched.status());

    let machine = machine_cpu().saturating_sub(machine_before);
    let mut cpu: Vec<(&'static str, Option<Duration>)> = parts
        .iter()
        .zip(cpu_before)
        .map(|((name, processes), before)| {
            (*name, processes.are_here().then(|| processes.cpu().saturating_sub(before)))
        })
        .collect();
    let reported: Duration = cpu.iter().filter_map(|(_, spent)| *spent).sum();
    cpu.push(("everything else on the machine", Some(machine.saturating_sub(reported))));
    // Late writes count, too.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let writes_after = Writes::read(&stage.client).await?;
    tokio::time::sleep(QUIET).await;
    let quiet = Writes::read(&stage.client).await?.since(&writes_after).total();
    let memory = controller.are_here().then(|| (before, controller.memory()));

    let began = Instant::now();
    kind.delete_all().await?;
    watched.await_gone(PATIENCE).await?;
    let deleted = began.elapsed();
    let writes = writes_after.since(&writes_before);
    Ok(Round { applied, deployed, deleted, cpu, memory, writes, quiet })
}

/// The same writes; how long until all had their status, and until all were gone again.
async fn play_bare(stage: &Stage, options: &Options, events: u32) -> anyhow::Result<(Duration, Duration)> {
    let status = stage.status_of_a_deployed_object()?;
    let kind = &stage.bare;
    let watched = Watched::start(kind).await?;
    let began = Instant::now();
    let (status, numbers) = (&status, stream::iter(0..options.count));
    let written = numbers
        .map(|number| async move { write_bare(kind, number, status, events).await })
        .buffer_unordered(options.concurrency())
        .try_collect::<Vec<_>>()
        .await?;
    watched.await_deployed(options.count, PATIENCE).await?;
    let deployed = began.elapsed();

    let began = Instant::now();
    kind.delete_all().await?;
    stream::iter(written)
        .map(|name| async move { kind.remove_finalizers(&name).await })
        .buffer_unordered(options.concurrency())
        .try_collect::<Vec<_>>()
        .await?;
    watched.await_gone(PATIENCE).await?;
    Ok((deployed, began.elapsed()))
}

async fn write_bare(kind: &Kind, number: u32, status: &Value, events: u32) -> anyhow::Result<String> {
    let object = kind.apply(number).await?;
    let object = kind.add_finalizer(&object).await?;
    kind.apply_status(&object, status).await?;
    for _ in 0..events {
        kind.publish_event(&object).await?;
    }
    object.metadata.name.context("an object has a name")
}

fn tell(options: &Options, ours: &[Round], bare: &[(Duration, Duration)]) {
    let seconds =
        |times: Vec<Duration>| format!("{:.1}", Spread::of(times.iter().map(Duration::as_secs_f64)));
    let ratio = |ours: Vec<Duration>, bare: Vec<Duration>| {
        let ratios = ours.iter().zip(&bare).map(|(ours, bare)| ours.as_secs_f64() / bare.as_secs_f64());
        format!("{:.2}", Spread::of(ratios))
    };
    let of = |pick: fn(&Round) -> Duration| ours.iter().map(pick).collect::<Vec<_>>();
    let of_bare = |pick: fn(&(Duration, Duration)) -> Duration| bare.iter().map(pick).collect::<Vec<_>>();
    head(&["", "controller s", "bare client s", "controller / bare"]);
    row(&[
        &format!("{} applied → all deployed", options.count),
        &seconds(of(|round| round.deployed)),
        &seconds(of_bare(|round| round.0)),
        &ratio(of(|round| round.deployed), of_bare(|round| round.0)),
    ]);
    row(&["of which applying", &seconds(of(|round| round.applied)), "", ""]);
    row(&[
        "all deleted → all gone",
        &seconds(of(|round| round.deleted)),
        &seconds(of_bare(|round| round.1)),
        &ratio(of(|round| round.deleted), of_bare(|round| round.1)),
    ]);

    head(&["processor time until all deployed", "s", "per object ms"]);
    let names = ours.first().map(|round| &round.cpu).into_iter().flatten();
    for (column, (name, _)) in names.enumerate() {
        let spent: Option<Vec<f64>> =
            ours.iter().map(|round| Some(round.cpu.get(column)?.1?.as_secs_f64())).collect();
        match spent {
            Some(spent) => {
                let per_object = spent.iter().map(|spent| spent * 1000.0 / f64::from(options.count));
                row(&[
                    name,
                    &format!("{:.1}", Spread::of(spent.iter().copied())),
                    &format!("{:.1}", Spread::of(per_object)),
                ]);
            }
            None => row(&[name, "not on this machine", ""]),
        }
    }

    head(&["writes per object, until deployed", ""]);
    if let Some(last) = ours.last() {
        for (what, count) in last.writes.iter() {
            row(&[what, &format!("{:.3}", options.per_object(count))]);
        }
    }
    let quiet: u32 = ours.iter().map(|round| round.quiet).sum();
    row(&[&format!("in the {} s after, all rounds together", QUIET.as_secs()), &quiet.to_string()]);

    let memories: Option<Vec<(Memory, Memory)>> = ours.iter().map(|round| round.memory).collect();
    if let Some([(first, _), .., (_, last)] | [(first, last)]) = memories.as_deref() {
        head(&["process-controller's RSS, MiB", ""]);
        row(&["before the first round", &format!("{:.1}", first.resident)]);
        row(&[&format!("with {} objects", options.count), &format!("{:.1}", last.resident)]);
        row(&["peak", &format!("{:.1}", last.peak)]);
    }
}

/// Waits for a look that says so.
async fn wait_until<F, Fut>(what: &str, limit: Duration, mut look: F) -> anyhow::Result<()>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = anyhow::Result<bool>>,
{
    let began = Instant::now();
    while !look().await.with_context(|| format!("waiting until {what}"))? {
        if began.elapsed() > limit {
            bail!("{what}: not after {} s", limit.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok(())
}
