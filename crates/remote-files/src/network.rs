//! Which addresses may be called, and the client that calls no other.

mod addresses;
mod client;

pub use addresses::{AddressPolicy, Range};
pub use client::{Client, Endpoint, Response, TrustedCertificates};
