//! Applies that change nothing, though the live object differs from what is wanted: a field that this API server does not
//! store (its feature is off, or newer), or one that an admission webhook writes anew each time. Repeating them would cost
//! a write in every pass, for ever.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use kube::ResourceExt as _;
use kube::api::DynamicObject;

use crate::plan::Desired;

/// The last apply of each object that changed nothing. A new process does not know it, which costs one more write.
#[derive(Clone, Debug, Default)]
pub(super) struct IneffectiveApplies(Arc<Mutex<HashMap<String, Attempt>>>);

#[derive(Debug, PartialEq, Eq)]
struct Attempt {
    /// What was wanted.
    desired: String,
    /// What was there, before and after.
    live: String,
}

impl IneffectiveApplies {
    /// Was the same applied to the same object, and changed nothing?
    pub(super) fn is_known(&self, desired: &Desired) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let attempt = attempt(desired);
        attempt.is_some() && known.get(&desired.display()) == attempt.as_ref()
    }

    /// `written` is the answer to an apply of `desired`.
    pub(super) fn note(&self, desired: &Desired, written: &DynamicObject) {
        let (Some(attempt), Some(over)) = (attempt(desired), &desired.over) else { return };
        // The API server gives no new version to an object that stays as it is.
        let is_unchanged = over.version.is_some() && over.version == written.resource_version();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if is_unchanged {
            known.insert(desired.display(), attempt);
        } else {
            known.remove(&desired.display());
        }
    }
}

fn attempt(desired: &Desired) -> Option<Attempt> {
    let live = desired.over.as_ref()?.digest.clone();
    Some(Attempt { desired: desired.hash().to_string(), live })
}
