//! An engine gets another version while work goes on, then a sick one, which goes back by itself; and nothing of the work is
//! lost, done twice or refused. On an engine cluster of its own beside the sample.

use std::ops::Range;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use api_types::cluster::UpgradeStage;

use crate::cluster::Cluster;
use crate::passage::{Mark, follow, judge_upgrade};
use crate::progress::Progress;
use crate::testbed::{Data, Shape, Sight, Testbed};
use crate::traffic::{Audit, Ledger, Plan, Record, Traffic, quantile};

const FORMER: &str = "1.2.3";
const NEWER: &str = "1.3.0";
/// Its pods say that they are ready and complete no job.
const SICK: &str = "1.3.1";
const REPLICAS: i32 = 2;
/// As short as the API allows.
const HEALTH_SECONDS: u32 = 5;
/// Load before, between and after.
const CALM: Duration = Duration::from_secs(8);
const LIMIT: Duration = Duration::from_mins(4);
/// An image that is not there by then does not come: no release has the sick version.
const PULL_LIMIT: Duration = Duration::from_mins(1);
/// Time between two rows of the table.
const ROW: Duration = Duration::from_secs(3);
const RUN: &str = "act";

/// What happened.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// As those who made the traffic saw it.
    pub ledger: Ledger,
    /// As Postgres has it.
    pub audit: Audit,
    /// The stages of both upgrades.
    pub marks: Vec<Mark>,
    /// Why the sick version was taken back; `None` = this cluster has no image of it.
    pub failure: Option<String>,
    /// How long traffic was made.
    pub length: Duration,
}

/// Tells it with this many starts per second, on objects of this name that are gone before and afterwards.
pub async fn run(
    cluster: &Cluster,
    progress: Progress,
    name: &'static str,
    rate: u32,
) -> anyhow::Result<Outcome> {
    let shape = Shape {
        name,
        version: FORMER.to_owned(),
        replicas: REPLICAS,
        health_seconds: HEALTH_SECONDS,
        data: Data::Shared,
    };
    progress.say(&format!("an engine cluster of its own, {name}, begins at {FORMER}"));
    let testbed = Testbed::build(cluster, shape, progress).await?;
    let outcome = run_on(&testbed, progress, rate).await;
    let removed = testbed.remove(progress).await;
    let outcome = outcome?;
    removed?;
    Ok(outcome)
}

async fn run_on(testbed: &Testbed, progress: Progress, rate: u32) -> anyhow::Result<Outcome> {
    let forwarder = testbed.forward().await?;
    let plan = Plan { clients: 2, workers: 4, ..Plan::at(rate) };
    let traffic = Traffic::begin(plan, testbed.target(RUN, forwarder.address()).await?)?;
    let record = traffic.record();
    progress.say(&format!("{rate} process instances per second are started, and their jobs completed"));
    let mut table = Table::begin(progress);
    let mut marks = vec![Mark { at: Duration::ZERO, label: FORMER.to_owned() }];
    table.rest(testbed, record, FORMER).await?;
    for (to, end) in [(NEWER, UpgradeStage::Done), (SICK, UpgradeStage::RolledBack)] {
        testbed.set_version(to).await?;
        progress.say(&format!("spec.version is {to}"));
        let asked_for = record.elapsed();
        let judge = |sight: &Sight| {
            let is_missing = to == SICK && sight.message.contains("ImagePull");
            if is_missing && record.elapsed().saturating_sub(asked_for) > PULL_LIMIT {
                return Ok(("no image".to_owned(), true));
            }
            judge_upgrade(sight, to, end)
        };
        marks.extend(
            follow(testbed, record, LIMIT, judge, |sight, stage| table.row(record, sight, stage)).await?,
        );
        let reached = marks.last().map_or_else(String::new, |mark| mark.label.clone());
        table.rest(testbed, record, &reached).await?;
    }
    // The operator waits for an image as long as it takes, and there is nothing to go back from.
    let is_missing = marks.last().is_some_and(|mark| mark.label == "no image");
    let failure = if is_missing {
        progress.say(&format!("this cluster has no image of {SICK}: that part is left out"));
        None
    } else {
        Some(testbed.last_failure().await?.context("the status should say why it went back")?)
    };
    let length = record.elapsed();
    let ledger = traffic.finish().await?;
    let audit = testbed.audit(RUN, &ledger).await?;
    Ok(Outcome { ledger, audit, marks, failure, length })
}

