//! How many incidents are open: what the status shows of it. [`survey`](crate::survey) asks the engines.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use engine_client::model::IncidentCount;

use crate::survey::TenantKey;

/// By process id.
pub(crate) type Counts = BTreeMap<String, u64>;

/// What engines said last. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct OpenIncidents(Arc<Mutex<HashMap<TenantKey, Counts>>>);

impl OpenIncidents {
    /// The newest figure of a process; `None` = its engine was not asked, or did not answer.
    #[must_use]
    pub fn of(&self, cluster_uid: &str, tenant_id: &str, process_id: &str) -> Option<u64> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = known.get(&(cluster_uid.to_owned(), tenant_id.to_owned()))?;
        Some(counts.get(process_id).copied().unwrap_or_default())
    }

    pub(crate) fn replace(&self, known: HashMap<TenantKey, Counts>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = known;
    }
}

/// What the status shows. A figure within five percent of the former one changes nothing: it moves all the time when there are
/// many. Zero is written only where there were some before: else each process would cost one more write.
#[must_use]
pub fn reported_incidents(former: Option<i64>, counted: Option<u64>) -> Option<i64> {
    let Some(counted) = counted.map(|counted| i64::try_from(counted).unwrap_or(i64::MAX)) else {
        return former;
    };
    match former {
        None => (counted > 0).then_some(counted),
        Some(former)
            if former > 0 && counted > 0 && former.abs_diff(counted) <= former.unsigned_abs() / 20 =>
        {
            Some(former)
        }
        Some(_) => Some(counted),
    }
}

/// All versions together, the retired ones as well.
pub(crate) fn by_process(counts: Vec<IncidentCount>) -> Counts {
    let mut sums = Counts::new();
    for count in counts {
        *sums.entry(count.process_id).or_default() += count.open;
    }
    sums
}

#[cfg(test)]
mod tests;
