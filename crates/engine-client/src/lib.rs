//! The engine's gRPC API in domain terms.
//!
//! Owns the contract (`proto/workflow/engine/v1`), its domain types, the tokens that open it and the error classes that
//! decide what a caller does next. It never talks to Kubernetes and never decides anything: it carries.
#![deny(missing_docs)]

mod address;
mod client;
mod convert;
mod credential;
mod engine;
mod error;
#[cfg(feature = "fake")]
pub mod fake;
pub mod model;
mod pool;
pub mod refusal;
mod request_id;
pub mod version_policy;
mod writer;

/// The generated messages, clients and servers of `workflow.engine.v1`.
///
/// Only `convert` and the engine itself name these types; everybody else uses [`model`].
#[allow(missing_docs, clippy::all, clippy::pedantic)]
pub mod proto {
    tonic::include_proto!("workflow.engine.v1");

    /// The contract as a `google.protobuf.FileDescriptorSet`, for reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] =
        include_bytes!(concat!(env!("OUT_DIR"), "/workflow.engine.v1.binpb"));
}

pub use address::{EngineAccess, EngineAddress, EngineTls, join_host_port};
pub use client::{EngineClient, JobStream, Timeouts};
pub use credential::{
    Accepted, CLIENT_KEY, CONTROLLER_TOKEN, CURRENT, Credential, CredentialError, CredentialVerifier,
    MONITOR_TOKEN, NEXT, PREVIOUS, Role, TenantEpoch, TenantKey, TokenRole, WORKER_KEY,
};
pub use engine::{Engine, EngineProvider, JobLagStream};
pub use error::{EngineError, ErrorClass, MAX_MESSAGE_CHARS, Operation};
pub use pool::EnginePool;
pub use request_id::request_id;
pub use writer::{FENCE_HEADER, ReadFence, WRITER_HEADER, Writer};
