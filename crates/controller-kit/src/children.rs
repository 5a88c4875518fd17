//! The child objects of an owner. A controller has one module per child, which says how the child is named, when it is
//! wanted and how it is built ([`Child`]), and one list of all of them ([`ChildSet::LIST`]). From that list come the
//! watches and caches ([`watch_children`]), the live children of one owner ([`observe_children`]) and the plan for them
//! ([`plan_children`]).
//!
//! A child is controlled by its owner: it has an owner reference to it. An object of a child's name without that
//! reference is never changed and never deleted. Objects whose content is not built from the spec, such as Secrets with
//! generated keys, and objects of which an owner has any number, such as Jobs and pods, are no children in this sense.

use std::any::TypeId;
use std::fmt::{self, Debug};

use k8s_openapi::NamespaceResourceScope;
use kube::{Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::plan::ChildVerdict;

mod caches;
mod erased;
mod live;

pub use caches::{ChildCaches, watch_children, watched_resources};
pub use erased::AnyChild;
pub use live::{LiveChildren, ReadError, observe_children};

/// All children of one kind of owner.
pub trait ChildSet: Sized + 'static {
    /// Who controls them.
    type Owner: Resource<DynamicType = ()> + Clone + Send + Sync + 'static;
    /// What the children are built from.
    type Input<'a>;

    /// Every child, in the order in which they are made.
    const LIST: &'static [&'static dyn AnyChild<Self>];
}

/// How the live object is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// In the cache of a watch on the operator's `managed-by` label. A wanted child that is not there is read by name:
    /// a foreign object without the label may have that name, or the child was created a moment ago.
    Watched,
    /// Always by name, so that no right to list the kind is needed: Secrets, Roles, RoleBindings.
    ByName,
}

/// What a child can be: a namespaced kind.
pub trait ChildObject:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + DeserializeOwned
    + Serialize
    + Send
    + Sync
    + 'static
{
}

impl<K> ChildObject for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Serialize
        + Send
        + Sync
        + 'static
{
}

/// The owner of a child.
pub type OwnerOf<C> = <<C as Child>::Set as ChildSet>::Owner;
/// What a child is built from.
pub type InputOf<'a, C> = <<C as Child>::Set as ChildSet>::Input<'a>;

/// One child of an owner.
pub trait Child: Send + Sync + 'static {
    /// The set that it belongs to.
    type Set: ChildSet;
    /// Its kind.
    type Object: ChildObject;

    /// How the live object is found.
    const LOOKUP: Lookup = Lookup::Watched;

    /// Distinguishes the children of one type.
    fn part(&self) -> &'static str {
        ""
    }

    /// Name of the object.
    fn name(&self, owner: &OwnerOf<Self>) -> String
    where
        Self: Sized;

    /// Does the spec of the owner ask for it? A live child that is not wanted is deleted.
    fn is_wanted(&self, _owner: &OwnerOf<Self>) -> bool
    where
        Self: Sized,
    {
        true
    }

    /// Does everything else that is known allow it? A live child that is not allowed is deleted, too.
    fn is_allowed(&self, _input: &InputOf<'_, Self>) -> bool
    where
        Self: Sized,
    {
        true
    }

    /// The desired object, with a reference to its owner. `None` while it cannot be built: then the live object is not
    /// changed.
    fn build(&self, input: &InputOf<'_, Self>, live: Option<&Self::Object>) -> Option<Self::Object>
    where
        Self: Sized;

    /// Fields that others may set by design: taking one over is no conflict.
    fn shared_fields(
        &self,
        _input: &InputOf<'_, Self>,
        _live: Option<&Self::Object>,
    ) -> &'static [&'static str]
    where
        Self: Sized,
    {
        &[]
    }

    /// Was it built from values of `live`? Then it is applied only to that version: a write of somebody else in
    /// between is a conflict, and the next pass reads it.
    fn needs_live_version(&self, _input: &InputOf<'_, Self>, _live: &Self::Object) -> bool
    where
        Self: Sized,
    {
        false
    }

    /// The part of a watched child whose change begins a pass of its owner.
    fn trigger(&self, object: &Self::Object) -> Value {
        json!(object.resource_version())
    }
}

/// Which child of a set.
#[derive(Clone, Copy)]
pub struct ChildId {
    type_id: TypeId,
    type_name: &'static str,
    part: &'static str,
}

impl ChildId {
    /// The id of `child`.
    #[must_use]
    pub fn of<C: Child>(child: &C) -> Self {
        Self { type_id: TypeId::of::<C>(), type_name: std::any::type_name::<C>(), part: child.part() }
    }
}

impl PartialEq for ChildId {
    fn eq(&self, other: &Self) -> bool {
        (self.type_id, self.part) == (other.type_id, other.part)
    }
}

impl Eq for ChildId {}

impl fmt::Debug for ChildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.type_name, self.part)
    }
}

/// Compares every child of `owner` with what exists, in the order of the list.
pub fn plan_children<'a, S: ChildSet>(
    owner: &'a S::Owner,
    input: &'a S::Input<'_>,
    live: &'a LiveChildren<S>,
) -> impl Iterator<Item = (&'static dyn AnyChild<S>, ChildVerdict)> + 'a {
    S::LIST.iter().map(move |child| (*child, child.plan(owner, input, live)))
}

#[cfg(test)]
mod tests;
