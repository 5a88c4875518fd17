//! What the tests of this workspace use: apiservers from scripted to real, a real PostgreSQL, faults between a client
//! and its server, and waits that report why they failed.
//!
//! Use the first of these that can show the error:
//!
//! 1. no server at all: plan, validate and status are pure, compare whole values;
//! 2. [`mock_apiserver`] for one `execute` step: which calls, in which order, and what each refusal leads to;
//! 3. [`fake_apiserver`] for a whole reconcile run to convergence, and with [`crash`] for a process that is killed
//!    between any two writes;
//! 4. [`apiserver`] and [`postgres`], the real ones, for what only they decide: CRD rules, field ownership, RBAC,
//!    garbage collection, SQL.
//!
//! [`builders`] make objects of the four kinds, [`wait`] waits and reports why it failed.
//!
//! This crate is never part of a release: no binary depends on it outside `[dev-dependencies]`. It has no expectations
//! about the controllers: these are in their tests.
#![allow(
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "failing the test is this crate's way to report an error"
)]
#![deny(missing_docs)]

pub mod apiserver;
pub mod builders;
pub mod certificates;
pub mod crash;
pub mod documents;
pub mod fake_apiserver;
pub mod faulty;
mod gate;
pub mod git_server;
mod guarded;
pub mod mock_apiserver;
pub mod postgres;
pub mod reply;
pub mod request;
pub mod snapshot;
pub mod variation;
pub mod wait;

pub use apiserver::TestApiServer;
pub use fake_apiserver::FakeApiServer;
pub use faulty::Faults;
pub use mock_apiserver::MockApiServer;
pub use postgres::TestPostgres;
