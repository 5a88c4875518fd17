//! Reconciles WorkflowCluster: an engine, the Postgres that another operator makes for it or one that exists, its schema,
//! its pods, its Services, its certificates and credentials.
//!
//! It owns the status of WorkflowClusters and the children that carry their uid as controller, and it is the only one
//! that reads a database's password. It writes to the database nothing but whose it is ([`claim`]; migrations and restores
//! are Jobs), never drops one, and never adopts or overwrites an object that belongs to somebody else.
//!
//! The pass is the kit's; [`kind`] names the room for each part of it: [`validate`](mod@validate) →
//! [`observe`](mod@observe) → [`plan`](mod@plan) → [`execute`] → [`status`]. What a cluster consists of is in
//! [`children`], one module each, and who makes a managed Postgres in [`provider`](mod@provider); how its engine gets from
//! one version to the next is judged in [`upgrade`], how it begins with a backup in [`recovery`]. A cluster that is deleted stays until the
//! tenants and processes that are deleted with it are cleaned up ([`cleanup`]); its children go with it, and the database
//! is never touched. [`controller`] has the watches.

pub mod args;
pub mod certificate;
pub mod children;
pub mod claim;
pub mod cleanup;
pub mod context;
pub mod controller;
pub mod execute;
pub mod external;
pub mod installation;
pub mod kind;
pub mod observe;
pub mod plan;
pub mod proof;
pub mod provider;
pub mod recovery;
pub mod status;
pub mod upgrade;
pub mod validate;
pub mod versions;

#[cfg(test)]
mod testing;
