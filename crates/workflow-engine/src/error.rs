//! Why a request failed. All text that users read is written in this crate. Messages of the database go to the log
//! only.

use engine_api::convert::InvalidRequest;
use engine_api::model::QuotaKind;

use crate::tenant_id;

/// Constraints that a duplicate key from `storage::keys` violates.
const KEYS: [&str; 4] = ["process_definition_pkey", "instance_pkey", "job_pkey", "incident_pkey"];

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request can never succeed unchanged.
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    NotFound(String),
    /// The caller's token is for another epoch of the tenant. It does not reveal whether the tenant exists now.
    #[error("{0}")]
    FormerEpoch(String),
    /// The name belongs to another owner.
    #[error("{0}")]
    Owned(String),
    /// The request is based on outdated state: an older generation, a lost lease.
    #[error("{0}")]
    Stale(String),
    #[error("tenant {tenant} has used up its quota of {quota:?}: {current} of {limit}")]
    Quota { tenant: String, quota: QuotaKind, limit: u64, current: u64 },
    /// Another state must change first, as the message says.
    #[error("{message}")]
    Precondition { reason: &'static str, message: String },
    /// This node does not serve requests yet.
    #[error("the node is not ready: {0}")]
    NotReady(String),
    /// A limit of this node is reached.
    #[error("{0}")]
    Busy(String),
    /// The node is stopping; clients should use another one.
    #[error("the node is shutting down")]
    ShuttingDown,
    #[error("failed to use the database")]
    Database(#[from] sqlx::Error),
    /// The stored data contradicts itself.
    #[error("{0}")]
    Defect(String),
}

impl From<InvalidRequest> for Error {
    fn from(invalid: InvalidRequest) -> Self {
        Self::Invalid(invalid.0)
    }
}

impl From<tenant_id::Invalid> for Error {
    fn from(invalid: tenant_id::Invalid) -> Self {
        Self::Invalid(invalid.to_string())
    }
}

impl Error {
    pub fn unknown_tenant(tenant: &str) -> Self {
        Self::Precondition {
            reason: "TENANT_UNKNOWN",
            message: format!("tenant {tenant} does not exist in this engine: create it first"),
        }
    }

    pub fn former_epoch(tenant: &str) -> Self {
        Self::FormerEpoch(format!(
            "this token is of a former life of tenant {tenant}: read the Secret that it came from again"
        ))
    }

    pub fn suspended_tenant(tenant: &str) -> Self {
        Self::Precondition {
            reason: "TENANT_SUSPENDED",
            message: format!(
                "tenant {tenant} is suspended: no new instances and no jobs until it is resumed"
            ),
        }
    }

    pub fn tenant_being_deleted(tenant: &str) -> Self {
        Self::Precondition {
            reason: "TENANT_BEING_DELETED",
            message: format!(
                "tenant {tenant} is being deleted: nothing more is done for it, and its id is free when all of it is gone"
            ),
        }
    }

    /// It failed with a timeout, of Postgres or of the engine: a smaller transaction may succeed.
    pub fn is_too_slow(&self) -> bool {
        match self {
            Self::Database(sqlx::Error::PoolTimedOut) => true,
            // query_canceled, lock_not_available, deadlock_detected.
            Self::Database(sqlx::Error::Database(error)) => {
                matches!(error.code().as_deref(), Some("57014" | "55P03" | "40P01"))
            }
            _ => false,
        }
    }

    /// Postgres aborted the transaction because of a conflict with another one: a retry may succeed.
    pub fn is_lost_race(&self) -> bool {
        let Self::Database(sqlx::Error::Database(error)) = self else { return false };
        // serialization_failure, deadlock_detected, and two replicas recording the same request id.
        match error.code().as_deref() {
            Some("40001" | "40P01") => true,
            Some("23505") => error.constraint() == Some("request_log_pkey"),
            _ => false,
        }
    }

    /// A new row has the key of an existing one: the database gave out keys that are in use.
    pub fn is_key_collision(&self) -> bool {
        let Self::Database(sqlx::Error::Database(error)) = self else { return false };
        error.code().as_deref() == Some("23505")
            && error.constraint().is_some_and(|constraint| KEYS.contains(&constraint))
    }

    /// Whether it is certain that the transaction changed nothing: the engine rolled it back, or Postgres refused it.
    /// Not certain when the connection breaks during the commit.
    pub fn is_rolled_back(&self) -> bool {
        !matches!(self, Self::Database(error) if !matches!(error, sqlx::Error::Database(_)))
    }

    /// As if the database did not answer in time.
    pub fn unanswered() -> Self {
        Self::Database(sqlx::Error::PoolTimedOut)
    }

    /// Text that Postgres cannot store, or a number out of range: the request is invalid.
    pub fn is_bad_data(error: &sqlx::Error) -> bool {
        matches!(error, sqlx::Error::Database(error) if error.code().is_some_and(|code| code.starts_with("22")))
    }

    /// Postgres is unreachable, overloaded or restarting: a retry may succeed.
    pub fn is_unavailable(error: &sqlx::Error) -> bool {
        match error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed => true,
            sqlx::Error::Database(error) => error.code().is_some_and(|code| {
                // Connection exceptions, authentication, resources, operator intervention, read-only after failover,
                // lock and idle timeouts.
                ["08", "28", "53", "57"].iter().any(|class| code.starts_with(class))
                    || ["25006", "55P03", "25P03", "40001", "40P01"].contains(&code.as_ref())
            }),
            _ => false,
        }
    }
}
