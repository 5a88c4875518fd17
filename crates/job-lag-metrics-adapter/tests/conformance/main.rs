//! The conformance list of the External Metrics API, point by point, over real TLS against a server in this process.
//! The Kubernetes API and the engines are scripted; the points that need the real ones are in `control_plane.rs`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says by panicking that it failed, also in its helpers"
)]

mod auth;
mod discovery;
mod harness;
mod lifecycle;
mod metric;
mod pki;
mod scripted;
