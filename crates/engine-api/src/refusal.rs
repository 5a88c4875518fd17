//! Refusals on the wire: how an engine says why, and how that is read.
//!
//! Both directions live here, so that they cannot drift apart: [`quota_exceeded`] and [`precondition`] are for whoever
//! serves `workflow.engine.v1`, [`read()`] is for whoever calls it.

use std::{collections::HashMap, error::Error, fmt};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, QuotaFailure, QuotaViolation, StatusExt};

use crate::{ErrorClass, model::QuotaKind};

/// Domain of our `google.rpc.ErrorInfo` details.
const DOMAIN: &str = "workflow.example.com";
const CURRENT: &str = "current";
const UNSPECIFIED: &str = "UNSPECIFIED";

/// The refusal of a request that would exceed a tenant's quota. The only use of `RESOURCE_EXHAUSTED`.
pub fn quota_exceeded(tenant_id: &str, quota: QuotaKind, limit: u64, current: u64) -> Status {
    // Nobody can raise this one.
    let advice = match quota {
        QuotaKind::JobTypes => ": delete processes that nobody needs, or let tasks share a job type",
        QuotaKind::ActiveInstances | QuotaKind::JobsPerMinute | QuotaKind::Storage => "",
    };
    let message = format!("tenant {tenant_id} uses {current} of {limit} {}{advice}", quota.as_str());
    let violation = QuotaViolation {
        subject: format!("tenants/{tenant_id}"),
        description: message.clone(),
        quota_metric: quota.as_str().to_owned(),
        quota_dimensions: HashMap::from([(CURRENT.to_owned(), current.to_string())]),
        quota_value: i64::try_from(limit).unwrap_or(i64::MAX),
        ..QuotaViolation::default()
    };
    Status::with_error_details(
        Code::ResourceExhausted,
        message,
        ErrorDetails::with_quota_failure([violation]),
    )
}

/// The refusal of a request that somebody must make possible first. `reason` is `UPPER_SNAKE_CASE`.
pub fn precondition(reason: &str, message: impl Into<String>) -> Status {
    let details = ErrorDetails::with_error_info(reason, DOMAIN, HashMap::new());
    Status::with_error_details(Code::FailedPrecondition, message, details)
}

/// The reason of a [`precondition`]; `None` = another refusal, or one without a reason.
pub fn reason(status: &Status) -> Option<String> {
    status.get_details_error_info().map(|info| info.reason).filter(|reason| !reason.is_empty())
}

/// What a failed call means to the caller. Shown as our own words, then what the engine or the network said.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What the caller does next.
    pub class: ErrorClass,
    words: &'static str,
    /// Not ours: any length, any character.
    quoted: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words)?;
        if self.quoted.trim().is_empty() { Ok(()) } else { write!(f, ": {}", self.quoted) }
    }
}

/// Reads the status of a failed call.
pub fn read(status: &Status) -> Refusal {
    let quoting = |class, words| Refusal { class, words, quoted: status.message().to_owned() };
    match status.code() {
        Code::InvalidArgument | Code::OutOfRange => {
            quoting(ErrorClass::Invalid, "engine refuses the request")
        }
        Code::NotFound => quoting(ErrorClass::NotFound, "engine does not know it"),
        Code::AlreadyExists => quoting(ErrorClass::AlreadyOwned, "engine has it for another owner"),
        Code::Aborted => quoting(ErrorClass::Stale, "somebody newer was first"),
        Code::ResourceExhausted => match read_quota(status) {
            Some(class) => quoting(class, "quota of the tenant is used up"),
            None => quoting(ErrorClass::Unavailable, "engine is overloaded"),
        },
        Code::FailedPrecondition => quoting(
            ErrorClass::Precondition { reason: read_reason(status) },
            "engine is not in the state for it",
        ),
        Code::Unauthenticated | Code::PermissionDenied => {
            quoting(ErrorClass::Denied, "engine refuses the credential")
        }
        Code::Unimplemented => quoting(ErrorClass::Unsupported, "engine cannot do it"),
        Code::DataLoss => quoting(ErrorClass::Corrupt, "engine lost or damaged data"),
        Code::DeadlineExceeded | Code::Cancelled => {
            quoting(ErrorClass::Unavailable, "engine gave no answer in time")
        }
        Code::Unavailable | Code::Unknown | Code::Internal if status.source().is_some() => Refusal {
            quoted: root_cause(status),
            ..quoting(ErrorClass::Unavailable, "connection to the engine failed")
        },
        Code::Unavailable => quoting(ErrorClass::Unavailable, "engine is unavailable"),
        Code::Unknown | Code::Internal | Code::Ok => {
            quoting(ErrorClass::Internal, "engine failed by a defect")
        }
    }
}

/// The quota of a refusal; `None` when it is not about a quota, or not in a way we understand: then it is overload.
fn read_quota(status: &Status) -> Option<ErrorClass> {
    let QuotaFailure { violations } = status.get_details_quota_failure()?;
    violations.iter().find_map(|violation| {
        let quota =
            [QuotaKind::ActiveInstances, QuotaKind::JobsPerMinute, QuotaKind::Storage, QuotaKind::JobTypes]
                .into_iter()
                .find(|quota| quota.as_str() == violation.quota_metric)?;
        Some(ErrorClass::QuotaExceeded {
            quota,
            limit: u64::try_from(violation.quota_value).ok()?,
            current: violation.quota_dimensions.get(CURRENT)?.parse().ok()?,
        })
    })
}

/// The reason of a refusal, if it has the promised shape: it goes into conditions.
fn read_reason(status: &Status) -> String {
    status
        .get_details_error_info()
        .map(|info| info.reason)
        .filter(|reason| (1..=64).contains(&reason.len()))
        .filter(|reason| reason.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_'))
        .unwrap_or_else(|| UNSPECIFIED.to_owned())
}

/// What the network or TLS said: the outer errors only say that there was one.
fn root_cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests;
