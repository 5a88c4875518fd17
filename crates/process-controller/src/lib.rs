//! Reconciles WorkflowProcess: reads its BPMN, lints it, deploys it to the engine of its cluster and keeps it deployed.
//!
//! It owns the status and the finalizer of WorkflowProcesses and the definitions that carry their uid in the engine. It
//! writes no other Kubernetes object, reads no Secret but an engine's credentials, and never touches definitions that it
//! does not own.
//!
//! One pass is [`controller`]: [`observe`] (all reads) → [`validate`] → [`plan`] (pure) → [`execute`] (all writes) →
//! [`status`] (pure). A deletion takes the same way with [`cleanup`] in the place of the plan. [`wakening`] says which
//! changes elsewhere begin one. Beside the passes, [`incidents`] asks engines how many incidents are open.

pub mod args;
pub mod cleanup;
pub mod context;
pub mod controller;
pub mod execute;
pub mod incidents;
pub mod observe;
pub mod plan;
pub mod status;
pub mod tenancy;
pub mod validate;
pub mod wakening;

#[cfg(test)]
mod testing;
