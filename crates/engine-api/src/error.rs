//! The classes of failed engine calls.

use crate::model::QuotaKind;

/// What the caller does next. Same words as the status codes of `workflow.engine.v1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// The request can never succeed as it is: tell the user, do not retry.
    Invalid,
    /// What was named is not there.
    NotFound,
    /// The name belongs to another owner.
    AlreadyOwned,
    /// Somebody newer was first (an older generation, a lost lease): observe again.
    Stale,
    /// A quota of the tenant, and only that: wait for the quota, not for the engine.
    QuotaExceeded {
        /// Which limit.
        quota: QuotaKind,
        /// Its value.
        limit: u64,
        /// What the tenant uses.
        current: u64,
    },
    /// A person or another controller must act first.
    Precondition {
        /// `UPPER_SNAKE_CASE`, from the engine; `UNSPECIFIED` when it gave none.
        reason: String,
    },
    /// Not reached, no answer in time, or overloaded: back off and try again.
    Unavailable,
    /// The credential is refused.
    Denied,
    /// The engine lacks the capability: a condition, never a loop.
    Unsupported,
    /// The engine lost or damaged data.
    Corrupt,
    /// A defect of the engine, or an answer outside of the contract.
    Internal,
}

impl ErrorClass {
    /// A closed set of words, for metric labels and logs.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::NotFound => "not-found",
            Self::AlreadyOwned => "already-owned",
            Self::Stale => "stale",
            Self::QuotaExceeded { .. } => "quota-exceeded",
            Self::Precondition { .. } => "precondition",
            Self::Unavailable => "unavailable",
            Self::Denied => "denied",
            Self::Unsupported => "unsupported",
            Self::Corrupt => "corrupt",
            Self::Internal => "internal",
        }
    }
}
