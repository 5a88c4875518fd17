//! The result of a pass in one value. Status, events and next look follow from it.

use crate::condition::Readiness;
use crate::outcome::{ErrorClass, Next};
use crate::plan::Wait;
use crate::problem::Problem;

/// What a pass found. `P` is the kind's phase, `R` its reason, `F` what the kind's own status fields are made from.
#[derive(Clone, Debug, PartialEq)]
pub struct Assessment<P, R, F = ()> {
    /// Phase of the object.
    pub phase: P,
    /// Ready, in progress or stalled.
    pub readiness: Readiness,
    /// Why.
    pub reason: R,
    /// The reason in words, for people.
    pub message: String,
    /// When to look again.
    pub next: Next,
    /// Values for the kind's own status fields.
    pub facts: F,
}

impl<P, R: Copy, F: Default> Assessment<P, R, F> {
    /// A problem: stalled unless it ends by itself; retried as its class says.
    #[must_use]
    pub fn of_problem(phase: P, problem: &Problem<R>) -> Self {
        Self {
            phase,
            readiness: readiness_of(problem.class),
            reason: problem.reason,
            message: problem.to_string(),
            next: Next::Failed(problem.class),
            facts: F::default(),
        }
    }

    /// Something is awaited that ends by itself.
    #[must_use]
    pub fn of_wait(phase: P, wait: &Wait<R>) -> Self {
        Self {
            phase,
            readiness: Readiness::InProgress,
            reason: wait.reason,
            message: wait.message.clone(),
            next: Next::Wait { recheck: wait.recheck },
            facts: F::default(),
        }
    }
}

/// In progress if a problem of this class ends by itself; stalled if it stays until a person acts.
#[must_use]
pub const fn readiness_of(class: ErrorClass) -> Readiness {
    match class {
        ErrorClass::Transient | ErrorClass::Conflict => Readiness::InProgress,
        ErrorClass::Invalid | ErrorClass::Denied | ErrorClass::FieldConflict | ErrorClass::Defect => {
            Readiness::Stalled
        }
    }
}
