//! The load that a backup is measured beside: starts by a clock, completed by workers with streams.

use std::ops::Range;
use std::time::Duration;

use e2e::traffic::{Ledger, Plan, Target, Traffic};
use engine_client::model::DEFAULT_TENANT;
use test_support::builders::JOB_TYPE;

use crate::figures::{millis, quantile};
use crate::world::World;

/// Connections, plans of statements and caches come to be in it; it counts as nothing.
pub(super) const WARM_UP: Duration = Duration::from_secs(5);

/// Begins at once.
pub(super) fn begin(world: &World, rate: u32, run: String) -> anyhow::Result<Traffic> {
    let [worker, client] = world.accesses();
    let target = Target {
        tenant: DEFAULT_TENANT.to_owned(),
        process: "order".to_owned(),
        job_type: JOB_TYPE.to_owned(),
        client,
        worker,
        run,
    };
    Traffic::begin(Plan::at(rate), target)
}

/// What the load saw between two times.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Seen {
    /// Completed per second.
    pub(super) rate: f64,
    /// From due until completed, ms.
    pub(super) median: f64,
    pub(super) p99: f64,
    /// From the engine's answer to a start until a worker has its job, ms.
    pub(super) waited_median: f64,
    pub(super) waited_p99: f64,
}

impl Seen {
    pub(super) fn of(ledger: &Ledger, within: &Range<Duration>) -> Self {
        let seconds = within.end.saturating_sub(within.start).as_secs_f64();
        let latencies = ledger.latencies(within);
        let mut waited: Vec<Duration> = ledger
            .orders
            .iter()
            .filter(|order| within.contains(&order.due))
            .filter_map(|order| Some(order.taken?.saturating_sub(order.confirmed?)))
            .collect();
        waited.sort_unstable();
        let completed = u32::try_from(ledger.count_ended(within)).unwrap_or(u32::MAX);
        Self {
            rate: f64::from(completed) / seconds,
            median: millis(quantile(&latencies, 500)),
            p99: millis(quantile(&latencies, 990)),
            waited_median: millis(quantile(&waited, 500)),
            waited_p99: millis(quantile(&waited, 990)),
        }
    }
}

/// What went wrong, in a line.
pub(super) fn troubles(ledger: &Ledger) -> String {
    format!(
        "calls repeated {}, streams of jobs taken up again {}, calls failed {}, starts not completed {}",
        ledger.repeats.values().sum::<usize>(),
        ledger.interruptions.values().sum::<usize>(),
        ledger.failures.len(),
        ledger.orders.iter().filter(|order| order.ended.is_none()).count(),
    )
}
