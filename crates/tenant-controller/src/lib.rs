//! Reconciles WorkflowTenant: keeps the tenant, its quotas and its suspension in the engine of its cluster, and reads
//! back what it uses.
//!
//! It owns the status and the finalizer of WorkflowTenants, the tenants that carry their uid in the engine, and the Secret
//! `<tenant>-client` of applications in the namespaces that a tenant is granted to. It never touches a tenant or a Secret that
//! it does not own, and reads of others no Secret but an engine's credentials.
//!
//! One pass is [`controller`]: [`observe`] (all reads) → [`validate`] → [`plan`] (pure) → [`execute`] (all writes) →
//! [`status`] (pure). A deletion takes the same way with [`cleanup`] in the place of the plan.

pub mod args;
pub mod census;
pub mod cleanup;
pub mod context;
pub mod controller;
pub mod execute;
pub mod looks;
pub mod observe;
pub mod plan;
pub mod status;
pub mod validate;

#[cfg(test)]
mod testing;
