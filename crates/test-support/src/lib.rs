//! Everything a test of this workspace stands on: apiservers from scripted to real, a real PostgreSQL, faults
//! between a client and its server, and waits that explain themselves.
//!
//! Take the weakest that can fail:
//!
//! 1. no server at all: plan, validate and status are pure, compare whole values;
//! 2. [`mock_apiserver`] for one `execute` step: which calls, in which order, and what each refusal leads to;
//! 3. [`fake_apiserver`] for a whole reconcile run to convergence, and with [`crash`] for "killed between any two
//!    writes";
//! 4. [`apiserver`] and [`postgres`], the real ones, for what only they decide: CRD rules, field ownership, RBAC,
//!    garbage collection, SQL.
//!
//! [`builders`] make objects of our kinds, [`wait`] waits and explains itself.
//!
//! This crate never ships: no binary depends on it outside `[dev-dependencies]`. It expects nothing of the
//! controllers: that stays with their tests.
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
