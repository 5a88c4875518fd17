//! What every controller of this repository shares: the process around a reconciler, and the vocabulary of one pass.
//!
//! - The process: [`args`], [`run`], [`telemetry`], [`admin`], [`metrics`], [`client`], [`lease`], [`watch`].
//! - The pass: [`controller`] calls a [`controller::Reconciler`]; [`plan`] says what is to be done, [`apply`] does it,
//!   [`children`] turns one module per child into watches, lookups and steps, [`condition`] and [`status`] tell the user,
//!   [`events`] tells the story, [`outcome`] says when to come back.
//! - The neighbours: [`reference`](mod@reference) resolves references and grants, [`concern`] says which of their changes
//!   matter, [`engine`] turns a WorkflowCluster into a connection,
//!   [`grant`] names the permission that is missing, [`pod_creation`] says why Kubernetes makes no pods.
//!
//! It knows no domain: no BPMN, no Postgres, no engine semantics.
#![deny(missing_docs)]

pub mod admin;
pub mod apply;
pub mod args;
pub mod assessment;
pub mod builder;
pub mod children;
pub mod client;
pub mod clock;
pub mod concern;
pub mod condition;
pub mod controller;
pub mod engine;
pub mod events;
pub mod grant;
pub mod lease;
pub mod message;
pub mod metrics;
pub mod outcome;
pub mod pass;
pub mod plan;
pub mod pod_creation;
pub mod problem;
pub mod reference;
pub mod run;
pub mod status;
pub mod telemetry;
pub mod watch;

pub use run::{Service, run};
