//! What became of each start, as those who made it saw it.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use engine_client::EngineError;
use tokio::time::Instant;

/// One start. Times count from the beginning of the traffic.
#[derive(Clone, Copy, Debug, Default)]
pub struct Order {
    /// When the clock asked for it, whether or not the engine was ready then.
    pub due: Duration,
    /// The instance, once the engine said that it was started.
    pub instance: Option<i64>,
    /// When the engine said so.
    pub confirmed: Option<Duration>,
    /// When a worker got its job, for the first time.
    pub taken: Option<Duration>,
    /// When a worker heard that its job is completed.
    pub ended: Option<Duration>,
}

/// A call that failed although it was repeated.
#[derive(Clone, Debug)]
pub struct Failure {
    /// When.
    pub at: Duration,
    /// Which call.
    pub call: &'static str,
    /// What the last attempt said.
    pub error: String,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// By the number in their variables.
    pub orders: Vec<Order>,
    /// Calls that failed for good.
    pub failures: Vec<Failure>,
    /// Attempts that failed and were repeated, by call and error.
    pub repeats: BTreeMap<(&'static str, String), usize>,
    /// Streams of jobs that ended, by error: a worker that lost one comes back.
    pub interruptions: BTreeMap<String, usize>,
    /// How often the engine said of a job that it is completed now.
    pub(super) completions: HashMap<i64, usize>,
}

impl Ledger {
    /// Orders that were started and whose job is not completed.
    pub fn count_open(&self) -> usize {
        self.orders.iter().filter(|order| order.instance.is_some() && order.ended.is_none()).count()
    }

    /// Jobs that ended between these times.
    pub fn count_ended(&self, within: &Range<Duration>) -> usize {
        self.orders.iter().filter_map(|order| order.ended).filter(|ended| within.contains(ended)).count()
    }

    /// From due until completed, of the orders that were due between these times; sorted.
    pub fn latencies(&self, due_within: &Range<Duration>) -> Vec<Duration> {
        let of_those = self.orders.iter().filter(|order| due_within.contains(&order.due));
        let mut latencies: Vec<_> =
            of_those.filter_map(|order| Some(order.ended?.saturating_sub(order.due))).collect();
        latencies.sort_unstable();
        latencies
    }

    /// Jobs of which the engine said more than once that they are completed now.
    pub fn count_doubled_jobs(&self) -> usize {
        self.completions.values().filter(|times| **times > 1).count()
    }
}

/// The value that `permille` of the sorted measurements do not exceed.
#[must_use]
pub fn quantile(sorted: &[Duration], permille: usize) -> Duration {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last * permille).div_ceil(1000)).copied().unwrap_or_default()
}

/// A ledger that is being written.
#[derive(Debug)]
pub struct Record {
    began: Instant,
    ledger: Mutex<Ledger>,
}

impl Default for Record {
    fn default() -> Self {
        Self { began: Instant::now(), ledger: Mutex::default() }
    }
}

impl Record {
    /// Time since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Looks at what is written so far.
    pub fn with<T>(&self, look: impl FnOnce(&Ledger) -> T) -> T {
        look(&self.ledger.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, write: impl FnOnce(&mut Ledger) -> T) -> T {
        write(&mut self.ledger.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn open_order(&self, due: Instant) -> usize {
        let due = due.saturating_duration_since(self.began);
        self.write(|ledger| {
            ledger.orders.push(Order { due, ..Order::default() });
            ledger.orders.len() - 1
        })
    }

    pub(super) fn start_order(&self, order: usize, instance: i64) {
        let now = self.elapsed();
        self.write(|ledger| {
            if let Some(order) = ledger.orders.get_mut(order) {
                (order.instance, order.confirmed) = (Some(instance), Some(now));
            }
        });
    }

    pub(super) fn take(&self, order: Option<usize>) {
        let now = self.elapsed();
        self.write(|ledger| {
            if let Some(order) = order.and_then(|order| ledger.orders.get_mut(order)) {
                order.taken.get_or_insert(now);
            }
        });
    }

    pub(super) fn complete(&self, order: Option<usize>, job: i64) {
        self.write(|ledger| *ledger.completions.entry(job).or_default() += 1);
        self.complete_unheard(order);
    }

    pub(super) fn complete_unheard(&self, order: Option<usize>) {
        let now = self.elapsed();
        self.write(|ledger| {
            if let Some(order) = order.and_then(|order| ledger.orders.get_mut(order)) {
                order.ended.get_or_insert(now);
            }
        });
    }

    pub(super) fn repeat(&self, call: &'static str, error: &EngineError) {
        self.write(|ledger| *ledger.repeats.entry((call, error.to_string())).or_default() += 1);
    }

    pub(super) fn interrupt(&self, error: &EngineError) {
        self.write(|ledger| *ledger.interruptions.entry(error.to_string()).or_default() += 1);
    }

    pub(super) fn fail(&self, call: &'static str, error: &EngineError) {
        let failure = Failure { at: self.elapsed(), call, error: error.to_string() };
        self.write(|ledger| ledger.failures.push(failure));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_order_counts_from_when_it_was_due_and_in_the_time_when_it_ended() {
        let record = Record::default();
        let order = record.open_order(record.began + at(3));
        record.start_order(order, 7);
        assert_eq!(record.with(Ledger::count_open), 1);
        let mut ledger = record.with(Ledger::clone);
        ledger.orders[order].ended = Some(at(5));
        assert_eq!(ledger.count_open(), 0);
        assert_eq!(
            (ledger.latencies(&(at(3)..at(4))), ledger.latencies(&(at(5)..at(6)))),
            (vec![at(2)], vec![])
        );
        assert_eq!((ledger.count_ended(&(at(3)..at(5))), ledger.count_ended(&(at(5)..at(6)))), (0, 1));
    }

    #[test]
    fn a_job_is_doubled_when_the_engine_counts_it_twice_and_not_when_an_answer_was_lost() {
        let record = Record::default();
        let orders = [record.open_order(record.began), record.open_order(record.began)];
        record.complete(Some(orders[0]), 1);
        record.complete_unheard(Some(orders[1]));
        assert_eq!(record.with(Ledger::count_doubled_jobs), 0);
        record.complete(Some(orders[0]), 1);
        assert_eq!(record.with(Ledger::count_doubled_jobs), 1);
    }

    #[test]
    fn quantiles_never_flatter() {
        let sorted: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        let reported = [500, 990, 1000].map(|permille| quantile(&sorted, permille).as_millis());
        assert_eq!(reported, [51, 100, 100]);
    }
}
