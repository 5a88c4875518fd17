//! Reconciles WorkflowWorker: runs a fleet of job workers as a Deployment, gives it access to the engine of its cluster
//! and an autoscaler that follows the lag of its job types.
//!
//! It owns the status of WorkflowWorkers and, for each, a Deployment, a HorizontalPodAutoscaler, a PodDisruptionBudget
//! and the Secret with the fleet's token. All of them are controlled by the WorkflowWorker, so the garbage collector
//! deletes them after it, and it needs no finalizer. It never calls an engine, never adopts an object that it did not
//! make, and never writes the number of pods while an autoscaler owns it.
//!
//! The pass is the kit's; [`kind`] names the room for each part of it: [`validate`] → [`observe`] → [`plan`] → [`status`].
//! All of its steps are those that every kind has; what they make is in [`children`], one module each. [`controller`] has the watches.

pub mod args;
pub mod children;
pub mod context;
pub mod controller;
pub mod kind;
pub mod observe;
pub mod plan;
pub mod status;
pub mod validate;

#[cfg(test)]
mod testing;
