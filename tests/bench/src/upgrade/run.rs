//! One change of the engine's pods under load, from before it until after it.

use std::fmt;
use std::ops::Range;
use std::time::{Duration, Instant};

use api_types::cluster::UpgradeStage;
use e2e::passage::{Mark, follow, judge_upgrade};
use e2e::progress::Progress;
use e2e::testbed::{Sight, Testbed};
use e2e::traffic::{Audit, Ledger, Plan, Traffic};

use crate::figures::quantile;
use crate::local::machine_cpu;

/// Connections, plans of statements and caches come to be in it; it counts as nothing.
const WARM_UP: Duration = Duration::from_secs(5);
/// Load is never made for longer.
const LONGEST: Duration = Duration::from_mins(6);
const SECOND: Duration = Duration::from_secs(1);

/// What happens to the pods.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// Kubernetes replaces them, and nobody watches.
    PlainRoll,
    /// The operator brings them to another version.
    Version { from: String, to: String },
}

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PlainRoll => formatter.write_str("plain rolling update"),
            Self::Version { from, to } => write!(formatter, "upgrade {from} → {to}"),
        }
    }
}

impl Change {
    async fn begin(&self, testbed: &Testbed) -> anyhow::Result<()> {
        match self {
            Self::PlainRoll => testbed.roll_plainly().await,
            Self::Version { to, .. } => testbed.set_version(to).await,
        }
    }

    /// What is to be marked now, and whether it was the last.
    fn judge(&self, sight: &Sight) -> anyhow::Result<(String, bool)> {
        match self {
            Self::PlainRoll => Ok((format!("{} new", sight.new_pods), sight.is_rolled)),
            Self::Version { to, .. } => judge_upgrade(sight, to, UpgradeStage::Done),
        }
    }
}

/// How much load, and how long beside the change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    pub(super) plan: Plan,
    pub(super) beside: Duration,
}

/// What was seen.
pub(super) struct Run {
    pub(super) change: Change,
    pub(super) ledger: Ledger,
    pub(super) audit: Audit,
    pub(super) marks: Vec<Mark>,
    /// Before, during and after the change.
    pub(super) parts: [Range<Duration>; 3],
    /// Processors of this machine that were busy before and during.
    pub(super) busy: [f64; 2],
}

impl Run {
    pub(super) async fn observe(
        testbed: &Testbed,
        schedule: Schedule,
        change: Change,
        progress: Progress,
    ) -> anyhow::Result<Self> {
        let name = match change {
            Change::PlainRoll => "plain",
            Change::Version { .. } => "upgrade",
        };
        progress.say(&format!("{change}: {} starts/s begin", schedule.plan.rate));
        let target = testbed.target(name, testbed.service_address().await?).await?;
        let traffic = Traffic::begin(schedule.plan, target)?;
        tokio::time::sleep(WARM_UP).await;
        let before = Busy::now();
        tokio::time::sleep(schedule.beside).await;
        let (began, during) = (traffic.record().elapsed(), Busy::now());
        change.begin(testbed).await?;
        let mut shown = String::new();
        let judge = |sight: &Sight| change.judge(sight);
        let marks = follow(testbed, traffic.record(), LONGEST, judge, |_, label| {
            if shown != label {
                progress.say(&format!("{change}: {label}"));
                label.clone_into(&mut shown);
            }
        })
        .await?;
        let ended = traffic.record().elapsed();
        let busy = [before.until(&during), during.until(&Busy::now())];
        tokio::time::sleep(schedule.beside).await;
        let last = traffic.record().elapsed();
        let ledger = traffic.finish().await?;
        let audit = testbed.audit(name, &ledger).await?;
        Ok(Self { change, ledger, audit, marks, parts: [WARM_UP..began, began..ended, ended..last], busy })
    }

    pub(super) fn duration(&self) -> Duration {
        self.parts[1].end.saturating_sub(self.parts[1].start)
    }

    /// Completed jobs per second of each part.
    pub(super) fn rates(&self) -> [f64; 3] {
        self.parts.clone().map(|part| {
            let seconds = part.end.saturating_sub(part.start).as_secs_f64();
            f64::from(u32::try_from(self.ledger.count_ended(&part)).unwrap_or(u32::MAX)) / seconds
        })
    }

    /// The latency of each part that `permille` do not exceed.
    pub(super) fn at(&self, permille: usize) -> [Duration; 3] {
        self.parts.clone().map(|part| quantile(&self.ledger.latencies(&part), permille))
    }

    pub(super) fn slowest_second(&self) -> usize {
        let during = &self.parts[1];
        let inside = |second: &Range<Duration>| second.start >= during.start && second.end <= during.end;
        let seconds = self.seconds().into_iter().filter(inside);
        seconds.map(|second| self.ledger.count_ended(&second)).min().unwrap_or_default()
    }

    /// The whole seconds in which load was made.
    pub(super) fn seconds(&self) -> Vec<Range<Duration>> {
        let last = self.parts[2].end.as_secs();
        (0..last).map(|second| Duration::from_secs(second)..Duration::from_secs(second) + SECOND).collect()
    }
}

/// What the machine did so far.
struct Busy {
    cpu: Duration,
    at: Instant,
}

impl Busy {
    fn now() -> Self {
        Self { cpu: machine_cpu(), at: Instant::now() }
    }

    fn until(&self, later: &Self) -> f64 {
        let spent = later.cpu.saturating_sub(self.cpu).as_secs_f64();
        spent / later.at.duration_since(self.at).as_secs_f64()
    }
}
