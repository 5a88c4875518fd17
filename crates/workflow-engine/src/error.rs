//! Why a request was not done. Everything that users read is written here or by the one who refuses; what the database
//! said goes to the log only.

use engine_api::convert::InvalidRequest;
use engine_api::model::QuotaKind;

use crate::tenant_id;

/// Constraints that a key from `storage::keys` can meet.
const KEYS: [&str; 4] = ["process_definition_pkey", "instance_pkey", "job_pkey", "incident_pkey"];

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request can never succeed as it is.
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    NotFound(String),
    /// The caller's token is for another life of the tenant; whether there is one now is not its business.
    #[error("{0}")]
    FormerLife(String),
    /// The name belongs to another owner.
    #[error("{0}")]
    Owned(String),
    /// An older generation, a lost lease.
    #[error("{0}")]
    Stale(String),
    #[error("tenant {tenant} has used up its quota of {quota:?}: {current} of {limit}")]
    Quota { tenant: String, quota: QuotaKind, limit: u64, current: u64 },
    /// Somebody else must act first.
    #[error("{message}")]
    Precondition { reason: &'static str, message: String },
    /// This node does not serve yet.
    #[error("the node is not ready: {0}")]
    NotReady(String),
    /// This node has as much to do as it takes.
    #[error("{0}")]
    Busy(String),
    /// This node stops.
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

    pub fn former_life(tenant: &str) -> Self {
        Self::FormerLife(format!(
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

    /// It ran into a timeout of Postgres or of ours: less at once may do.
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

    /// The loser of a race that Postgres settled; doing it again settles it for good.
    pub fn is_lost_race(&self) -> bool {
        let Self::Database(sqlx::Error::Database(error)) = self else { return false };
        // serialization_failure, deadlock_detected, and two replicas recording the same request id.
        match error.code().as_deref() {
            Some("40001" | "40P01") => true,
            Some("23505") => error.constraint() == Some("request_log_pkey"),
            _ => false,
        }
    }

    /// A new row has the key of one that is there: the database gave out keys that are in use.
    pub fn is_key_collision(&self) -> bool {
        let Self::Database(sqlx::Error::Database(error)) = self else { return false };
        error.code().as_deref() == Some("23505")
            && error.constraint().is_some_and(|constraint| KEYS.contains(&constraint))
    }

    /// Whether the transaction certainly changed nothing: it was given up here, or Postgres itself refused it. A connection
    /// that breaks at the commit leaves that open.
    pub fn is_rolled_back(&self) -> bool {
        !matches!(self, Self::Database(error) if !matches!(error, sqlx::Error::Database(_)))
    }

    /// The database does not answer.
    pub fn away() -> Self {
        Self::Database(sqlx::Error::PoolTimedOut)
    }

    /// Text that Postgres cannot hold, a number out of range: the request's fault, not ours.
    pub fn is_bad_data(error: &sqlx::Error) -> bool {
        matches!(error, sqlx::Error::Database(error) if error.code().is_some_and(|code| code.starts_with("22")))
    }

    /// Postgres is away, overloaded or restarting: trying again is right.
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
