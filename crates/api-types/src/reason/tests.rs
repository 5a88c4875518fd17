use std::collections::BTreeSet;

use super::*;
use crate::cluster::ClusterReason;
use crate::process::ProcessReason;
use crate::tenant::TenantReason;
use crate::worker::WorkerReason;

fn check<R: Reason>() {
    let words: BTreeSet<_> = R::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(words.len(), R::ALL.len(), "a word stands for one reason");
    let pattern = regex::Regex::new("^[A-Z][A-Za-z0-9]{0,63}$").unwrap();
    for reason in R::ALL {
        assert!(pattern.is_match(reason.as_str()), "{reason:?}");
        for sentence in [reason.meaning(), reason.remedy()] {
            assert!(sentence.ends_with('.') && sentence.len() > 4, "{reason:?}: {sentence}");
        }
        if reason.severity() == Severity::Warning {
            assert_ne!(reason.remedy(), "Nothing.", "{reason:?}: a warning says what to do");
        }
    }
    for common in CommonReason::ALL {
        assert_eq!(R::from(*common).as_str(), common.as_str());
    }
}

#[test]
fn reasons_of_every_kind_are_closed_documented_words() {
    check::<ClusterReason>();
    check::<TenantReason>();
    check::<ProcessReason>();
    check::<WorkerReason>();
}
