//! What an error of the storage means for the user. The answer of a service is read for its code and never repeated.

use std::error::Error as _;
use std::io::ErrorKind;

use backup_format::{Failure, Reason};
use object_store::Error;

/// The object is not there; not that the bucket is not.
pub(super) fn is_missing(error: &Error) -> bool {
    matches!(error, Error::NotFound { .. }) && code(error).as_deref() != Some("NoSuchBucket")
}

/// The storage cannot create an object only where none is.
pub(super) fn is_unsupported(error: &Error) -> bool {
    let is_kind = matches!(error, Error::NotImplemented { .. } | Error::NotSupported { .. });
    // What link(2) says on a volume without hard links.
    let is_volume = io_error(error)
        .is_some_and(|io| matches!(io.kind(), ErrorKind::Unsupported | ErrorKind::PermissionDenied));
    is_kind || is_volume || code(error).as_deref() == Some("NotImplemented")
}

/// The failure for an error. `doing` completes "failed to …".
pub(super) fn describe(error: &Error, doing: &str) -> Failure {
    if let Some(io) = io_error(error) {
        return of_io(io, doing);
    }
    let code = code(error);
    tracing::warn!(code, kind = kind(error), "failed to {doing}");
    let (reason, why) = match code.as_deref() {
        Some(code) => of_code(code),
        None => of_kind(error),
    };
    Failure::new(reason, format!("failed to {doing}: {why}"))
}

/// The failure for an error of the file system.
pub(super) fn of_io(error: &std::io::Error, doing: &str) -> Failure {
    tracing::warn!(%error, "failed to {doing}");
    let (reason, why) = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            (Reason::DestinationFull, "the volume is full: make it larger, or delete backups".to_owned())
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => (
            Reason::CredentialsRefused,
            "the folder is not writable for the agent: mount the volume writable, with an fsGroup of the agent's group"
                .to_owned(),
        ),
        kind => (Reason::DestinationUnreachable, format!("the file system answers: {kind}")),
    };
    Failure::new(reason, format!("failed to {doing}: {why}"))
}

fn of_code(code: &str) -> (Reason, String) {
    match code {
        "NoSuchBucket" => {
            (Reason::BucketMissing, "the bucket does not exist: create it, or correct its name".to_owned())
        }
        "RequestTimeTooSkewed" => (
            Reason::ClockSkew,
            "the clocks of this node and of the storage differ too much: synchronise them".to_owned(),
        ),
        "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "NotSignedUp" => (
            Reason::CredentialsRefused,
            "the storage does not know the access key, or its secret is another".to_owned(),
        ),
        "AccessDenied" | "AllAccessDisabled" | "AccountProblem" | "InvalidObjectState" => (
            Reason::CredentialsRefused,
            "the access key may not do that: it needs GetObject, PutObject, DeleteObject and ListBucket on the prefix"
                .to_owned(),
        ),
        "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired" => {
            (Reason::CredentialsRefused, "the session token has expired or is invalid".to_owned())
        }
        "QuotaExceeded" | "ServiceQuotaExceeded" | "XMinioStorageFull" | "EntityTooLarge" | "InsufficientStorage" => {
            (Reason::DestinationFull, format!("the storage is full or its quota is used up ({code})"))
        }
        "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException"
        | "InvalidBucketName" | "MethodNotAllowed" => (
            Reason::DestinationInvalid,
            format!("the endpoint, the region or the bucket's name is wrong ({code})"),
        ),
        code => (Reason::DestinationUnreachable, format!("the storage answers with {code}")),
    }
}

fn of_kind(error: &Error) -> (Reason, String) {
    match error {
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
            (Reason::CredentialsRefused, "the storage refuses the credentials".to_owned())
        }
        _ if whole(error).contains("AssumeRoleWithWebIdentity") => {
            (Reason::CredentialsRefused, "the pod's identity gets no credentials for its role".to_owned())
        }
        _ if whole(error).contains("507 Insufficient Storage") => {
            (Reason::DestinationFull, "the storage is full".to_owned())
        }
        _ => (
            Reason::DestinationUnreachable,
            "the storage gives no answer, or none of S3: check the endpoint, its certificate and the network"
                .to_owned(),
        ),
    }
}

fn kind(error: &Error) -> &'static str {
    match error {
        Error::NotFound { .. } => "NotFound",
        Error::PermissionDenied { .. } => "PermissionDenied",
        Error::Unauthenticated { .. } => "Unauthenticated",
        Error::AlreadyExists { .. } => "AlreadyExists",
        Error::Precondition { .. } => "Precondition",
        Error::NotImplemented { .. } | Error::NotSupported { .. } => "NotSupported",
        _ => "Generic",
    }
}

/// The `<Code>` in the answer of S3. object_store has it nowhere but in the text of an error's cause.
fn code(error: &Error) -> Option<String> {
    let text = whole(error);
    let code = text.split_once("<Code>")?.1.split_once("</Code>")?.0;
    let is_code = (1..=64).contains(&code.len()) && code.chars().all(|c| c.is_ascii_alphanumeric());
    is_code.then(|| code.to_owned())
}

/// The text of an error and of its causes.
fn whole(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push('\n');
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// The error of the file system behind it, if there is one.
fn io_error(error: &Error) -> Option<&std::io::Error> {
    let is_local = matches!(error, Error::Generic { store: "LocalFileSystem", .. });
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>()
            && is_local
        {
            return Some(io);
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn answered(status: &str, code: &str) -> Error {
        let body = format!(
            "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>for key AKIA of host s3.internal</Message></Error>"
        );
        let source = format!("Server returned non-2xx status code: {status}: {body}").into();
        if status.starts_with("403") {
            Error::PermissionDenied { path: "p".to_owned(), source }
        } else {
            Error::NotFound { path: "p".to_owned(), source }
        }
    }

    #[rstest]
    #[case("403 Forbidden", "RequestTimeTooSkewed", Reason::ClockSkew)]
    #[case("403 Forbidden", "SignatureDoesNotMatch", Reason::CredentialsRefused)]
    #[case("403 Forbidden", "AccessDenied", Reason::CredentialsRefused)]
    #[case("404 Not Found", "NoSuchBucket", Reason::BucketMissing)]
    #[case("403 Forbidden", "QuotaExceeded", Reason::DestinationFull)]
    #[case("403 Forbidden", "Unheard", Reason::DestinationUnreachable)]
    fn each_code_has_its_reason_and_no_foreign_words(
        #[case] status: &str,
        #[case] code: &str,
        #[case] reason: Reason,
    ) {
        let failure = describe(&answered(status, code), "write the data");
        assert_eq!(failure.reason, reason);
        for foreign in ["AKIA", "internal", "<"] {
            assert!(!failure.message.contains(foreign), "{}", failure.message);
        }
    }

    #[test]
    fn a_missing_bucket_is_not_a_missing_object() {
        assert!(is_missing(&answered("404 Not Found", "NoSuchKey")));
        assert!(!is_missing(&answered("404 Not Found", "NoSuchBucket")));
    }

    #[rstest]
    #[case(ErrorKind::StorageFull, Reason::DestinationFull)]
    #[case(ErrorKind::QuotaExceeded, Reason::DestinationFull)]
    #[case(ErrorKind::PermissionDenied, Reason::CredentialsRefused)]
    #[case(ErrorKind::TimedOut, Reason::DestinationUnreachable)]
    fn errors_of_a_volume(#[case] kind: ErrorKind, #[case] reason: Reason) {
        assert_eq!(of_io(&kind.into(), "write the data").reason, reason);
    }
}
