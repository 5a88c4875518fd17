//! The engine's gRPC API in domain terms.
//!
//! Owns the contract (`proto/workflow/engine/v1`), its domain types and the error classes that decide what a caller
//! does next. It never talks to Kubernetes and never decides anything: it carries.
#![deny(missing_docs)]

/// The generated messages, clients and servers of `workflow.engine.v1`.
///
/// Only [`convert`](crate) and the engine itself name these types; everybody else uses the domain types.
#[allow(missing_docs, clippy::all, clippy::pedantic)]
pub mod proto {
    tonic::include_proto!("workflow.engine.v1");
}
