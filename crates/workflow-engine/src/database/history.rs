//! The history of a database. After a failover, a restored backup or a restored volume, a database with the same name
//! may have lost its last writes: its sequences then repeat numbers, and rows that were read before do not exist. So
//! what a process cached from a database is valid only for the history that it was read from.

use std::sync::Arc;

use sqlx::postgres::PgConnection;

use crate::claim::{self, Claim};
use crate::schema::{self, isolation};

/// Two connections have equal histories when each sees all that the other saw committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History(Arc<str>);

#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the database server is a standby, which accepts no writes: connect to the primary")]
    Standby,
    #[error("{0}")]
    NotOwn(String),
    #[error("{0}")]
    Schema(String),
    #[error("tenants are not isolated: {0}")]
    Isolation(String),
    #[error("the database is not the one that it was: what is known of it is dropped")]
    Another,
    #[error("failed to ask the database for its history")]
    Read(#[from] sqlx::Error),
}

impl History {
    /// Reads four values that every role may read on PostgreSQL 15 and later:
    ///
    /// - the server's start time: no backup or volume is restored under a running server;
    /// - its timeline, which each promotion raises;
    /// - the oids of the database and of its sequence, which restoring a dump creates anew.
    ///
    /// The timeline cannot be read on a provider's server without the usual WAL. The other three then detect everything
    /// except the promotion of a running server, which is a standby until then and is refused here.
    pub(super) async fn observe(connection: &mut PgConnection) -> Result<Self, Error> {
        let (standby, identity) = sqlx::query_as::<_, (bool, String)>(
            "SELECT pg_is_in_recovery(),
                    concat_ws('/', extract(epoch FROM pg_postmaster_start_time()),
                              (SELECT oid FROM pg_database WHERE datname = current_database()),
                              to_regclass('workflow.key_block')::oid)",
        )
        .fetch_one(&mut *connection)
        .await?;
        // A standby keeps its connections when it is promoted, so none from before may be used.
        if standby {
            return Err(Error::Standby);
        }
        let timeline = sqlx::query_scalar::<_, String>(
            "SELECT substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)",
        )
        .fetch_one(connection)
        .await;
        match timeline {
            Ok(timeline) => Ok(Self(format!("{identity}/{timeline}").into())),
            // No privilege, not supported, no such function.
            Err(sqlx::Error::Database(error))
                if matches!(error.code().as_deref(), Some("42501" | "0A000" | "42883")) =>
            {
                Ok(Self(identity.into()))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Checks that the engine may work on this database. Needed for each new history: it may have another schema, and may be
/// another's.
pub(super) async fn verify(connection: &mut PgConnection, own: Option<&Claim>) -> Result<(), Error> {
    let recorded = claim::observe_claim(connection).await?;
    if let Some(refusal) = claim::refusal(own, recorded.as_ref()) {
        return Err(Error::NotOwn(refusal));
    }
    if let Some(refusal) = schema::observe_state(connection).await?.refusal() {
        return Err(Error::Schema(refusal));
    }
    match isolation::observe_violations(connection).await?.into_iter().next() {
        Some(violation) => Err(Error::Isolation(violation)),
        None => Ok(()),
    }
}
