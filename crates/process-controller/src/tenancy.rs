//! Whose the definitions of an object are. Pure.
//!
//! An object that names no tenant belongs to the one that its Namespace is labelled with, and that label can change. What is
//! deployed does not move with it: the tenant of the first deployment is noted on the object, with the finalizer, and the
//! object stands still while it would belong to another one.

use api_types::WorkflowProcess;
use api_types::labels::{DEPLOYED_FOR, TENANT};
use engine_access::reference::meant_tenant_id;
use kube::ResourceExt as _;

/// Tenants of an object, as ids in the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenancy {
    /// The tenant that it belongs to now.
    belongs_to: String,
    /// The tenant that its definitions were deployed for, if it names none and anything was deployed.
    deployed_for: Option<String>,
}

impl Tenancy {
    /// `label` is the tenant that the Namespace is labelled with.
    #[must_use]
    pub fn of(process: &WorkflowProcess, label: Option<&str>) -> Self {
        let named = process.spec.tenant_ref.as_ref();
        let noted = process.annotations().get(DEPLOYED_FOR).filter(|_| named.is_none());
        Self { belongs_to: meant_tenant_id(named, label), deployed_for: noted.cloned() }
    }

    /// The tenant whose definitions this object manages.
    #[must_use]
    pub fn id(&self) -> &str {
        self.deployed_for.as_deref().unwrap_or(&self.belongs_to)
    }

    /// What has to be noted before anything is deployed.
    #[must_use]
    pub fn to_note(&self, process: &WorkflowProcess) -> Option<String> {
        let is_missing = process.spec.tenant_ref.is_none() && self.deployed_for.is_none();
        is_missing.then(|| self.belongs_to.clone())
    }

    /// Why nothing is deployed: what runs is another tenant's.
    #[must_use]
    pub fn conflict(&self) -> Option<String> {
        let former = self.deployed_for.as_ref().filter(|former| **former != self.belongs_to)?;
        Some(format!(
            "deployed for tenant {former}, where it stays; by label {TENANT} of this Namespace it would now belong to tenant {}: set the label back, or delete this object and apply it again",
            self.belongs_to
        ))
    }
}

#[cfg(test)]
mod tests;
