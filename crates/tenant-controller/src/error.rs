//! What a refusal of the engine means for a tenant.

use api_types::reason::CommonReason;
use api_types::tenant::TenantReason as Reason;
use controller_kit::outcome::ErrorClass;
use controller_kit::problem::Problem;
use engine_access::error::class_of_engine;
use engine_client::{EngineError, ErrorClass as EngineClass};

/// What to do comes first: of many processes the message names as many as fit.
pub const WHAT_RUNS: &str = "resolve or cancel what runs, or set spec.deletionPolicy to Purge";

/// Of a tenant that is not being deleted.
#[must_use]
pub fn of_engine(error: &EngineError) -> Problem<Reason> {
    let reason = match error.class() {
        EngineClass::Unavailable | EngineClass::Stale => Reason::EngineUnreachable,
        EngineClass::AlreadyOwned => CommonReason::NameTaken.into(),
        // What a former tenant of this name left is still being deleted.
        EngineClass::Precondition { reason } if reason == "TENANT_BEING_DELETED" => Reason::Reconciling,
        EngineClass::Denied => Reason::EngineCredentialsMissing,
        EngineClass::Unsupported => Reason::NotSupportedByEngine,
        EngineClass::Invalid
        | EngineClass::NotFound
        | EngineClass::Precondition { .. }
        | EngineClass::QuotaExceeded { .. } => Reason::RejectedByEngine,
        EngineClass::Corrupt | EngineClass::Internal => Reason::InternalError,
    };
    let what_to_do = match error.class() {
        EngineClass::AlreadyOwned => {
            "; a WorkflowTenant of this name uses the same engine: delete that one, or rename this one"
        }
        _ => "",
    };
    Problem::new(reason, class_of_engine(error), format!("{error}{what_to_do}"))
}

/// Of a tenant that is being deleted. A deletion is never given up, whatever the engine says.
#[must_use]
pub fn of_engine_deletion(error: &EngineError) -> Problem<Reason> {
    let class = match class_of_engine(error) {
        ErrorClass::Invalid => ErrorClass::Denied,
        class => class,
    };
    let message = match error.class() {
        EngineClass::Precondition { reason } if reason == "INSTANCES_ACTIVE" => {
            format!("{WHAT_RUNS}: {}", error.message())
        }
        _ => format!("the engine cannot delete the tenant: {error}"),
    };
    Problem::new(CommonReason::DeletionBlocked, class, message)
}
