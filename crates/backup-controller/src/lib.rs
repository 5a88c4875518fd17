//! Reconciles WorkflowBackup: each becomes a Job of the backup agent, which writes the backup to its destination. Another
//! Job deletes it there when the object is deleted. And by the spec of WorkflowClusters it makes WorkflowBackups: at their
//! times, before an upgrade and before a deletion; it deletes old ones, and has the newest one tried out.
//!
//! It owns the status and the finalizer of WorkflowBackups, and their Jobs, which are controlled by the WorkflowBackup. It
//! reads no Secret: Jobs mount them, and Kubernetes says when one is missing. It never calls an engine or a database.
//!
//! The pass over a WorkflowBackup is the kit's; [`kind`] names the room for each part of it: [`validate`] → [`observe`] →
//! [`plan`] → [`execute`] → [`status`]. [`cleanup`] is the plan of a deletion, [`outcome`] says what each answer of the agent
//! means, [`children`] builds the Jobs. [`schedule`] is
//! about WorkflowClusters: a pass over one has no status to write.

pub mod args;
pub mod children;
pub mod cleanup;
pub mod context;
pub mod controller;
pub mod execute;
pub mod kind;
pub mod observe;
pub mod outcome;
pub mod plan;
pub mod schedule;
pub mod status;
pub mod validate;

#[cfg(test)]
mod testing;
