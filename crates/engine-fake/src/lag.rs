//! Job lag of the fake: what a test sets, streamed like a real engine does.

use std::{collections::BTreeMap, time::Duration};

use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use tokio::sync::watch;

use super::{FakeEngine, World};
use engine_client::{
    EngineError, JobLagStream, Operation,
    model::{JobLag, JobLagFilter, JobLagUpdate, JobSeries},
};

impl FakeEngine {
    /// How long jobs of one series wait.
    pub fn set_lag(&self, lag: JobLag) {
        self.change(|world| world.lags.insert(lag.series.clone(), lag));
    }

    /// A series is not known any more.
    pub fn remove_lag(&self, series: &JobSeries) {
        self.change(|world| world.lags.remove(series));
    }

    /// Silence after which streams send a heartbeat; 10 s at first.
    pub fn set_heartbeat(&self, interval: Duration) {
        self.change(|world| world.heartbeat = interval);
    }

    pub(super) fn lag_stream(&self, filter: &JobLagFilter) -> JobLagStream {
        let engine = self.clone();
        let filter = filter.clone();
        let next = move |(mut sent, mut changes): (Option<Lags>, watch::Receiver<u64>)| {
            let (engine, filter) = (engine.clone(), filter.clone());
            async move {
                loop {
                    changes.borrow_and_update();
                    if let Err(error) = engine.judge_stream(Operation::WatchJobLag) {
                        return Some((Err(error), (sent, changes)));
                    }
                    let (lags, measured_at, heartbeat) = {
                        let world = engine.world();
                        (world.lags(&filter), world.now, world.heartbeat)
                    };
                    let update = update(sent.as_ref(), &lags, measured_at);
                    let has_event = update.snapshot || !update.lags.is_empty() || !update.removed.is_empty();
                    if has_event || tokio::time::timeout(heartbeat, changes.changed()).await.is_err() {
                        sent = Some(lags);
                        return Some((Ok(update), (sent, changes)));
                    }
                }
            }
        };
        end_with_first_error(stream::unfold((None, self.changes.subscribe()), next)).boxed()
    }
}

type Lags = BTreeMap<JobSeries, JobLag>;

/// What to send to somebody who knows what was `sent`.
fn update(sent: Option<&Lags>, lags: &Lags, measured_at: Timestamp) -> JobLagUpdate {
    let is_known = |lag: &&JobLag| sent.and_then(|sent| sent.get(&lag.series)) == Some(*lag);
    JobLagUpdate {
        snapshot: sent.is_none(),
        complete: true,
        lags: lags.values().filter(|lag| !is_known(lag)).cloned().collect(),
        removed: sent
            .into_iter()
            .flatten()
            .map(|(series, _)| series)
            .filter(|s| !lags.contains_key(s))
            .cloned()
            .collect(),
        measured_at,
    }
}

fn end_with_first_error<T>(
    messages: impl stream::Stream<Item = Result<T, EngineError>>,
) -> impl stream::Stream<Item = Result<T, EngineError>> {
    messages.scan(false, |ended, message| {
        let over = std::mem::replace(ended, message.is_err());
        std::future::ready((!over).then_some(message))
    })
}

impl World {
    pub(super) fn lags(&self, filter: &JobLagFilter) -> Lags {
        let wanted = |list: &[String], value: &String| list.is_empty() || list.contains(value);
        self.lags
            .iter()
            .filter(|(series, _)| {
                wanted(&filter.tenant_ids, &series.tenant_id) && wanted(&filter.job_types, &series.job_type)
            })
            .map(|(series, lag)| (series.clone(), lag.clone()))
            .collect()
    }
}
