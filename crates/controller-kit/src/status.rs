//! The news in a status: which events tell the difference between two of them.

use api_types::condition::READY;
use api_types::reason::{Reason, Severity};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::condition::find;
use crate::events::{EventType, News};

/// The event for a change of `Ready`, if it changed: its reason is the condition's reason. A warning's text begins with
/// its reason, because that is how people quote it.
#[must_use]
pub fn news<R: Reason>(former: &[Condition], current: &[Condition]) -> Option<News> {
    news_of::<R>(READY, former, current)
}

/// The same of another condition, for one that tells what `Ready` does not.
#[must_use]
pub fn news_of<R: Reason>(type_: &str, former: &[Condition], current: &[Condition]) -> Option<News> {
    let told = |conditions| {
        find(conditions, type_).map(|found: &Condition| (found.reason.clone(), found.message.clone()))
    };
    let (reason, message) = told(current)?;
    if told(former).as_ref() == Some(&(reason.clone(), message.clone())) {
        return None;
    }
    let warns = R::ALL.iter().any(|known| known.as_str() == reason && known.severity() == Severity::Warning);
    Some(if warns {
        News { type_: EventType::Warning, note: format!("{reason}: {message}"), reason }
    } else {
        News { type_: EventType::Normal, note: message, reason }
    })
}

#[cfg(test)]
mod tests {
    use api_types::reason::CommonReason;
    use jiff::Timestamp;

    use super::*;
    use crate::condition::{Standing, merge, summary};

    fn conditions(standing: Standing, reason: CommonReason, message: &str) -> Vec<Condition> {
        merge(&[], summary(standing, reason, message), None, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_warning_is_quoted_with_its_reason() {
        let now = conditions(Standing::Stalled, CommonReason::InvalidSpec, "spec.replicas: expected 0 to 64");
        assert_eq!(
            news::<CommonReason>(&[], &now),
            Some(News {
                type_: EventType::Warning,
                reason: "InvalidSpec".into(),
                note: "InvalidSpec: spec.replicas: expected 0 to 64".into(),
            })
        );
    }

    #[test]
    fn the_same_news_is_told_once() {
        let now = conditions(Standing::Ready, CommonReason::Paused, "m");
        assert_eq!(news::<CommonReason>(&now, &now), None);
    }
}
