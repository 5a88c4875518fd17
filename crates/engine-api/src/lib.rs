//! The engine's contract: what `workflow.engine.v1` says, for both ends of the wire.
//!
//! Owns the messages (`proto/workflow/engine/v1`), the same in plain Rust ([`model`]), the conversions between the two, the
//! tokens, the refusals and the version policy. It opens no connection and listens on no port: callers use `engine-client`,
//! `workflow-engine` serves it.
#![deny(missing_docs)]

mod address;
pub mod convert;
mod credential;
mod error;
pub mod model;
pub mod refusal;
mod request_id;
pub mod version_policy;

/// The generated messages of `workflow.engine.v1`; with the features `client` and `server` also their stubs.
///
/// Only the two edges (the client, the engine's gRPC and JSON services) name these types; everybody else uses [`model`].
#[allow(missing_docs, clippy::all, clippy::pedantic)]
pub mod proto {
    tonic::include_proto!("workflow.engine.v1");

    /// The contract as a `google.protobuf.FileDescriptorSet`, for reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] =
        include_bytes!(concat!(env!("OUT_DIR"), "/workflow.engine.v1.binpb"));
}

pub use address::{EngineAccess, EngineAddress, EngineTls, join_host_port};
pub use credential::{
    Accepted, CLIENT_KEY, CONTROLLER_TOKEN, CURRENT, Credential, CredentialError, CredentialVerifier,
    MONITOR_TOKEN, NEXT, PREVIOUS, Role, TenantEpoch, TenantKey, TokenRole, WORKER_KEY,
};
pub use error::ErrorClass;
pub use request_id::request_id;

/// Metadata that names a controller of which only one replica may write.
pub const WRITER_HEADER: &str = "workflow-writer";
/// Metadata with a number that grows with every change of the writing replica.
pub const FENCE_HEADER: &str = "workflow-fence";
