//! What a snapshot that is held does to the queue of jobs: PostgreSQL keeps every row that a job had since then, and each
//! search for the oldest waiting job reads past them.

mod sample;

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use e2e::traffic::Ledger;
use sqlx::{Connection as _, Executor as _, PgConnection};

use super::Options;
use super::load::{self, Seen, WARM_UP, troubles};
use crate::figures::{millis, quantile};
use crate::print::{head, row, say};
use crate::world::World;
use sample::{Sample, Sampler};

const SECOND: Duration = Duration::from_secs(1);
/// Longest time without a snapshot: it tells no more afterwards, because autovacuum looks every minute.
const LONGEST_BEFORE: u64 = 120;
/// The load has recovered with so many good seconds in a row.
const GOOD_SECONDS: u64 = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Before,
    Held,
    After,
}

impl fmt::Display for Phase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Before => "no snapshot",
            Self::Held => "held",
            Self::After => "released",
        })
    }
}

/// One line of the table.
struct Interval {
    phase: Phase,
    /// Since the phase began.
    second: u64,
    within: Range<Duration>,
    sample: Sample,
}

pub(super) async fn measure(world: &World, options: &Options) -> anyhow::Result<()> {
    world.session().await?.execute("VACUUM (ANALYZE)").await?;
    world.checkpoint().await?;
    let mut sampler = Sampler::open(world).await?;
    let traffic = load::begin(world, options.rate, "held".to_owned())?;
    tokio::time::sleep(WARM_UP).await;
    let mut intervals = Vec::new();
    let mut holder: Option<PgConnection> = None;
    let (hold, after) = (u64::from(options.hold_seconds), u64::from(options.recover_seconds));
    let before = hold.min(LONGEST_BEFORE);
    for (phase, length) in [(Phase::Before, before), (Phase::Held, hold), (Phase::After, after)] {
        match phase {
            Phase::Before => {}
            Phase::Held => holder = Some(hold_snapshot(world).await?),
            Phase::After => {
                if let Some(holder) = holder.take() {
                    holder.close().await?;
                }
            }
        }
        let mut second = 0;
        while second < length {
            let step = u64::from(options.interval).min(length - second);
            let from = traffic.record().elapsed();
            let sample = sampler.observe(Duration::from_secs(step)).await?;
            second += step;
            intervals.push(Interval { phase, second, within: from..traffic.record().elapsed(), sample });
        }
    }
    let ledger = traffic.finish().await?;
    report(options, &ledger, &intervals);
    Ok(())
}

/// As pg_dump holds its own, as long as the session lives.
async fn hold_snapshot(world: &World) -> anyhow::Result<PgConnection> {
    let mut session = world.session().await?;
    session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    session.execute("SELECT count(*) FROM workflow.process_definition").await?;
    Ok(session)
}

fn report(options: &Options, ledger: &Ledger, intervals: &[Interval]) {
    say("");
    say(&format!("{} starts/s; a snapshot is held for {} s", options.rate, options.hold_seconds));
    head(&[
        "",
        "s",
        "completed /s",
        "P50, P99 ms",
        "until a worker has the job: P50, P99 ms",
        "oldest waiting job found in ms",
        "dead rows: job, instance, counter",
        "job: table, indexes MB",
        "instance: table, indexes MB",
        "processors busy",
    ]);
    for Interval { phase, second, within, sample } in intervals {
        let seen = Seen::of(ledger, within);
        let [job, instance, counter] = &sample.tables;
        row(&[
            &phase.to_string(),
            &second.to_string(),
            &format!("{:.0}", seen.rate),
            &format!("{:.0}, {:.0}", seen.median, seen.p99),
            &format!("{:.0}, {:.0}", seen.waited_median, seen.waited_p99),
            &format!("{:.1}", sample.search),
            &format!("{}, {}, {}", job.dead, instance.dead, counter.dead),
            &format!("{:.0}, {:.0}", job.rows, job.indexes),
            &format!("{:.0}, {:.0}", instance.rows, instance.indexes),
            &format!("{:.2}", sample.busy),
        ]);
    }
    say("");
    let usual = span(intervals, Phase::Before).map(|within| Seen::of(ledger, &within));
    let last = intervals.iter().rfind(|interval| interval.phase == Phase::Held);
    let released = span(intervals, Phase::After);
    if let (Some(usual), Some(last), Some(released)) = (usual, last, released) {
        let worst = Seen::of(ledger, &last.within);
        say(&format!(
            "last {} s of the snapshot, to the time without one: completed {:.2}, P50 {:.1}, P99 {:.1}",
            options.interval,
            worst.rate / usual.rate,
            worst.median / usual.median,
            worst.p99 / usual.p99
        ));
        say(&match recovered_after(ledger, &released, 2.0 * usual.p99) {
            Some(seconds) => format!("P99 at most twice that without a snapshot: {seconds} s after its end"),
            None => "P99 stayed above twice that without a snapshot to the end".to_owned(),
        });
    }
    say(&troubles(ledger));
}

/// All of a phase.
fn span(intervals: &[Interval], phase: Phase) -> Option<Range<Duration>> {
    let mut of_phase = intervals.iter().filter(|interval| interval.phase == phase);
    let first = of_phase.next()?;
    Some(first.within.start..of_phase.next_back().unwrap_or(first).within.end)
}

/// The first second of several whose starts were all completed as fast as usual, counted from the beginning.
fn recovered_after(ledger: &Ledger, within: &Range<Duration>, limit: f64) -> Option<u64> {
    let seconds = within.end.saturating_sub(within.start).as_secs();
    let is_good = |second: u64| {
        let from = within.start + Duration::from_secs(second);
        let latencies = ledger.latencies(&(from..from + SECOND));
        !latencies.is_empty() && millis(quantile(&latencies, 990)) <= limit
    };
    (0..seconds.saturating_sub(GOOD_SECONDS)).find(|first| (*first..first + GOOD_SECONDS).all(is_good))
}

#[cfg(test)]
mod tests {
    use e2e::traffic::Order;

    use super::*;

    #[test]
    fn recovery_counts_from_the_first_of_several_good_seconds() {
        let at = Duration::from_secs;
        let mut ledger = Ledger::default();
        for second in 0..20 {
            let slow = if second < 7 || second == 8 { at(3) } else { Duration::from_millis(10) };
            ledger.orders.push(Order { due: at(second), ended: Some(at(second) + slow), ..Order::default() });
        }
        assert_eq!(recovered_after(&ledger, &(at(2)..at(20)), 100.0), Some(7));
        assert_eq!(recovered_after(&ledger, &(at(2)..at(12)), 100.0), None);
    }
}
