//! Maps errors to gRPC statuses.

use engine_api::refusal;
use tonic::Status;

use super::Method;
use crate::error::Error;

/// The status for the caller. Details that the caller must not read go to the log.
pub fn to_status(method: Method, error: Error) -> Status {
    match error {
        Error::Invalid(message) => Status::invalid_argument(message),
        Error::NotFound(message) => Status::not_found(message),
        Error::FormerEpoch(message) => Status::unauthenticated(message),
        Error::Owned(message) => Status::already_exists(message),
        Error::Stale(message) => Status::aborted(message),
        Error::Quota { tenant, quota, limit, current } => {
            refusal::quota_exceeded(&tenant, quota, limit, current)
        }
        Error::Precondition { reason, message } => refusal::precondition(reason, message),
        Error::NotReady(reason) | Error::Busy(reason) => Status::unavailable(reason),
        Error::ShuttingDown => Status::unavailable("the node is shutting down"),
        error if error.is_key_collision() => {
            tracing::error!(method = method.name(), error = %error, "the database gives out keys that are in use");
            Status::unavailable("the database gives out keys that are in use: try again")
        }
        Error::Database(error) if Error::is_unavailable(&error) => {
            tracing::warn!(method = method.name(), error = %error, "database is not available");
            Status::unavailable("the database is not available")
        }
        Error::Database(error) if Error::is_bad_data(&error) => {
            Status::invalid_argument("the request holds a text or number that cannot be stored")
        }
        Error::Database(error) => {
            tracing::error!(method = method.name(), error = %error, "database refused a statement");
            Status::internal("the database refused the engine's statement; the node's log says why")
        }
        Error::Defect(message) => {
            tracing::error!(method = method.name(), defect = %message, "stored data contradicts itself");
            Status::internal(message)
        }
    }
}
