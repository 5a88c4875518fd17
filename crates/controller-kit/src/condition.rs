//! Conditions: `meta/v1` with transition times that move only when the status does.

use api_types::condition::{READY, RECONCILING, STALLED};
use api_types::reason::Reason;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::message::bounded;

/// Value of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It is not known at present.
    Unknown,
}

impl ConditionStatus {
    /// The word in `conditions[].status`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// One condition as it shall be, before times are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredCondition<R> {
    /// One of `api_types::condition`.
    pub type_: &'static str,
    /// Its value.
    pub status: ConditionStatus,
    /// Why.
    pub reason: R,
    /// For people; cut and cleaned by [`merge`].
    pub message: String,
}

impl<R: Reason> DesiredCondition<R> {
    /// A condition.
    pub fn new(type_: &'static str, status: ConditionStatus, reason: R, message: impl Into<String>) -> Self {
        Self { type_, status, reason, message: message.into() }
    }
}

/// State of an object as a whole: `Ready`, `Reconciling` and `Stalled` (kstatus) are derived from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// The spec is reached.
    Ready,
    /// The controller works on it, or waits for something that ends by itself.
    InProgress,
    /// A person must act.
    Stalled,
}

/// `Ready`, and `Reconciling` or `Stalled` while true.
pub fn summary<R: Reason>(readiness: Readiness, reason: R, message: &str) -> Vec<DesiredCondition<R>> {
    let ready = if readiness == Readiness::Ready { ConditionStatus::True } else { ConditionStatus::False };
    let mut wanted = vec![DesiredCondition::new(READY, ready, reason, message)];
    match readiness {
        Readiness::Ready => {}
        Readiness::InProgress => {
            wanted.push(DesiredCondition::new(RECONCILING, ConditionStatus::True, reason, message));
        }
        Readiness::Stalled => {
            wanted.push(DesiredCondition::new(STALLED, ConditionStatus::True, reason, message));
        }
    }
    wanted
}

/// The new list, sorted by type. Types that are not wanted any more are left out. A transition time is `now` when the
/// condition is new or its status differs from the former one.
#[must_use]
pub fn merge<R: Reason>(
    former: &[Condition],
    wanted: Vec<DesiredCondition<R>>,
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let mut merged: Vec<Condition> = wanted
        .into_iter()
        .map(|wanted| {
            let same = former.iter().find(|c| c.type_ == wanted.type_ && c.status == wanted.status.as_str());
            Condition {
                type_: wanted.type_.to_owned(),
                status: wanted.status.as_str().to_owned(),
                reason: wanted.reason.as_str().to_owned(),
                message: bounded(&wanted.message),
                observed_generation: generation,
                last_transition_time: same.map_or(Time(now), |c| c.last_transition_time.clone()),
            }
        })
        .collect();
    merged.sort_by(|a, b| a.type_.cmp(&b.type_));
    merged
}

/// The condition of this type, if there is one.
#[must_use]
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

#[cfg(test)]
mod tests {
    use api_types::reason::CommonReason;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn merged(former: &[Condition], readiness: Readiness, now: i64) -> Vec<Condition> {
        merge(former, summary(readiness, CommonReason::Paused, "m"), Some(7), at(now))
    }

    #[test]
    fn transition_time_moves_only_with_the_status() {
        let first = merged(&[], Readiness::InProgress, 1);
        let again =
            merge(&first, summary(Readiness::InProgress, CommonReason::Deleting, "other"), Some(8), at(2));
        assert_eq!(
            again
                .iter()
                .map(|c| (c.type_.as_str(), c.status.as_str(), c.last_transition_time.0))
                .collect::<Vec<_>>(),
            [("Ready", "False", at(1)), ("Reconciling", "True", at(1))]
        );
        let ready = merged(&again, Readiness::Ready, 3);
        assert_eq!(
            ready
                .iter()
                .map(|c| (c.type_.as_str(), c.status.as_str(), c.last_transition_time.0))
                .collect::<Vec<_>>(),
            [("Ready", "True", at(3))]
        );
    }

    #[test]
    fn unchanged_conditions_give_an_equal_list() {
        let first = merged(&[], Readiness::Stalled, 1);
        assert_eq!(merged(&first, Readiness::Stalled, 99), first);
    }
}
