//! What the agent answers: one JSON document that fits into the termination message of a pod.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{BackupId, Totals};

/// The longest termination message that Kubernetes keeps.
pub const MAX_RESULT_BYTES: usize = 4096;
/// The longest message of a failure, in characters. A character is at most 4 bytes, or 6 when JSON escapes it.
const MAX_MESSAGE_CHARS: usize = 600;

/// The whole document: exactly one of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// `backup` succeeded.
    Backup(BackupReport),
    /// `inspect` succeeded.
    Base(BaseReport),
    /// `verify` succeeded.
    Verify(VerifyReport),
    /// `restore` succeeded.
    Restore(RestoreReport),
    /// `delete` succeeded.
    Delete(DeleteReport),
    /// `drill` succeeded.
    Drill(DrillReport),
    /// Whatever it was, it failed.
    Failure(Failure),
}

impl Outcome {
    /// The document, at most [`MAX_RESULT_BYTES`] long.
    #[must_use]
    pub fn to_json(&self) -> String {
        let written = serde_json::to_string(self).ok().filter(|json| json.len() <= MAX_RESULT_BYTES);
        written.unwrap_or_else(|| {
            // Cannot happen: every text in a report is bounded. If it does, a short answer is better than half a document.
            r#"{"failure":{"reason":"InternalError","message":"the report is too long"}}"#.to_owned()
        })
    }

    /// The exit code of the process: 0 = success, 1 = a failure that may end by itself, 2 = one that does not.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Failure(failure) if failure.reason.is_transient() => 1,
            Self::Failure(_) => 2,
            _ => 0,
        }
    }
}

/// A backup that exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupReport {
    /// Which.
    pub backup_id: BackupId,
    /// Its folder, as `s3://…` or `file://…`.
    pub location: String,
    /// Bytes of its parts, as stored.
    pub size_bytes: u64,
    /// When it began.
    pub started_at: Timestamp,
    /// The state that a restore goes back to.
    pub snapshot_at: Timestamp,
    /// When it was complete.
    pub completed_at: Timestamp,
    /// The engine's version when the backup was asked for.
    pub engine_version: String,
    /// The newest migration step of the schema.
    pub schema_version: i64,
    /// [`crate::overall_digest`].
    pub digest: String,
    /// How many there are of what a user knows.
    pub totals: Totals,
    /// It is encrypted.
    pub encrypted: bool,
    /// It existed already, with the same id and owner: nothing was dumped.
    pub existed: bool,
}

/// A base backup that is complete at its destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BaseReport {
    /// Which.
    pub backup_id: BackupId,
    /// Its folder, as `s3://…`.
    pub location: String,
    /// Bytes of its objects, without the WAL.
    pub size_bytes: u64,
    /// When it began.
    pub started_at: Timestamp,
    /// When it was complete: the first time that it can be restored to.
    pub completed_at: Timestamp,
    /// The engine's version when the backup was asked for.
    pub engine_version: String,
}

/// A backup that is whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifyReport {
    /// Which.
    pub backup_id: BackupId,
    /// Bytes of its parts, as stored.
    pub size_bytes: u64,
    /// [`crate::overall_digest`].
    pub digest: String,
    /// The rows were counted. False for an encrypted backup that was verified without its key: then only size and SHA-256
    /// of its parts were.
    pub rows_counted: bool,
}

/// A database that was restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreReport {
    /// From which backup.
    pub backup_id: BackupId,
    /// The `WorkflowCluster` of which the backup was made.
    pub source_owner: String,
    /// The state to which the database went back.
    pub snapshot_at: Timestamp,
    /// When the restore was complete.
    pub restored_at: Timestamp,
    /// Seconds it took.
    pub seconds: u64,
    /// The engine version of the backup.
    pub engine_version: String,
    /// The newest migration step of the restored schema.
    pub schema_version: i64,
    /// [`crate::overall_digest`], of the backup and of what was loaded; `None` for a base backup, which has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// How many there are of what a user knows.
    pub totals: Totals,
    /// Jobs that a worker held when the backup was made. They are given out again.
    pub leases_cleared: u64,
    /// The sequence `workflow.key_block` goes on after this value.
    pub key_block: i64,
}

/// A backup that does not exist any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeleteReport {
    /// Which.
    pub backup_id: BackupId,
    /// How many objects were deleted; 0 = there were none.
    pub deleted_objects: u64,
}

/// A backup of which a restore was tried, with success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DrillReport {
    /// Which.
    pub backup_id: BackupId,
    /// When the drill ended.
    pub drilled_at: Timestamp,
    /// Seconds from the first byte that was read to the last digest that was compared.
    pub seconds: u64,
    /// [`crate::overall_digest`], of the backup and of what was loaded.
    pub digest: String,
    /// How many there are of what a user knows.
    pub totals: Totals,
}

/// Why something failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase")]
#[error("{reason:?}: {message}")]
pub struct Failure {
    /// One of a closed list.
    pub reason: Reason,
    /// One sentence or two for the user, in our own words.
    pub message: String,
}

impl Failure {
    /// A failure with its message, which is cut when it is too long.
    #[must_use]
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        let mut message: String = message.into();
        if let Some((end, _)) = message.char_indices().nth(MAX_MESSAGE_CHARS) {
            message.truncate(end);
            message.push('…');
        }
        Self { reason, message }
    }
}

