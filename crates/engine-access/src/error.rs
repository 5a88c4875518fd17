//! What an engine's answer means for the next attempt.

use controller_kit::outcome::ErrorClass;
use engine_client::{EngineError, ErrorClass as EngineClass};

/// The class of an error of the engine, where a controller has no better answer.
#[must_use]
pub fn class_of_engine(error: &EngineError) -> ErrorClass {
    match error.class() {
        EngineClass::Invalid | EngineClass::AlreadyOwned | EngineClass::NotFound => ErrorClass::Invalid,
        EngineClass::Unavailable | EngineClass::Precondition { .. } | EngineClass::QuotaExceeded { .. } => {
            ErrorClass::Transient
        }
        EngineClass::Stale => ErrorClass::Conflict,
        EngineClass::Denied => ErrorClass::Denied,
        EngineClass::Unsupported | EngineClass::Corrupt | EngineClass::Internal => ErrorClass::Defect,
    }
}
