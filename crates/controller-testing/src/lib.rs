//! What the tests of every controller share: the same world in memory, the same crash test over it, and the same ground on a
//! real API server.
//!
//! - [`World`]: a Kubernetes API in memory, the objects of one kind, and passes over them when a test says so. A controller's
//!   tests implement it for a struct of their own, which holds what else the kind needs: engines, a database.
//! - [`crash`]: stops a controller before and after each of its writes.
//! - [`real`]: a test's own namespace on a real API server, with a running cluster in it.
//! - [`permissions`]: exactly the rights that a controller's document names.
//! - [`running`]: a controller with its watches, in the process of the test.
//!
//! This crate is for tests and does not ship.
#![deny(missing_docs)]
#![allow(
    async_fn_in_trait,
    clippy::missing_panics_doc,
    clippy::panic,
    reason = "tests only: a panic is a failed test"
)]

pub mod caches;
pub mod crash;
pub mod permissions;
pub mod real;
pub mod running;
mod world;

pub use world::{ObjectOf, World};
