//! Streams and lists of job lag. A stream sends a snapshot, then changes, and heartbeats when nothing changes.

mod parts;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use engine_api::model::JobLagFilter;
use engine_api::proto::{JobLag, ListJobLagResponse, WatchJobLagResponse};
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;

use super::jobs::HEARTBEAT;
use crate::engine::Engine;
use crate::error::Error;
use crate::lag::{Delta, Filter, Pair, Sample, build_delta};
use crate::storage::lag::Lag;
use crate::tenant_id::TenantId;
use crate::wire;

/// Maximum time without a message, as the API documents.
const MAX_SILENCE: Duration = Duration::from_secs(10);
/// Tenant ids, or job types, in one request.
const MAX_NAMES: usize = 1000;

/// One page of pairs, after the pair in the token. Each page may be from another sample.
pub async fn list(
    engine: &Engine,
    filter: JobLagFilter,
    page_token: &str,
) -> Result<ListJobLagResponse, Error> {
    let filter = build_filter(filter)?;
    let after = parse_page_token(page_token)?;
    let sample = engine.lag.fresh(&engine.database).await?;
    let start = after.map_or(Bound::Unbounded, Bound::Excluded);
    let mut room = parts::Room::default();
    let mut page = ListJobLagResponse {
        measured_at: Some(wire::timestamp(sample.measured_at)),
        ..ListJobLagResponse::default()
    };
    for (_, lag) in sample.lags.range((start, Bound::Unbounded)).filter(|(pair, _)| filter.matches(pair)) {
        let lag = wire_lag(lag.clone());
        if !room.take(&lag) {
            page.next_page_token = page.lags.last().map(build_page_token).unwrap_or_default();
            break;
        }
        page.lags.push(lag);
    }
    Ok(page)
}

/// `tenant/type`: a tenant id contains no slash.
fn build_page_token(last: &JobLag) -> String {
    format!("{}/{}", last.tenant_id, last.job_type)
}

fn parse_page_token(token: &str) -> Result<Option<Pair>, Error> {
    if token.is_empty() {
        return Ok(None);
    }
    let (tenant_id, job_type) =
        token.split_once('/').ok_or_else(|| Error::Invalid("page_token is not one of ours".to_owned()))?;
    Ok(Some((tenant_id.to_owned(), job_type.to_owned())))
}

pub async fn open(
    engine: Arc<Engine>,
    filter: JobLagFilter,
    min_interval: Duration,
) -> Result<ReceiverStream<Result<WatchJobLagResponse, Error>>, Error> {
    let filter = build_filter(filter)?;
    // A heartbeat confirms all former values. So the interval must not be longer, else a heartbeat could confirm an
    // outdated value.
    let interval = min_interval.min(HEARTBEAT);
    // Subscribes before the first sample, so that the sampler keeps running from here on.
    let samples = engine.lag.watch();
    let first = engine.lag.fresh(&engine.database).await?;
    let (sender, receiver) = mpsc::channel(1);
    let reporter = LagReporter { filter, interval, reported: BTreeMap::new() };
    tokio::spawn(async move {
        let ended = tokio::select! {
            ended = reporter.report(samples, first, &sender) => ended,
            () = sender.closed() => Ok(()),
            () = engine.drain.cancelled() => Err(Error::ShuttingDown),
            withdrawn = engine.permission.withdrawn() => Err(withdrawn),
        };
        if let Err(error) = ended {
            // The client may have disconnected; then the error is not needed.
            let _ = sender.send(Err(error)).await;
        }
    });
    Ok(ReceiverStream::new(receiver))
}

struct LagReporter {
    filter: Filter,
    interval: Duration,
    /// The values that the client received last.
    reported: BTreeMap<Pair, Lag>,
}

impl LagReporter {
    async fn report(
        mut self,
        mut samples: tokio::sync::watch::Receiver<Option<Arc<Sample>>>,
        first: Arc<Sample>,
        sender: &mpsc::Sender<Result<WatchJobLagResponse, Error>>,
    ) -> Result<(), Error> {
        self.reported = self.filter.apply(&first);
        let everything = Delta { changed: self.reported.values().cloned().collect(), removed: Vec::new() };
        if !send(sender, true, everything, first.measured_at).await {
            return Ok(());
        }
        let mut last_sent = Instant::now();
        loop {
            tokio::time::sleep(self.interval).await;
            // Without a new sample no value can be confirmed, so the stream ends.
            let renewed = tokio::time::timeout_at(last_sent + MAX_SILENCE, samples.changed()).await;
            if !matches!(renewed, Ok(Ok(()))) {
                return Err(Error::Database(sqlx::Error::PoolTimedOut));
            }
            let Some(sample) = samples.borrow_and_update().clone() else { continue };
            let delta = self.next_delta(&sample);
            if delta != Delta::default() || last_sent.elapsed() + self.interval >= HEARTBEAT {
                if !send(sender, false, delta, sample.measured_at).await {
                    return Ok(());
                }
                last_sent = Instant::now();
            }
        }
    }

    fn next_delta(&mut self, sample: &Sample) -> Delta {
        let lags = self.filter.apply(sample);
        let delta = build_delta(&self.reported, &lags);
        self.reported = lags;
        delta
    }
}

/// False = the client disconnected.
async fn send(
    sender: &mpsc::Sender<Result<WatchJobLagResponse, Error>>,
    snapshot: bool,
    delta: Delta,
    measured_at: Timestamp,
) -> bool {
    let wire_all = |lags: Vec<Lag>| lags.into_iter().map(wire_lag).collect();
    let mut parts = parts::split(wire_all(delta.changed), wire_all(delta.removed)).into_iter().peekable();
    while let Some((lags, removed)) = parts.next() {
        let message = WatchJobLagResponse {
            snapshot,
            lags,
            removed,
            measured_at: Some(wire::timestamp(measured_at)),
            more: parts.peek().is_some(),
        };
        if sender.send(Ok(message)).await.is_err() {
            return false;
        }
    }
    true
}

fn build_filter(filter: JobLagFilter) -> Result<Filter, Error> {
    let JobLagFilter { tenant_ids, job_types } = filter;
    if tenant_ids.len() > MAX_NAMES || job_types.len() > MAX_NAMES {
        return Err(Error::Invalid(format!(
            "at most {MAX_NAMES} tenant_ids and {MAX_NAMES} job_types may be named"
        )));
    }
    for tenant_id in &tenant_ids {
        TenantId::parse(tenant_id)?;
    }
    Ok(Filter { tenant_ids, job_types })
}

fn wire_lag(lag: Lag) -> JobLag {
    JobLag {
        tenant_id: lag.tenant_id,
        job_type: lag.job_type,
        activatable: lag.activatable,
        oldest_run_at: lag.oldest_run_at.map(wire::timestamp),
        activated: lag.activated,
    }
}
