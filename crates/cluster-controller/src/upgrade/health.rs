//! Whether the pods of a new template are well.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::revisions::wanted_revision;
use crate::observe::Observed;
use crate::observe::canaries::CanaryView;
use crate::observe::pods::{PodHealth, PodView, UNSCHEDULABLE};
use crate::observe::postgres::PostgresView;

/// A pod that does not become ready, without a word from Kubernetes why, has so long for its start.
pub const START_DEADLINE: Duration = Duration::from_mins(2);
/// Less than that is not slow: a process of a few milliseconds easily takes three times as long.
const NEVER_SLOW: Duration = Duration::from_millis(500);
/// A container that ended once may have been unlucky.
const TOLERATED_RESTARTS: i32 = 1;

/// Health of the pods that have the live template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Every one is ready and does its work, and the engine serves.
    Healthy,
    /// Something is on its way, or it cannot be judged now.
    Undecided,
    /// One is not well: its name, and what is wrong.
    Faulty(String),
}

/// Judges the pods that have the live template; none may take longer for its work than `max_regression` times the slowest other
/// one. While the database is away nothing can be said about them.
#[must_use]
pub fn judge_new_pods(observed: &Observed, max_regression: u32, now: Timestamp) -> Health {
    let Some(wanted) = observed.children.stateful_set().and_then(wanted_revision) else {
        return Health::Undecided;
    };
    if !matches!(observed.postgres, PostgresView::Reachable(_)) {
        return Health::Undecided;
    }
    let pods: Vec<&PodView> =
        observed.engine_pods().filter(|pod| pod.revision.as_deref() == Some(wanted)).collect();
    let slow_from = slow_from(observed, wanted, max_regression);
    let fault =
        |pod: &&PodView| fault_of(observed, pod, now).or_else(|| slowness_of(observed, pod, slow_from));
    if let Some(fault) = pods.iter().find_map(fault) {
        return Health::Faulty(fault);
    }
    let is_well = |pod: &&PodView| {
        let canary = observed.canaries.get(&pod.name);
        pod.is_good(wanted) && matches!(canary, Some(CanaryView::Worked(_) | CanaryView::Unsupported))
    };
    let are_well = !pods.is_empty() && pods.iter().all(is_well);
    if are_well && observed.engine.is_serving() { Health::Healthy } else { Health::Undecided }
}

/// It is not ready, and not for as long as a start may take.
#[must_use]
pub fn has_time_to_start(pod: &PodView, now: Timestamp) -> bool {
    let deadline = SignedDuration::try_from(START_DEADLINE).unwrap_or_default();
    matches!(pod.health, PodHealth::Unready { since: Some(since) } if now.duration_since(since) < deadline)
}

fn fault_of(observed: &Observed, pod: &PodView, now: Timestamp) -> Option<String> {
    if pod.terminating {
        return None;
    }
    if pod.restarts > TOLERATED_RESTARTS {
        return Some(format!("engine pod {}: its container ended {} times", pod.name, pod.restarts));
    }
    let has_time = has_time_to_start(pod, now);
    if has_time && pod.problem.as_deref() == Some(UNSCHEDULABLE) {
        // Its node is drained, or another node is about to come: that says nothing about the template.
        return None;
    }
    if let Some(problem) = observed.problem_message(pod) {
        return Some(format!("engine pod {}: {problem}", pod.name));
    }
    match observed.canaries.get(&pod.name) {
        Some(CanaryView::Failed(failure)) => {
            return Some(format!("engine pod {} is ready, but {failure}", pod.name));
        }
        // When nobody answers, it is not this pod's fault.
        Some(CanaryView::Silent(problem)) if observed.engine.is_serving() => {
            return Some(format!("engine pod {} is ready, but does not answer: {problem}", pod.name));
        }
        _ => {}
    }
    (matches!(pod.health, PodHealth::Unready { since: Some(_) }) && !has_time)
        .then(|| format!("engine pod {} does not become ready: look at its events and log", pod.name))
}

/// What work takes on the slowest pod of another template, and what it must not take on a new one. `None` when there is
/// nothing to compare with.
fn slow_from(observed: &Observed, wanted: &str, max_regression: u32) -> Option<(Duration, Duration)> {
    let former = observed.engine_pods().filter(|pod| pod.revision.as_deref() != Some(wanted));
    let slowest = former.filter_map(|pod| work_of(observed, pod)).max()?;
    Some((slowest, (slowest * max_regression).max(NEVER_SLOW)))
}

fn slowness_of(
    observed: &Observed,
    pod: &PodView,
    slow_from: Option<(Duration, Duration)>,
) -> Option<String> {
    let ((former, limit), work) = (slow_from?, work_of(observed, pod)?);
    (work > limit).then(|| {
        format!(
            "engine pod {} works, but takes {} ms for what takes the former pods {} ms",
            pod.name,
            work.as_millis(),
            former.as_millis()
        )
    })
}

/// How long the process took that the pod was asked to run.
fn work_of(observed: &Observed, pod: &PodView) -> Option<Duration> {
    match observed.canaries.get(&pod.name) {
        Some(CanaryView::Worked(took)) => Some(*took),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
