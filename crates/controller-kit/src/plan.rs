//! The parts of a plan that concern Kubernetes objects. Everything here is pure.

use std::fmt;
use std::time::Duration;

use api_types::labels::APPLIED_HASH;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{ApiResource, ObjectMeta};
use kube::{Resource, ResourceExt as _};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

mod converged;

pub use converged::is_subset;

/// One write of a plan. `S` are the kind's own steps.
#[derive(Clone, Debug, PartialEq)]
pub enum Step<S> {
    /// Adds the finalizer, before anything is made outside of Kubernetes: then it is always cleaned up.
    AddFinalizer {
        /// Key and value of an annotation that is written with it: there is never one without the other.
        annotation: Option<(&'static str, String)>,
    },
    /// Applies a child.
    Apply(Desired),
    /// Deletes a child that is no longer wanted.
    Delete(Deletion),
    /// A step of the kind's own.
    Own(S),
    /// Removes the finalizer, after which the object is deleted. No step can follow.
    RemoveFinalizer,
}

/// What is to be done, in order, and what is awaited after it. An empty plan without a wait means: converged.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan<S, R> {
    /// Executed in order; the first failure ends the pass. At most one of them cannot be undone.
    pub steps: Vec<S>,
    /// Why the pass ends before the spec is reached.
    pub wait: Option<Wait<R>>,
}

impl<S, R> Plan<S, R> {
    /// Nothing to do.
    #[must_use]
    pub const fn converged() -> Self {
        Self { steps: Vec::new(), wait: None }
    }
}

impl<S, R> AsRef<[S]> for Plan<S, R> {
    fn as_ref(&self) -> &[S] {
        &self.steps
    }
}

/// Waiting is a value, not an error.
#[derive(Clone, Debug, PartialEq)]
pub struct Wait<R> {
    /// What is awaited, as a reason of the kind.
    pub reason: R,
    /// The reason in words, for people.
    pub message: String,
    /// Time to the next look, if no change begins a pass before.
    pub recheck: Duration,
}

/// A desired object: only the fields that the controller decides.
#[derive(Clone)]
pub struct Desired {
    /// Kind and path.
    pub resource: ApiResource,
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// The whole body, with the hash annotation.
    pub body: Value,
    /// Fields that others may set by design, as an autoscaler sets `.spec.replicas`: taking one over is no conflict.
    pub shared: &'static [&'static str],
    /// The live object that it is applied to; `None` if there is none.
    pub(crate) live: Option<Box<LiveObject>>,
}

/// A live object, as far as an apply can change it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LiveObject {
    /// Its `metadata.resourceVersion`.
    pub(crate) version: Option<String>,
    /// Digest of all but its status, `resourceVersion` and `managedFields`.
    pub(crate) digest: String,
}

impl LiveObject {
    fn of(mut live: Value) -> Self {
        let version = live["metadata"]["resourceVersion"].as_str().map(str::to_owned);
        for (part, field) in
            [("/metadata", "resourceVersion"), ("/metadata", "managedFields"), ("", "status")]
        {
            if let Some(fields) = live.pointer_mut(part).and_then(Value::as_object_mut) {
                fields.remove(field);
            }
        }
        Self { version, digest: digest(&live) }
    }
}

/// Equal when the same is to be applied; `shared` and `live` do not count.
impl PartialEq for Desired {
    fn eq(&self, other: &Self) -> bool {
        self.resource == other.resource
            && self.namespace == other.namespace
            && self.name == other.name
            && self.body == other.body
    }
}

impl Desired {
    /// From a typed, namespaced object. The hash of the body is kept as an annotation on it: it shows when a field
    /// was *removed* from the desired object, which a comparison with the live object cannot show.
    ///
    /// # Panics
    /// Never for the types of `k8s-openapi`: their keys are strings.
    #[must_use]
    pub fn of<K>(object: &K) -> Self
    where
        K: Resource<DynamicType = ()> + Serialize,
    {
        let mut body =
            serde_json::to_value(object).expect("should serialise: Kubernetes types have string keys only");
        body["apiVersion"] = json!(K::api_version(&()));
        body["kind"] = json!(K::kind(&()));
        let hash = digest(&body);
        body["metadata"]["annotations"][APPLIED_HASH] = json!(hash);
        Self {
            resource: ApiResource::erase::<K>(&()),
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
            body,
            shared: &[],
            live: None,
        }
    }

    /// The digest of the body, from the annotation.
    pub(crate) fn digest(&self) -> &str {
        self.hash().as_str().unwrap_or_default()
    }

    pub(crate) fn hash(&self) -> &Value {
        &self.body["metadata"]["annotations"][APPLIED_HASH]
    }

