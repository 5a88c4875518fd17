//! Applies that change nothing, although the live object differs from the desired one: the API server does not store a
//! field (its feature gate is off, or the field is newer than the server), or an admission webhook sets it back each
//! time. Repeating them would cost a write in every pass, for ever.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use kube::ResourceExt as _;
use kube::api::DynamicObject;

use crate::plan::Desired;

/// The last apply of each object that changed nothing. Kept in memory: after a restart each costs one more write.
#[derive(Clone, Debug, Default)]
pub(super) struct IneffectiveApplies(Arc<Mutex<HashMap<String, Attempt>>>);

#[derive(Debug, PartialEq, Eq)]
struct Attempt {
    /// Digest of the desired object.
    desired: String,
    /// Digest of the live object, the same before and after.
    live: String,
}

impl IneffectiveApplies {
    /// Was the same desired object applied to the same live object, and changed nothing?
    pub(super) fn is_known(&self, desired: &Desired) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let attempt = attempt(desired);
        attempt.is_some() && known.get(&desired.display()) == attempt.as_ref()
    }

    /// `written` is the answer to an apply of `desired`.
    pub(super) fn note(&self, desired: &Desired, written: &DynamicObject) {
        let (Some(attempt), Some(live)) = (attempt(desired), &desired.live) else { return };
        // The API server gives no new resourceVersion to an object that does not change.
        let is_unchanged = live.version.is_some() && live.version == written.resource_version();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if is_unchanged {
            known.insert(desired.display(), attempt);
        } else {
            known.remove(&desired.display());
        }
    }
}

fn attempt(desired: &Desired) -> Option<Attempt> {
    let live = desired.live.as_ref()?.digest.clone();
    Some(Attempt { desired: desired.hash().to_string(), live })
}
