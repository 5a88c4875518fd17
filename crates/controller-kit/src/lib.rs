//! What any operator could use: the process around a reconciler, and the vocabulary of one pass.
//!
//! - The process: [`args`], [`run`], [`telemetry`], [`admin`], [`metrics`], [`client`], [`lease`], [`watch`], [`clock`].
//! - A controller: [`builder`] puts it together, [`controller`] runs its queue, [`pass`] is the order of one pass.
//! - The vocabulary of a pass: [`problem`], [`plan`], [`children`], [`apply`], [`assessment`], [`condition`], [`status`],
//!   [`events`], [`outcome`], [`message`], [`optional_kind`], [`pod_creation`],
//!   [`restricted`].
//!
//! It knows no kind and no engine. Of `api-types` it takes only the words of conditions, reasons and labels.
#![deny(missing_docs)]

pub mod admin;
pub mod apply;
pub mod args;
pub mod assessment;
pub mod builder;
pub mod children;
pub mod client;
pub mod clock;
pub mod condition;
pub mod controller;
pub mod events;
pub mod lease;
pub mod message;
pub mod metrics;
pub mod optional_kind;
pub mod outcome;
pub mod pass;
pub mod plan;
pub mod pod_creation;
pub mod problem;
pub mod restricted;
pub mod run;
pub mod status;
pub mod telemetry;
pub mod watch;

pub use run::{Service, run};
