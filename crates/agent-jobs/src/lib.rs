//! Jobs of the backup agent: what its pods look like, what they mount, and where they find a backup. Whose a Job is, and when it
//! is made, is decided by the controllers: backups, drills and deletions by the backup-controller, restores by the
//! cluster-controller.
//!
//! Never does: talk to an API server. Everything here is pure.
#![deny(missing_docs)]

pub mod destination;
pub mod pod;
pub mod volumes;
