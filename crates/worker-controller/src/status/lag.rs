//! The lag in the status: read off the autoscaler, and written only when it is worth a write.

use std::collections::BTreeSet;
use std::time::Duration;

use api_types::WorkflowWorker;
use api_types::labels::WORKER_CONTROLLER;
use api_types::worker::WorkflowWorkerStatus;
use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::{ExternalMetricStatus, HorizontalPodAutoscaler};
use kube::ResourceExt as _;

use crate::children::autoscaler::{JOB_TYPE_LABEL, LAG_METRIC};

/// Shortest time between two writes of a status in which nothing but the lag differs.
pub const QUIET_TIME: Duration = Duration::from_secs(15);
/// A move by less than one part in so many is not worth a write.
const MIN_CHANGE_DIVISOR: i64 = 10;

/// The greatest lag of all job types. The autoscaler publishes it per pod, as of its own count of pods.
#[must_use]
pub fn read_lag_seconds(autoscaler: &HorizontalPodAutoscaler) -> Option<i64> {
    let status = autoscaler.status.as_ref()?;
    let pods = status.current_replicas.filter(|pods| *pods > 0)?;
    lag_metrics(autoscaler)
        .filter_map(|external| milliseconds(&external.current.average_value.as_ref()?.0))
        // The autoscaler rounds its division up to thousandths: less than a second in all, which the next line drops.
        .map(|per_pod| per_pod.saturating_mul(pods.into()).max(0) / 1_000)
        .max()
}

/// The job types, as label values, whose lag the autoscaler got at its last sync.
#[must_use]
pub fn read_job_types(autoscaler: &HorizontalPodAutoscaler) -> BTreeSet<String> {
    lag_metrics(autoscaler)
        .filter_map(|external| {
            external.metric.selector.as_ref()?.match_labels.as_ref()?.get(JOB_TYPE_LABEL).cloned()
        })
        .collect()
}

/// A metric that it did not get stands empty in the list.
fn lag_metrics(autoscaler: &HorizontalPodAutoscaler) -> impl Iterator<Item = &ExternalMetricStatus> {
    let metrics = autoscaler.status.iter().flat_map(|status| status.current_metrics.iter().flatten());
    metrics
        .filter_map(|metric| metric.external.as_ref())
        .filter(|external| external.metric.name == LAG_METRIC)
}

/// Is the lag beyond what the autoscaler aims at for one pod?
#[must_use]
pub fn is_over_target(autoscaler: &HorizontalPodAutoscaler) -> Option<bool> {
    let metrics = autoscaler.spec.as_ref()?.metrics.as_ref()?;
    let target = metrics.first()?.external.as_ref()?.target.average_value.as_ref()?;
    Some(read_lag_seconds(autoscaler)?.saturating_mul(1_000) > milliseconds(&target.0)?)
}

/// Thousandths of a quantity in the forms that the API server writes for a metric: `30`, `2500m`, `3k`.
fn milliseconds(quantity: &str) -> Option<i64> {
    const UNITS: [(&str, i64); 3] = [("m", 1), ("k", 1_000_000), ("M", 1_000_000_000)];
    let in_unit = |(unit, factor): &(&str, i64)| Some((quantity.strip_suffix(unit)?.to_owned(), *factor));
    let (number, factor) = UNITS.iter().find_map(in_unit).unwrap_or((quantity.to_owned(), 1_000));
    number.parse::<i64>().ok()?.checked_mul(factor)
}

/// The lag to put into `status`, which is complete but for it and holds the former one.
#[must_use]
pub fn settle(
    worker: &WorkflowWorker,
    status: &WorkflowWorkerStatus,
    seen: Option<i64>,
    now: Timestamp,
) -> Option<i64> {
    let former = worker.status.as_ref();
    if former != Some(status) {
        // It is written anyway.
        return seen;
    }
    let is_worthy = is_worth_a_write(worker, status.current_lag_seconds, seen);
    if is_worthy && quiet_time_left(worker, now).is_zero() { seen } else { status.current_lag_seconds }
}

/// Does the lag move by a tenth, or to the other side of the threshold?
#[must_use]
pub fn is_worth_a_write(worker: &WorkflowWorker, former: Option<i64>, seen: Option<i64>) -> bool {
    let (Some(former), Some(seen)) = (former, seen) else { return former != seen };
    let threshold = worker.spec.autoscaling.as_ref().map_or(0, |it| i64::from(it.target_job_lag_seconds()));
    let moved = former.abs_diff(seen).cast_signed();
    let by_a_tenth = moved > 0 && moved.saturating_mul(MIN_CHANGE_DIVISOR) >= former;
    by_a_tenth || (former > threshold) != (seen > threshold)
}

/// Time until the status may be written again for the lag alone. The API server keeps when we wrote it last.
#[must_use]
pub fn quiet_time_left(worker: &WorkflowWorker, now: Timestamp) -> Duration {
    let is_our_status = |manager: Option<&str>, subresource: Option<&str>| {
        manager == Some(WORKER_CONTROLLER.field_manager) && subresource == Some("status")
    };
    let written = worker
        .managed_fields()
        .iter()
        .filter(|entry| is_our_status(entry.manager.as_deref(), entry.subresource.as_deref()))
        .filter_map(|entry| entry.time.as_ref())
        .map(|time| time.0)
        .max();
    let elapsed = written.map(|written| now.duration_since(written));
    elapsed.map_or(Duration::ZERO, |elapsed| {
        QUIET_TIME.saturating_sub(Duration::try_from(elapsed).unwrap_or_default())
    })
}

/// A number that changes whenever the lag moves by a tenth, and hardly more often: each step is five hundredths.
#[must_use]
pub fn step_of(lag_seconds: i64) -> i32 {
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "a step is approximate by nature"
    )]
    let step = ((lag_seconds.max(0) as f64).ln_1p() / 1.05_f64.ln()) as i32;
    step
}

#[cfg(test)]
mod tests;
