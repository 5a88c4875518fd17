//! An upgrade by the operator under constant load, beside a plain rolling update of the same StatefulSet: what callers notice
//! of either, and whether any work is lost or done twice.

mod picture;
mod run;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use e2e::cluster::Cluster;
use e2e::progress::Progress;
use e2e::testbed::{Data, Shape, Testbed};
use e2e::traffic::Plan;

use crate::figures::millis;
use crate::print::{head, row, say};
use run::{Change, Run, Schedule};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Instances started per second
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rate: u32,
    /// Seconds of load before and after each change
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(5..=300))]
    beside: u32,
    /// Pods of the engine
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=5))]
    replicas: u32,
    /// Seconds that the operator watches new pods (`spec.upgrade.canary.healthSeconds`)
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(5..=60))]
    health_seconds: u32,
    /// The engine's version before
    #[arg(long, default_value = "1.2.3")]
    from: String,
    /// The engine's version afterwards
    #[arg(long, default_value = "1.3.0")]
    to: String,
    /// Where to write the picture of throughput and latency over time
    #[arg(long)]
    picture: Option<PathBuf>,
    /// Where to write, as CSV, when each start was due, confirmed, taken by a worker and completed
    #[arg(long)]
    orders: Option<PathBuf>,
}

pub(crate) async fn measure(options: &Options) -> anyhow::Result<()> {
    let (cluster, progress) = (Cluster::named().await?, Progress::default());
    let shape = Shape {
        name: "bench-upgrade",
        version: options.from.clone(),
        replicas: i32::try_from(options.replicas)?,
        health_seconds: options.health_seconds,
        data: Data::Shared,
    };
    let schedule =
        Schedule { plan: Plan::at(options.rate), beside: Duration::from_secs(options.beside.into()) };
    let testbed = Testbed::build(&cluster, shape, progress).await?;
    let measured = measure_both(&testbed, schedule, options, progress).await;
    // Also after a failure: what is left would go on to take part of the machine.
    testbed.remove(progress).await?;
    let runs = measured?;
    print_table(options, &runs);
    if let Some(path) = &options.picture {
        fs::write(path, picture::draw(&runs)).with_context(|| format!("writing {}", path.display()))?;
    }
    if let Some(path) = &options.orders {
        let orders: String = runs.iter().map(list_orders).collect();
        let head = "change,order,due_ms,confirmed_ms,taken_ms,completed_ms\n";
        fs::write(path, head.to_owned() + &orders).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

/// The plain one first: both then end pods of the former version.
async fn measure_both(
    testbed: &Testbed,
    schedule: Schedule,
    options: &Options,
    progress: Progress,
) -> anyhow::Result<[Run; 2]> {
    testbed.set_paused(true).await?;
    let plain = Run::observe(testbed, schedule, Change::PlainRoll, progress).await?;
    testbed.set_paused(false).await?;
    testbed.await_ready(progress).await?;
    let change = Change::Version { from: options.from.clone(), to: options.to.clone() };
    let upgrade = Run::observe(testbed, schedule, change, progress).await?;
    Ok([plain, upgrade])
}

/// A line of the table: what it says, and how it is read from a run.
type Line = (&'static str, fn(&Run) -> String);

fn print_table(options: &Options, runs: &[Run]) {
    say("");
    say(&format!(
        "{} starts/s, {} pods, healthSeconds {}; {} s of load before and after each change",
        options.rate, options.replicas, options.health_seconds, options.beside
    ));
    let names: Vec<String> = runs.iter().map(|run| run.change.to_string()).collect();
    head(&[&[""], names.iter().map(String::as_str).collect::<Vec<_>>().as_slice()].concat());
    let lines: [Line; 12] = [
        ("duration of the change, s", |run| format!("{:.1}", run.duration().as_secs_f64())),
        ("starts during all of the load", |run| run.ledger.orders.len().to_string()),
        ("completed /s before, during, after", |run| join(&run.rates().map(|rate| format!("{rate:.1}")))),
        ("fewest completed in a second during", |run| run.slowest_second().to_string()),
        ("P50 ms before, during, after", |run| join(&run.at(500).map(tell_millis))),
        ("P99 ms before, during, after", |run| join(&run.at(990).map(tell_millis))),
        ("slowest ms before, during, after", |run| join(&run.at(1000).map(tell_millis))),
        ("P99 during / before", |run| {
            let [before, during, _] = run.at(990);
            format!("{:.1}", during.as_secs_f64() / before.as_secs_f64())
        }),
        ("calls repeated, streams of jobs taken up again", |run| {
            let count = |counts: &mut dyn Iterator<Item = &usize>| counts.sum::<usize>().to_string();
            join(&[count(&mut run.ledger.repeats.values()), count(&mut run.ledger.interruptions.values())])
        }),
        ("calls failed after that", |run| run.ledger.failures.len().to_string()),
        ("jobs lost, doubled", |run| join(&[run.audit.lost.to_string(), run.audit.doubled.to_string()])),
        ("processors busy before, during", |run| join(&run.busy.map(|busy| format!("{busy:.2}")))),
    ];
    for (what, read) in lines {
        let cells: Vec<String> = runs.iter().map(read).collect();
        row(&[&[what], cells.iter().map(String::as_str).collect::<Vec<_>>().as_slice()].concat());
    }
    for run in runs {
        print_errors(run);
    }
}

fn print_errors(run: &Run) {
    say("");
    say(&format!("{}: {:?}", run.change, run.audit));
    for mark in &run.marks {
        say(&format!("- {:.1} s: {}", mark.at.as_secs_f64(), mark.label));
    }
    for ((call, error), count) in &run.ledger.repeats {
        say(&format!("- {count} × {call} repeated: {error}"));
    }
    for (error, count) in &run.ledger.interruptions {
        say(&format!("- {count} × stream taken up again: {error}"));
    }
    for failure in &run.ledger.failures {
        say(&format!("- {} failed at {:.1} s: {}", failure.call, failure.at.as_secs_f64(), failure.error));
    }
}

/// Where the time of a slow job went.
fn list_orders(run: &Run) -> String {
    let tell = |time: Option<Duration>| time.map(|time| format!("{:.1}", millis(time))).unwrap_or_default();
    let orders = run.ledger.orders.iter().enumerate();
    let lines = orders.map(|(number, order)| {
        let times = [Some(order.due), order.confirmed, order.taken, order.ended].map(tell);
        format!("{},{number},{}\n", run.change, times.join(","))
    });
    lines.collect()
}

fn tell_millis(duration: Duration) -> String {
    format!("{:.0}", millis(duration))
}

fn join<const N: usize>(cells: &[String; N]) -> String {
    cells.join(", ")
}
