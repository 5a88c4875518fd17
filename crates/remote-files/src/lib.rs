//! Single files from untrusted hosts.
//!
//! The application team names the host, so everything that comes from it is bounded: addresses, bytes, objects, time. Nothing is
//! ever checked out or executed, no file of this machine is read, and what a host answers never reaches a status: an [`Error`]
//! has words of our own.
//!
//! - [`archive`] reads a file of a `tar.gz` whose digest is known.
//! - [`network`] decides which addresses may be called, and calls them.
//! - [`contained`] keeps a panic of a reader to itself.
//! - [`git`] reads a file of a commit from a repository.

pub mod archive;
pub mod contained;
pub mod error;
pub mod git;
pub mod network;

pub use error::{Error, ErrorKind};
