//! The engine's gRPC API for those who call it.
//!
//! Owns the trait [`Engine`], connections and their pool, deadlines, repetitions and what a failed call means. The contract
//! itself is `engine-api`; what of it a caller needs is passed on here. It never talks to Kubernetes and never decides
//! anything: it carries.
#![deny(missing_docs)]

mod checked;
mod client;
mod engine;
mod error;
mod patience;
mod pool;
mod writer;

pub use checked::CheckedEngine;
pub use client::{EngineClient, JobStream, Timeouts};
pub use engine::{Engine, EngineProvider, JobLagStream};
pub use engine_api::{
    Accepted, Credential, CredentialError, CredentialVerifier, EngineAccess, EngineAddress, EngineTls,
    ErrorClass, Role, TenantEpoch, TenantKey, TokenRole, join_host_port, model, request_id, version_policy,
};
pub use error::{EngineError, MAX_MESSAGE_CHARS, Operation};
pub use patience::{reconnects, repetitions};
pub use pool::EnginePool;
pub use writer::{ReadFence, Writer};
