//! Job lag of the fake: what a test sets, streamed like a real engine does.

use std::{collections::BTreeMap, time::Duration};

use futures::{StreamExt as _, stream};

use super::{FakeEngine, World};
use crate::{
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
        let changes = self.changes.subscribe();
        let next = move |(sent, mut changes): (
            Option<BTreeMap<JobSeries, JobLag>>,
            tokio::sync::watch::Receiver<u64>,
        )| {
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
                    let Some(sent_before) = &sent else {
                        let all = lags.values().cloned().collect();
                        let update =
                            JobLagUpdate { snapshot: true, lags: all, removed: Vec::new(), measured_at };
                        return Some((Ok(update), (Some(lags), changes)));
                    };
                    let changed: Vec<_> = lags
                        .values()
                        .filter(|lag| sent_before.get(&lag.series) != Some(lag))
                        .cloned()
                        .collect();
                    let removed: Vec<_> =
                        sent_before.keys().filter(|series| !lags.contains_key(series)).cloned().collect();
                    if !changed.is_empty() || !removed.is_empty() {
                        let update = JobLagUpdate { snapshot: false, lags: changed, removed, measured_at };
                        return Some((Ok(update), (Some(lags), changes)));
                    }
                    if tokio::time::timeout(heartbeat, changes.changed()).await.is_err() {
                        let (lags, removed) = (Vec::new(), Vec::new());
                        let update = JobLagUpdate { snapshot: false, lags, removed, measured_at };
                        return Some((Ok(update), (sent, changes)));
                    }
                }
            }
        };
        end_with_first_error(stream::unfold((None, changes), next)).boxed()
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
    pub(super) fn lags(&self, filter: &JobLagFilter) -> BTreeMap<JobSeries, JobLag> {
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