/// What the engine cluster looks like over time.
struct Table {
    progress: Progress,
    /// When the last row was written, and the stage in it.
    last: Option<(Duration, String)>,
}

impl Table {
    fn begin(progress: Progress) -> Self {
        progress.row("");
        progress.row("  time   stage         new/ready pods   jobs/s   P99 ms   failed calls");
        Self { progress, last: None }
    }

    /// A row at each new stage, and every few seconds.
    fn row(&mut self, record: &Record, sight: &Sight, stage: &str) {
        let now = record.elapsed();
        let is_due =
            self.last.as_ref().is_none_or(|(at, former)| former != stage || now.saturating_sub(*at) >= ROW);
        if !is_due {
            return;
        }
        self.last = Some((now, stage.to_owned()));
        // The last whole seconds: what was just started has not ended yet.
        let within =
            now.saturating_sub(ROW + Duration::from_secs(1))..now.saturating_sub(Duration::from_secs(1));
        let (rate, p99, failed) = record.with(|ledger| {
            let p99 = quantile(&ledger.latencies(&within), 990);
            (rate_of(ledger, &within), p99.as_secs_f64() * 1000.0, ledger.failures.len())
        });
        self.progress.row(&format!(
            "{:>5.0}s  {stage:<12}  {:>7}/{:<7} {rate:>8.0} {p99:>8.0} {failed:>8}",
            self.progress.elapsed().as_secs_f64(),
            sight.new_pods,
            sight.ready_pods,
        ));
    }

    /// Some time in which nothing is changed.
    async fn rest(&mut self, testbed: &Testbed, record: &Record, stage: &str) -> anyhow::Result<()> {
        let until = record.elapsed() + CALM;
        while record.elapsed() < until {
            tokio::time::sleep(ROW.min(until.saturating_sub(record.elapsed()))).await;
            self.row(record, &testbed.look().await?, stage);
        }
        Ok(())
    }
}

/// Completed jobs per second.
fn rate_of(ledger: &Ledger, within: &Range<Duration>) -> f64 {
    let seconds = within.end.saturating_sub(within.start).as_secs_f64();
    f64::from(u32::try_from(ledger.count_ended(within)).unwrap_or(u32::MAX)) / seconds.max(1.0)
}

impl Outcome {
    /// Fails unless nobody who started or did work could notice anything.
    pub fn require_unharmed(&self) -> anyhow::Result<()> {
        let orders = self.ledger.orders.len();
        let expected = Audit { started: orders, ended: orders, ..Audit::default() };
        let first = self.ledger.failures.first();
        ensure!(first.is_none(), "{} calls failed, first: {first:?}", self.ledger.failures.len());
        ensure!(self.audit == expected, "work was lost or doubled: {:?} of {orders} starts", self.audit);
        Ok(())
    }

    /// Throughput over time as a line per stage: a character per second, as high as the jobs that were completed in it.
    #[must_use]
    pub fn chart(&self) -> Vec<String> {
        let seconds = |range: Range<Duration>| range.start.as_secs()..range.end.as_secs();
        let count = |second| {
            let start = Duration::from_secs(second);
            self.ledger.count_ended(&(start..start + Duration::from_secs(1)))
        };
        let most = seconds(Duration::ZERO..self.length).map(count).max().unwrap_or_default().max(1);
        let ends = self.marks.iter().skip(1).map(|mark| mark.at).chain([self.length]);
        let lines = self.marks.iter().zip(ends).filter_map(|(mark, end)| {
            let bars: String = seconds(mark.at..end).map(|second| bar(count(second), most)).collect();
            // A stage that was over within a second.
            (!bars.is_empty()).then(|| format!("{:<12} {bars}", mark.label))
        });
        lines.chain([format!("{:<12} █ is {most}", "")]).collect()
    }
}

/// Eighths of a line's height; nothing at all is a dot, which cannot be overlooked.
fn bar(count: usize, most: usize) -> char {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    if count == 0 { '.' } else { BARS[(count * BARS.len()).div_ceil(most).clamp(1, BARS.len()) - 1] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_without_a_job_is_seen_in_the_chart() {
        assert_eq!([0, 1, 25, 50].map(|count| bar(count, 50)), ['.', '▁', '▄', '█']);
    }
}