/// Why something failed: a closed list, so that a controller can give each its condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// The database gives no answer, or refuses the login.
    DatabaseUnreachable,
    /// The login may not read everything that a backup must have, or there is nothing of an engine.
    DatabaseNotReadable,
    /// The server is newer than the agent's pg_dump.
    PgDumpTooOld,
    /// pg_dump failed, or the dump has not the rows that the database had.
    PgDumpFailed,
    /// The backup needed its snapshot longer than allowed.
    SnapshotTooLong,
    /// The destination, or a setting of how to reach it, is no valid one.
    DestinationInvalid,
    /// The storage gives no answer, or one that is no success.
    DestinationUnreachable,
    /// The storage refuses the credentials, or what they may do.
    CredentialsRefused,
    /// The bucket does not exist.
    BucketMissing,
    /// The clocks of the agent and of the storage differ too much.
    ClockSkew,
    /// The storage has no space left.
    DestinationFull,
    /// The recipient or the identity is no age X25519 key.
    EncryptionKeyInvalid,
    /// Another owner has a backup of this id at the destination.
    BackupIdTaken,
    /// There is no backup of this id at the destination.
    BackupMissing,
    /// A part is missing or too short.
    ArtefactTruncated,
    /// A part or the manifest is not what was written.
    ArtefactAltered,
    /// The backup is encrypted, and not for the identity that was given.
    DecryptionFailed,
    /// The manifest has an unknown format, or the dump is of a newer pg_dump than this agent reads.
    FormatUnsupported,
    /// The engine version of the backup cannot become the wanted one.
    VersionUnsupported,
    /// The schema is newer than the wanted engine knows.
    SchemaUnsupported,
    /// The database to restore into has something in it.
    DatabaseNotEmpty,
    /// The database has no space left.
    DatabaseFull,
    /// The data could not be loaded.
    RestoreFailed,
    /// What was loaded is not what the manifest says.
    RowsDiffer,
    /// It took longer than allowed, or was asked to end.
    TimedOut,
    /// A mistake of the agent or of its image.
    InternalError,
}

impl Reason {
    /// All, for tables and documentation.
    pub const ALL: [Self; 26] = [
        Self::DatabaseUnreachable,
        Self::DatabaseNotReadable,
        Self::PgDumpTooOld,
        Self::PgDumpFailed,
        Self::SnapshotTooLong,
        Self::DestinationInvalid,
        Self::DestinationUnreachable,
        Self::CredentialsRefused,
        Self::BucketMissing,
        Self::ClockSkew,
        Self::DestinationFull,
        Self::EncryptionKeyInvalid,
        Self::BackupIdTaken,
        Self::BackupMissing,
        Self::ArtefactTruncated,
        Self::ArtefactAltered,
        Self::DecryptionFailed,
        Self::FormatUnsupported,
        Self::VersionUnsupported,
        Self::SchemaUnsupported,
        Self::DatabaseNotEmpty,
        Self::DatabaseFull,
        Self::RestoreFailed,
        Self::RowsDiffer,
        Self::TimedOut,
        Self::InternalError,
    ];

    /// Whether trying the same again, without a change by a person, may succeed soon.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        matches!(
            self,
            Self::DatabaseUnreachable
                | Self::PgDumpFailed
                | Self::SnapshotTooLong
                | Self::DestinationUnreachable
                | Self::RestoreFailed
                | Self::TimedOut
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_failure_fits() {
        for character in ['x', '\u{1}', '😀', '"'] {
            let failure = Failure::new(Reason::InternalError, character.to_string().repeat(10_000));
            let json = Outcome::Failure(failure.clone()).to_json();
            assert!(json.len() <= MAX_RESULT_BYTES, "{} bytes of {character:?}", json.len());
            assert_eq!(serde_json::from_str::<Outcome>(&json).expect("is read"), Outcome::Failure(failure));
        }
    }

    #[test]
    fn the_longest_report_fits() {
        let at = Timestamp::MAX;
        let totals = Totals {
            definitions: u64::MAX,
            active_instances: u64::MAX,
            jobs: u64::MAX,
            leased_jobs: u64::MAX,
            rows: u64::MAX,
        };
        let report = RestoreReport {
            backup_id: "a".repeat(63).parse().expect("is an id"),
            // The agent takes an owner of at most 300 characters.
            source_owner: "😀".repeat(300),
            snapshot_at: at,
            restored_at: at,
            seconds: u64::MAX,
            engine_version: "1".repeat(100),
            schema_version: i64::MAX,
            digest: Some("f".repeat(64)),
            totals,
            leases_cleared: u64::MAX,
            key_block: i64::MAX,
        };
        let json = Outcome::Restore(report.clone()).to_json();
        assert_eq!(serde_json::from_str::<Outcome>(&json).expect("is read"), Outcome::Restore(report));
    }

    #[test]
    fn each_failure_has_an_exit_code_and_a_name() {
        let mut names = std::collections::BTreeSet::new();
        for reason in Reason::ALL {
            let code = Outcome::Failure(Failure::new(reason, "x")).exit_code();
            assert_eq!(code, if reason.is_transient() { 1 } else { 2 });
            names.insert(serde_json::to_string(&reason).expect("is written"));
        }
        assert_eq!(names.len(), Reason::ALL.len());
        assert!(names.contains("\"DatabaseUnreachable\""));
    }
}
