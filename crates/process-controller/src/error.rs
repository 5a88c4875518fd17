//! What a refusal of the engine means for a process.

use api_types::process::ProcessReason as Reason;
use api_types::reason::CommonReason;
use controller_kit::outcome::ErrorClass;
use controller_kit::problem::Problem;
use engine_access::error::class_of_engine;
use engine_client::{EngineError, ErrorClass as EngineClass};

/// Of a process that is not being deleted.
#[must_use]
pub fn of_engine(error: &EngineError) -> Problem<Reason> {
    let class = class_of_engine(error);
    let (reason, class) = match error.class() {
        EngineClass::Unavailable | EngineClass::Stale => (Reason::EngineUnreachable, class),
        // Somebody has to make room.
        EngineClass::QuotaExceeded { .. } => (Reason::QuotaExceeded, ErrorClass::Denied),
        EngineClass::AlreadyOwned => (Reason::DuplicateProcessId, class),
        EngineClass::Precondition { .. } | EngineClass::NotFound => {
            (Reason::TenantNotReady, ErrorClass::Transient)
        }
        EngineClass::Denied => (Reason::EngineCredentialsMissing, class),
        EngineClass::Unsupported => (Reason::NotSupportedByEngine, class),
        EngineClass::Invalid => (Reason::RejectedByEngine, class),
        EngineClass::Corrupt | EngineClass::Internal => (Reason::InternalError, class),
    };
    Problem::new(reason, class, error.to_string())
}

/// Of a process that is being deleted. A deletion is never given up, whatever the engine says.
#[must_use]
pub fn of_engine_deletion(error: &EngineError) -> Problem<Reason> {
    let class = match class_of_engine(error) {
        ErrorClass::Invalid => ErrorClass::Denied,
        class => class,
    };
    let message = format!("the engine cannot retire the definition: {error}");
    Problem::new(CommonReason::DeletionBlocked, class, message)
}
