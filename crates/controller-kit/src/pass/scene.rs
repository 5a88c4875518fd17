//! The input of the stages of a pass that follow the reads.

use jiff::Timestamp;
use kube::Resource;

use super::Kind;
use crate::problem::Problem;

/// An object and what one pass has read for it.
pub struct Scene<'a, K: Kind> {
    /// The object.
    pub object: &'a K::Object,
    /// What validation made of its spec.
    pub spec: &'a Result<K::Spec, Problem<K::Reason>>,
    /// What was read.
    pub observed: &'a K::Observed,
    /// The time of the pass.
    pub now: Timestamp,
}

/// Has the deletion of this object begun?
#[must_use]
pub fn is_deleting<K: Resource>(object: &K) -> bool {
    object.meta().deletion_timestamp.is_some()
}
