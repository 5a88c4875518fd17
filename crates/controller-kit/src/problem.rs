//! Why a pass does not reach the spec. Any stage of a pass can report it; it ends in the status.

use std::fmt;

use api_types::reason::{CommonReason, Reason};

use crate::message::of_kube;
use crate::outcome::ErrorClass;

/// Why a pass does not reach the spec, for the user and for the next attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem<R> {
    /// Reason of the conditions and of the event.
    pub reason: R,
    /// What is wrong: which object, which field, what was expected. In the operator's own words.
    pub message: String,
    /// What to do about it, for instance the RoleBinding to create.
    pub hint: Option<String>,
    /// What it means for the next attempt.
    pub class: ErrorClass,
}

impl<R: Reason> Problem<R> {
    /// A problem without a hint.
    #[must_use]
    pub fn new(reason: impl Into<R>, class: ErrorClass, message: impl Into<String>) -> Self {
        Self { reason: reason.into(), message: message.into(), hint: None, class }
    }

    /// A field of the spec breaks a rule; nothing is tried before the spec changes.
    #[must_use]
    pub fn invalid_spec(message: impl Into<String>) -> Self {
        Self::new(CommonReason::InvalidSpec, ErrorClass::Invalid, message)
    }

    /// A failed read of `object` (`Kind namespace/name`).
    #[must_use]
    pub fn unread(object: &str, error: &kube::Error, missing: Option<MissingPermission>) -> Self {
        let class = ErrorClass::of_kube(error);
        match missing {
            Some(missing) => missing.into_problem(class),
            None => Self::new(class.reason(), class, format!("failed to read {object}: {}", of_kube(error))),
        }
    }
}

/// Message and hint on one line.
impl<R> fmt::Display for Problem<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.hint.iter().try_for_each(|hint| write!(f, ": {hint}"))
    }
}

/// A permission that a person can grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingPermission {
    /// What is lacking, and where.
    pub message: String,
    /// What to create.
    pub hint: String,
}

impl MissingPermission {
    /// The problem of this class.
    #[must_use]
    pub fn into_problem<R: Reason>(self, class: ErrorClass) -> Problem<R> {
        let Self { message, hint } = self;
        Problem { hint: Some(hint), ..Problem::new(class.reason(), class, message) }
    }
}
