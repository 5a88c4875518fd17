//! Why a file could not be read.

/// Kind of failure: the caller decides by it whether to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The name has no address, or nothing answers there, or the connection broke.
    Unreachable,
    /// The host did not finish in time.
    TimedOut,
    /// The host is at an address that may not be called.
    AddressRefused,
    /// The host's certificate is not trusted.
    CertificateRefused,
    /// The host sends elsewhere.
    RedirectRefused,
    /// The host wants credentials, or refuses those that it was given.
    AccessDenied,
    /// The credentials cannot be used as they are.
    CredentialsInvalid,
    /// The host has no such repository, or does not show it.
    RepositoryMissing,
    /// The repository has no such branch, tag or commit.
    RevisionMissing,
    /// A branch and a tag have the name.
    RevisionAmbiguous,
    /// The commit has no such file.
    FileMissing,
    /// There is something at the path that is no regular file.
    NotAFile,
    /// More than the budget allows.
    TooLarge,
    /// What came is not what the protocol or the format demands.
    Malformed,
    /// This machine failed: its disk, for instance.
    Local,
}

/// Why a file could not be read, in words for the one who named it. They never repeat what a host sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// Kind of failure.
    pub kind: ErrorKind,
    /// What is wrong and what was expected.
    pub message: String,
}

impl Error {
    /// An error of this kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    pub(crate) fn local(what: &str, error: &dyn std::fmt::Display) -> Self {
        Self::new(ErrorKind::Local, format!("{what}: {error}"))
    }
}
