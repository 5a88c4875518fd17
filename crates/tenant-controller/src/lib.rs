//! Reconciles WorkflowTenant: keeps the tenant, its quotas and its suspension in the engine of its cluster, and reads
//! back what it uses.
//!
//! It owns the status and the finalizer of WorkflowTenants, the tenants that carry their uid in the engine, and the Secret
//! `<tenant>-client` of applications in the namespaces that a tenant is granted to. It never touches a tenant or a Secret that
//! it does not own, and reads of others no Secret but an engine's credentials.
//!
//! The pass is the kit's; [`kind`] names the room for each part of it: [`validate`] → [`observe`] → [`plan`] →
//! [`execute`] → [`status`]. For a tenant that is being deleted, [`cleanup`] makes the plan. [`controller`] has the watches.

pub mod args;
pub mod cleanup;
pub mod client_checks;
pub mod context;
pub mod controller;
pub mod error;
pub mod execute;
pub mod kind;
pub mod listing;
pub mod observe;
pub mod plan;
pub mod status;
pub mod validate;

#[cfg(test)]
mod testing;
