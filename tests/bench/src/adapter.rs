//! Reads of one metric at a constant rate over one TLS connection, as kube-apiserver makes them for the autoscaler, of the
//! deployed adapter and of a bare server in turn.

pub(crate) mod stub;
mod target;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use e2e::cluster::Cluster;
use http::StatusCode;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use crate::figures::{Spread, millis, quantile};
use crate::print::{head, row, say};
use target::{Reader, Target};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Reads per second
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=2000))]
    rate: u32,
    /// Length of a round
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=300))]
    seconds: u32,
    /// Rounds of each side, in turn
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=20))]
    rounds: u32,
    /// The certificate by which kube-apiserver shows itself to aggregated servers
    #[arg(long, env = "FRONT_PROXY_CERTIFICATE")]
    front_proxy_certificate: PathBuf,
    /// Its key
    #[arg(long, env = "FRONT_PROXY_KEY")]
    front_proxy_key: PathBuf,
}

/// One round.
#[derive(Debug)]
struct Round {
    /// From when a read was due until its answer was there, sorted.
    latencies: Vec<Duration>,
    errors: u32,
    cpu: Option<Duration>,
}

pub(crate) async fn measure(options: &Options) -> anyhow::Result<()> {
    let cluster = Cluster::named().await?;
    let identity = target::Identity::read(&options.front_proxy_certificate, &options.front_proxy_key)?;
    let adapter = Target::deployed(&cluster, &identity).await?;
    // The first read is reviewed, the following are served from the review's cache, as with the autoscaler.
    let answer = adapter.reader().await?.read().await?;
    if answer.status != StatusCode::OK {
        bail!("the adapter answers {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
    }
    let (bare, _running) = stub::start(&answer).await?;

    say(&format!(
        "{} reads/s for {} s, {} rounds of each in turn; adapter: {}",
        options.rate, options.seconds, options.rounds, adapter.name
    ));
    let idle = adapter.processes.memory();
    let (mut of_adapter, mut of_bare) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        of_adapter.push(play(&adapter, options).await?);
        of_bare.push(play(&bare, options).await?);
    }
    head(&["", "p50 ms", "p99 ms", "slowest ms", "errors", "CPU ms per read", "RSS MiB"]);
    tell(&adapter, &of_adapter);
    tell(&bare, &of_bare);
    say("");
    let ratios = of_adapter.iter().zip(&of_bare).filter_map(|(ours, bare)| {
        Some(ours.cpu?.as_secs_f64() / bare.cpu.filter(|cpu| !cpu.is_zero())?.as_secs_f64())
    });
    say(&format!("CPU per read, adapter / bare: {:.1}", Spread::of(ratios)));
    let p99 = |round: &Round| millis(quantile(&round.latencies, 990));
    let ratios = of_adapter.iter().zip(&of_bare).map(|(ours, bare)| p99(ours) / p99(bare));
    say(&format!("p99, adapter / bare: {:.1}", Spread::of(ratios)));
    if adapter.processes.are_here() {
        say(&format!("adapter's RSS before the first round: {:.1} MiB", idle.resident));
    }
    Ok(())
}

/// An open loop: a slow answer does not hold the next read back, and counts from when it was due.
async fn play(target: &Target, options: &Options) -> anyhow::Result<Round> {
    let reader = target.reader().await?;
    let cpu_before = target.processes.cpu();
    let mut due = tokio::time::interval(Duration::from_secs(1) / options.rate);
    due.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut reads = JoinSet::new();
    for _ in 0..options.rate * options.seconds {
        let since = due.tick().await;
        let reader = reader.clone();
        reads.spawn(read_once(reader, since));
    }
    let (mut latencies, mut errors) = (Vec::new(), 0);
    while let Some(read) = reads.join_next().await {
        match read.context("a read panicked")? {
            Some(latency) => latencies.push(latency),
            None => errors += 1,
        }
    }
    latencies.sort_unstable();
    let cpu = target.processes.are_here().then(|| target.processes.cpu().saturating_sub(cpu_before));
    Ok(Round { latencies, errors, cpu })
}

async fn read_once(mut reader: Reader, since: Instant) -> Option<Duration> {
    let answer = tokio::time::timeout(Duration::from_secs(10), reader.read()).await.ok()?.ok()?;
    (answer.status == StatusCode::OK).then(|| since.elapsed())
}

fn tell(target: &Target, rounds: &[Round]) {
    let at = |permille| Spread::of(rounds.iter().map(|round| millis(quantile(&round.latencies, permille))));
    let errors: u32 = rounds.iter().map(|round| round.errors).sum();
    let per_read = rounds.iter().filter_map(|round| {
        let reads = u32::try_from(round.latencies.len()).ok().filter(|reads| *reads > 0)?;
        Some(millis(round.cpu?) / f64::from(reads))
    });
    let (cpu, memory) = if target.processes.are_here() {
        (format!("{:.3}", Spread::of(per_read)), format!("{:.1}", target.processes.memory().resident))
    } else {
        ("elsewhere".to_owned(), "elsewhere".to_owned())
    };
    let cells = [at(500), at(990), at(1000)].map(|spread| format!("{spread:.2}"));
    row(&[&target.name, &cells[0], &cells[1], &cells[2], &errors.to_string(), &cpu, &memory]);
}
