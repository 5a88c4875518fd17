//! What a failed read of a repository or an artifact means for a process. Pure.

use api_types::process::ProcessReason as Reason;
use controller_kit::outcome::ErrorClass;
use controller_kit::problem::Problem;
use remote_files::{Error, ErrorKind};

/// The problem of an object. Transient ones pass without anybody: they do not unmake what runs.
#[must_use]
pub(super) fn problem_of(error: &Error) -> Problem<Reason> {
    let (reason, class) = match error.kind {
        ErrorKind::Unreachable | ErrorKind::TimedOut => (Reason::SourceUnreachable, ErrorClass::Transient),
        ErrorKind::Local => (Reason::InternalError, ErrorClass::Transient),
        ErrorKind::AddressRefused | ErrorKind::RedirectRefused => {
            (Reason::SourceAddressRefused, ErrorClass::Denied)
        }
        ErrorKind::CertificateRefused => (Reason::SourceCertificateRefused, ErrorClass::Denied),
        ErrorKind::AccessDenied => (Reason::SourceAccessDenied, ErrorClass::Denied),
        ErrorKind::CredentialsInvalid => (Reason::SourceCredentialsMissing, ErrorClass::Denied),
        ErrorKind::RepositoryMissing | ErrorKind::FileMissing => (Reason::SourceMissing, ErrorClass::Denied),
        ErrorKind::RevisionMissing | ErrorKind::RevisionAmbiguous => {
            (Reason::SourceRevisionMissing, ErrorClass::Denied)
        }
        ErrorKind::NotAFile => (Reason::SourceInvalid, ErrorClass::Denied),
        ErrorKind::TooLarge => (Reason::SourceTooLarge, ErrorClass::Denied),
        ErrorKind::Malformed => (Reason::SourceMalformed, ErrorClass::Denied),
    };
    Problem::new(reason, class, error.message.clone())
}
