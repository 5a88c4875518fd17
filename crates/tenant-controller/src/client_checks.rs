//! When the Secrets of clients were last read. They are not watched, and a tenant has a pass twice a minute.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::observe::clients::Circumstances;
use crate::status::clients::ClientsAssessment;

/// A Secret that somebody changed or deleted is written again after this time.
const FRESH: Duration = Duration::from_mins(5);
/// A RoleBinding that was missing is noticed after this time, because RoleBindings are not watched.
const FRESH_PROBLEM: Duration = Duration::from_mins(1);

/// The last check of each tenant, by uid. Cheap to clone.
#[derive(Clone, Default)]
pub struct ClientChecks(Arc<Mutex<HashMap<String, Check>>>);

struct Check {
    under: Circumstances,
    good_until: Instant,
}

impl ClientChecks {
    /// Would another read under these circumstances most likely show the same?
    pub fn is_fresh(&self, uid: &str, circumstances: &Circumstances) -> bool {
        let checks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        checks
            .get(uid)
            .is_some_and(|check| check.under == *circumstances && Instant::now() < check.good_until)
    }

    /// All that was to be done was done, or cannot be done now. What is unfinished is read again by the next pass.
    pub fn remember(&self, uid: &str, assessment: &ClientsAssessment) {
        if assessment.is_unfinished {
            return self.forget(uid);
        }
        let now = Instant::now();
        let good_until = now + if assessment.problems.is_empty() { FRESH } else { FRESH_PROBLEM };
        let mut checks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        checks.retain(|_, check| now < check.good_until);
        checks.insert(uid.to_owned(), Check { under: assessment.under.clone(), good_until });
    }

    fn forget(&self, uid: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}
