//! The result of a pass, and when to look again.

use std::time::Duration;

use api_types::reason::CommonReason;

use crate::apply::field_conflict::is_field_conflict;

/// What an error means for the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorClass {
    /// The user must change something; nothing is tried before that.
    Invalid,
    /// It may pass by itself: retried with exponential backoff and jitter.
    Transient,
    /// Another write came first: retried at once with a fresh view.
    Conflict,
    /// Another writer sets fields of this controller again and again: retried with exponential backoff, reported as
    /// long as it lasts.
    FieldConflict,
    /// A permission, policy or resource quota refuses: retried with the same backoff, because nothing reports when it
    /// is granted.
    Denied,
    /// A defect of the controller, for instance an object that the API server refuses as malformed: retried slowly.
    Defect,
}

impl ErrorClass {
    /// Label of `operator_reconciliations_total{outcome}`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Transient => "transient",
            Self::Conflict => "conflict",
            Self::FieldConflict => "field_conflict",
            Self::Denied => "denied",
            Self::Defect => "defect",
        }
    }

    /// The reason that reports a failed call to the Kubernetes API to the user.
    #[must_use]
    pub const fn reason(self) -> CommonReason {
        match self {
            Self::Invalid => CommonReason::InvalidSpec,
            Self::Defect => CommonReason::InternalError,
            Self::Transient => CommonReason::KubernetesUnavailable,
            Self::Conflict | Self::FieldConflict => CommonReason::Conflict,
            Self::Denied => CommonReason::Denied,
        }
    }

    /// The class of an error of the Kubernetes API.
    #[must_use]
    pub fn of_kube(error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if is_field_conflict(status) => Self::FieldConflict,
            kube::Error::Api(status) => match status.code {
                409 => Self::Conflict,
                401 | 403 => Self::Denied,
                400 | 404 | 405 | 406 | 415 | 422 => Self::Defect,
                _ => Self::Transient,
            },
            kube::Error::SerdeError(_) | kube::Error::BuildRequest(_) | kube::Error::HttpError(_) => {
                Self::Defect
            }
            _ => Self::Transient,
        }
    }
}

/// When to look at the object again. A change of it, or of what it depends on, begins a pass before that.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Next {
    /// Nothing is left to do. Looked at again after `resync`, for drift that no watch shows.
    Settled {
        /// Jitter of ten percent is added.
        resync: Duration,
    },
    /// Something else must happen first.
    Wait {
        /// Time to the next look.
        recheck: Duration,
    },
    /// A step failed.
    Failed(ErrorClass),
    /// The object is gone.
    Gone,
}

impl Next {
    /// Label of `operator_reconciliations_total{outcome}`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Settled { .. } => "settled",
            Self::Wait { .. } => "waiting",
            Self::Failed(class) => class.as_str(),
            Self::Gone => "gone",
        }
    }

    /// Delay until the next look; `None` = await a change. `failures` counts failed passes in a row, this one included;
    /// `jitter` is uniform in 0..1.
    #[must_use]
    pub fn delay(self, failures: u32, jitter: f64) -> Option<Duration> {
        /// 500 ms, 1 s, 2 s, … to [`MAX_BACKOFF`].
        const MIN_BACKOFF: Duration = Duration::from_millis(500);
        /// After an engine was away for an hour, it must be tried again soon after it returns.
        const MAX_BACKOFF: Duration = Duration::from_mins(1);
        /// Only a new version corrects a defect.
        const SLOW: Duration = Duration::from_mins(5);
        match self {
            Self::Settled { resync } => Some(resync.mul_f64(1.0 + 0.1 * jitter)),
            Self::Wait { recheck } => Some(recheck),
            Self::Gone | Self::Failed(ErrorClass::Invalid) => None,
            Self::Failed(ErrorClass::Conflict) => Some(MIN_BACKOFF.mul_f64(1.0 + jitter)),
            Self::Failed(ErrorClass::Transient | ErrorClass::Denied | ErrorClass::FieldConflict) => {
                let doubled = MIN_BACKOFF.saturating_mul(1 << failures.saturating_sub(1).min(10));
                // Half fixed, half random: many objects of one failed engine must not be retried at the same time.
                Some(doubled.min(MAX_BACKOFF).mul_f64(0.5 + 0.5 * jitter))
            }
            Self::Failed(ErrorClass::Defect) => Some(SLOW.mul_f64(1.0 + 0.1 * jitter)),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::settled(Next::Settled { resync: Duration::from_mins(10) }, 0, 1.0, Some(660_000))]
    #[case::waiting(Next::Wait { recheck: Duration::from_secs(5) }, 0, 1.0, Some(5_000))]
    #[case::invalid_awaits_a_change(Next::Failed(ErrorClass::Invalid), 1, 0.0, None)]
    #[case::gone(Next::Gone, 0, 0.0, None)]
    #[case::conflict(Next::Failed(ErrorClass::Conflict), 1, 0.0, Some(500))]
    #[case::first_failure(Next::Failed(ErrorClass::Transient), 1, 1.0, Some(500))]
    #[case::third_failure(Next::Failed(ErrorClass::Transient), 3, 1.0, Some(2_000))]
    #[case::many_failures_are_capped(Next::Failed(ErrorClass::Transient), 99, 1.0, Some(60_000))]
    #[case::jitter_halves_at_most(Next::Failed(ErrorClass::Transient), 99, 0.0, Some(30_000))]
    #[case::denied_a_moment_ago(Next::Failed(ErrorClass::Denied), 1, 1.0, Some(500))]
    #[case::denied_for_long(Next::Failed(ErrorClass::Denied), 99, 1.0, Some(60_000))]
    #[case::field_conflict_for_long(Next::Failed(ErrorClass::FieldConflict), 99, 1.0, Some(60_000))]
    #[case::defect(Next::Failed(ErrorClass::Defect), 9, 0.0, Some(300_000))]
    fn delays(
        #[case] next: Next,
        #[case] failures: u32,
        #[case] jitter: f64,
        #[case] expected_millis: Option<u64>,
    ) {
        assert_eq!(next.delay(failures, jitter), expected_millis.map(Duration::from_millis));
    }
}
