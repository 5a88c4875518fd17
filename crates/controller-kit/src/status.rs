//! Which events report the difference between two statuses.

use api_types::condition::READY;
use api_types::reason::{Reason, Severity};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::condition::find;
use crate::events::{Event, EventType};

/// The event for a change of `Ready`, if it changed: its reason is the condition's reason. A warning's text begins with
/// its reason, because that is how people quote it.
#[must_use]
pub fn event_of_ready<R: Reason>(former: &[Condition], current: &[Condition]) -> Option<Event> {
    event_of_condition::<R>(READY, former, current)
}

/// The same for another condition, if it reports something that `Ready` does not.
#[must_use]
pub fn event_of_condition<R: Reason>(
    type_: &str,
    former: &[Condition],
    current: &[Condition],
) -> Option<Event> {
    let reported = |conditions| {
        find(conditions, type_).map(|found: &Condition| (found.reason.clone(), found.message.clone()))
    };
    let (reason, message) = reported(current)?;
    if reported(former).as_ref() == Some(&(reason.clone(), message.clone())) {
        return None;
    }
    let warns = R::ALL.iter().any(|known| known.as_str() == reason && known.severity() == Severity::Warning);
    Some(if warns {
        Event { type_: EventType::Warning, note: format!("{reason}: {message}"), reason }
    } else {
        Event { type_: EventType::Normal, note: message, reason }
    })
}

#[cfg(test)]
mod tests {
    use api_types::reason::CommonReason;
    use jiff::Timestamp;

    use super::*;
    use crate::condition::{Readiness, merge, summary};

    fn conditions(readiness: Readiness, reason: CommonReason, message: &str) -> Vec<Condition> {
        merge(&[], summary(readiness, reason, message), None, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_warning_is_quoted_with_its_reason() {
        let now =
            conditions(Readiness::Stalled, CommonReason::InvalidSpec, "spec.replicas: expected 0 to 64");
        assert_eq!(
            event_of_ready::<CommonReason>(&[], &now),
            Some(Event {
                type_: EventType::Warning,
                reason: "InvalidSpec".into(),
                note: "InvalidSpec: spec.replicas: expected 0 to 64".into(),
            })
        );
    }

    #[test]
    fn the_same_event_is_reported_once() {
        let now = conditions(Readiness::Ready, CommonReason::Paused, "m");
        assert_eq!(event_of_ready::<CommonReason>(&now, &now), None);
    }
}
