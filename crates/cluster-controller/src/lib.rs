//! Reconciles WorkflowCluster: an engine on an existing Postgres, its schema, its pods, its Services, its certificates
//! and credentials.
//!
//! It owns the status of WorkflowClusters and the children that carry their uid as controller, and it is the only one
//! that reads a database's password. It never writes to the database (the migration Job of the engine's own image
//! does), never drops one, and never adopts or overwrites an object that belongs to somebody else.
//!
//! One pass is [`controller`]: [`observe`](mod@observe) (all reads) → [`validate`](mod@validate) → [`plan`](mod@plan)
//! (pure) → [`execute`](mod@execute) (all writes) → [`status`] (pure). A cluster that is deleted stays until the
//! tenants and processes that are deleted with it are cleaned up ([`cleanup`]); its children go with it, and the database
//! is never touched.

pub mod args;
pub mod certificate;
pub mod cleanup;
pub mod context;
pub mod controller;
pub mod execute;
pub mod observe;
pub mod plan;
pub mod proof;
pub mod status;
pub mod validate;

#[cfg(test)]
mod testing;
