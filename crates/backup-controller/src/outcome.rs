//! What each reason of the agent means for a backup: its word in the status, and whether the same is tried again. One table.

use api_types::backup::BackupReason;
use backup_format::Reason;

/// What follows a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Kubernetes starts another pod, after a pause.
    TryAgain,
    /// It would fail again before a person changed something, or do harm again.
    GiveUp,
}

/// The table. [`Verdict::TryAgain`] only for what the agent itself calls transient: its exit code is for Kubernetes' Job
/// controller, which acts also while this controller is away.
#[must_use]
pub const fn judge(reason: Reason) -> (BackupReason, Verdict) {
    match reason {
        Reason::DatabaseUnreachable => (BackupReason::DatabaseUnreachable, Verdict::TryAgain),
        Reason::DatabaseNotReadable => (BackupReason::DatabaseNotReadable, Verdict::GiveUp),
        Reason::PgDumpTooOld => (BackupReason::PgDumpTooOld, Verdict::GiveUp),
        Reason::PgDumpFailed => (BackupReason::PgDumpFailed, Verdict::TryAgain),
        // Another attempt would hold a snapshot as long as the first one did.
        Reason::SnapshotTooLong => (BackupReason::SnapshotTooLong, Verdict::GiveUp),
        Reason::DestinationInvalid => (BackupReason::DestinationInvalid, Verdict::GiveUp),
        Reason::DestinationUnreachable => (BackupReason::DestinationUnreachable, Verdict::TryAgain),
        Reason::CredentialsRefused => (BackupReason::CredentialsRefused, Verdict::GiveUp),
        Reason::BucketMissing => (BackupReason::BucketMissing, Verdict::GiveUp),
        Reason::ClockSkew => (BackupReason::ClockSkew, Verdict::GiveUp),
        Reason::DestinationFull => (BackupReason::DestinationFull, Verdict::GiveUp),
        Reason::EncryptionKeyInvalid | Reason::DecryptionFailed => {
            (BackupReason::EncryptionKeyInvalid, Verdict::GiveUp)
        }
        // A manifest that is there under the id, and is not one of ours.
        Reason::BackupIdTaken | Reason::ArtefactAltered | Reason::FormatUnsupported => {
            (BackupReason::BackupIdTaken, Verdict::GiveUp)
        }
        // The dump has not the rows that the database had.
        Reason::RowsDiffer => (BackupReason::PgDumpFailed, Verdict::GiveUp),
        // The pod was asked to end: its node is drained, for instance.
        Reason::TimedOut | Reason::RestoreFailed => (BackupReason::JobFailed, Verdict::TryAgain),
        Reason::BackupMissing
        | Reason::ArtefactTruncated
        | Reason::VersionUnsupported
        | Reason::SchemaUnsupported
        | Reason::DatabaseNotEmpty
        | Reason::DatabaseFull => (BackupReason::JobFailed, Verdict::GiveUp),
        Reason::InternalError => (BackupReason::InternalError, Verdict::GiveUp),
    }
}

#[cfg(test)]
mod tests {
    use api_types::reason::{Reason as _, Severity};

    use super::*;

    #[test]
    fn every_failure_is_a_warning_and_only_what_may_pass_is_tried_again() {
        for reason in Reason::ALL {
            let (of_backup, verdict) = judge(reason);
            assert_eq!(of_backup.severity(), Severity::Warning, "{reason:?}");
            if verdict == Verdict::TryAgain {
                assert!(reason.is_transient(), "{reason:?}: Kubernetes would not start another pod");
            }
        }
    }

    #[test]
    fn a_reason_that_both_have_keeps_its_name() {
        for reason in Reason::ALL {
            let name = format!("{reason:?}");
            if BackupReason::ALL.iter().any(|known| known.as_str() == name) {
                assert_eq!(judge(reason).0.as_str(), name);
            }
        }
    }
}