    /// Is it of this kind?
    #[must_use]
    pub fn is_a<K: Resource<DynamicType = ()>>(&self) -> bool {
        self.resource == ApiResource::erase::<K>(&())
    }

    /// `Kind namespace/name`, for messages.
    #[must_use]
    pub fn display(&self) -> String {
        format!("{} {}/{}", self.resource.kind, self.namespace, self.name)
    }
}

/// Bodies of Secrets never reach a log.
impl fmt::Debug for Desired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Desired");
        shown.field("object", &self.display());
        if self.is_a::<Secret>() {
            shown.finish_non_exhaustive()
        } else {
            shown.field("body", &self.body).finish()
        }
    }
}

/// First 16 hex digits of the SHA-256 of the canonical text (keys are sorted).
#[must_use]
pub fn digest(value: &Value) -> String {
    format!("{:x}", Sha256::digest(value.to_string()))[..16].to_owned()
}

/// Verdict on one child object.
#[derive(Clone, Debug, PartialEq)]
pub enum ChildVerdict {
    /// The live object has every field as desired.
    Converged,
    /// It is missing, differs, or was applied from another desired object.
    Apply(Desired),
    /// The owner controls it, and it is no longer wanted.
    Delete(Deletion),
    /// An object of that name belongs to somebody else; it is never adopted or overwritten.
    NameTaken {
        /// `Kind namespace/name`.
        object: String,
    },
}

/// Compares `desired` with the live object, which must be controlled by `owner_uid`.
///
/// # Panics
/// Never for the types of `k8s-openapi`: their keys are strings.
pub fn plan_child<K: Resource + Serialize>(
    owner_uid: &str,
    desired: Desired,
    live: Option<&K>,
) -> ChildVerdict {
    let Some(live) = live else { return ChildVerdict::Apply(desired) };
    if !is_controlled_by(live.meta(), owner_uid) {
        return ChildVerdict::NameTaken { object: desired.display() };
    }
    let live = serde_json::to_value(live).expect("should serialise: Kubernetes types have string keys only");
    if holds(&desired, &live) {
        ChildVerdict::Converged
    } else {
        ChildVerdict::Apply(Desired { live: Some(Box::new(LiveObject::of(live))), ..desired })
    }
}

/// Deletes a live object that the owner controls, unless its deletion has begun. An object of somebody else is left
/// alone.
pub fn plan_removal<K: Resource<DynamicType = ()>>(owner_uid: &str, live: Option<&K>) -> ChildVerdict {
    let is_controlled = |live: &&K| is_controlled_by(live.meta(), owner_uid);
    live.filter(is_controlled)
        .filter(|live| live.meta().deletion_timestamp.is_none())
        .map_or(ChildVerdict::Converged, |live| ChildVerdict::Delete(Deletion::of(live)))
}

/// Has the live object every field as desired, and was it applied from the same desired object?
///
/// # Panics
/// Never for the types of `k8s-openapi`: their keys are strings.
pub fn is_converged<K: Serialize>(desired: &Desired, live: &K) -> bool {
    let live = serde_json::to_value(live).expect("should serialise: Kubernetes types have string keys only");
    holds(desired, &live)
}

fn holds(desired: &Desired, live: &Value) -> bool {
    let same_desired = &live["metadata"]["annotations"][APPLIED_HASH] == desired.hash();
    same_desired && is_subset(&without_type(&desired.body), live)
}

/// Objects from a list have no `apiVersion` and no `kind`.
fn without_type(body: &Value) -> Value {
    let mut body = body.clone();
    if let Some(fields) = body.as_object_mut() {
        fields.remove("apiVersion");
        fields.remove("kind");
    }
    body
}

/// Is `uid` the controlling owner?
#[must_use]
pub fn is_controlled_by(meta: &ObjectMeta, uid: &str) -> bool {
    meta.owner_references.iter().flatten().any(|owner| owner.controller == Some(true) && owner.uid == uid)
}

/// The reference that makes `owner` the controller of a child.
pub fn build_owner_reference<K: Resource<DynamicType = ()>>(owner: &K) -> OwnerReference {
    OwnerReference {
        api_version: K::api_version(&()).into_owned(),
        kind: K::kind(&()).into_owned(),
        name: owner.name_any(),
        uid: owner.uid().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// An object that shall be deleted. The uid ensures that it is the one that was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Deletion {
    /// Kind and path.
    pub resource: ApiResource,
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// The uid that was seen.
    pub uid: String,
}

impl Deletion {
    /// From a live object.
    pub fn of<K: Resource<DynamicType = ()>>(live: &K) -> Self {
        Self {
            resource: ApiResource::erase::<K>(&()),
            namespace: live.namespace().unwrap_or_default(),
            name: live.name_any(),
            uid: live.uid().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests;
