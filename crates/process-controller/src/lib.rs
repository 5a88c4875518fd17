//! Reconciles WorkflowProcess: reads its BPMN, lints it, deploys it to the engine of its cluster and keeps it deployed.
//!
//! It owns the status and the finalizer of WorkflowProcesses and the definitions that carry their uid in the engine. It
//! writes no other Kubernetes object, reads no Secret but an engine's credentials and those of a git repository, and never touches definitions that it
//! does not own.
//!
//! The pass is the kit's; [`kind`] names the room for each part of it: [`validate`] → [`observe`] → [`plan`] →
//! [`execute`] → [`status`]. Documents come from a [`source`] and are linted in [`document`]. For a process that is being
//! deleted, [`cleanup`] makes the plan. [`change`] compares a new version with the one before it. [`controller`] has the watches,
//! [`dependencies`] says which changes elsewhere begin a pass. Beside the passes, [`survey`] asks engines about all processes
//! of a tenant at once: [`incidents`], and whether what was deployed is still there.

pub mod args;
pub mod change;
pub mod cleanup;
pub mod context;
pub mod controller;
pub mod dependencies;
pub mod document;
pub mod error;
pub mod execute;
pub mod incidents;
pub mod kind;
pub mod observe;
pub mod plan;
pub mod source;
pub mod status;
pub mod survey;
pub mod tenancy;
pub mod validate;

#[cfg(test)]
mod testing;
