//! What a backup is: the names of its objects, its manifest, the digests of rows, and the reports with which the backup
//! agent answers. The agent writes them, a controller reads them; both share this crate.
//!
//! Owns: format 1 of backups, and the closed list of reasons why the agent fails.
//! Never does: input or output. It depends on no database, no storage and no Kubernetes.
#![deny(missing_docs)]

mod destination;
mod digest;
mod id;
mod manifest;
mod physical;
mod report;

pub use destination::{Destination, DestinationError, MANIFEST_NAME, new_part_name};
pub use digest::RowDigest;
pub use id::{BackupId, BackupIdError};
pub use manifest::{
    Encryption, FORMAT, Manifest, ManifestError, Part, Rows, SCHEME_AGE, Totals, difference, overall_digest,
};
pub use physical::{MAX_SERVER_CHARS, PhysicalId, PhysicalIdError};
pub use report::{
    BackupReport, BaseReport, DeleteReport, DrillReport, Failure, MAX_RESULT_BYTES, Outcome, Reason,
    RestoreReport, VerifyReport,
};

/// Tables of the engine's schema whose rows are about running processes. A backup has the tables without their rows:
/// after a restore the nodes are others, and the fences of another installation's controllers would lock out the new ones.
pub const VOLATILE_TABLES: [&str; 2] = ["node", "writer"];

/// Tables in the engine's schema that belong to the operator. They say whose this database is, so no backup has them.
pub const OPERATOR_TABLES: [&str; 3] = ["database_claim", RESTORED_TABLE, RESTORE_BEGUN_TABLE];

/// The table whose one row says that a restore is complete, and of which backup. An engine may start only then.
pub const RESTORED_TABLE: &str = "restored";

/// The table whose one row says that a restore was begun and is not complete.
pub const RESTORE_BEGUN_TABLE: &str = "restore_begun";
