//! Which history a database has. After a failover, or when a backup or a volume was restored, a database under the same
//! name may have lost its last writes. Its sequences then give numbers out again, and rows that were read before do not
//! exist. What a process has read from a database is valid only for the history that it was read in.

use std::sync::Arc;

use sqlx::postgres::PgConnection;

use crate::schema::{self, isolation};

/// Equal for two connections when nothing that one of them saw committed can be lost on the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History(Arc<str>);

#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the database server is a standby, which accepts no writes: connect to the primary")]
    Standby,
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
    /// The server's start, since no backup or volume is restored under a running server; its timeline, which each
    /// promotion raises; the database and its sequence, which a dump that is restored makes anew. Every role may read all
    /// of these on PostgreSQL 15 and later. Only the timeline can be out of reach, where a provider's server does without
    /// the usual log: the other three tell all but a promotion of the same running server, which is a standby until then.
    pub(super) async fn observe(connection: &mut PgConnection) -> Result<Self, Error> {
        let (standby, identity) = sqlx::query_as::<_, (bool, String)>(
            "SELECT pg_is_in_recovery(),
                    concat_ws('/', extract(epoch FROM pg_postmaster_start_time()),
                              (SELECT oid FROM pg_database WHERE datname = current_database()),
                              to_regclass('workflow.key_block')::oid)",
        )
        .fetch_one(&mut *connection)
        .await?;
        // A standby that is promoted keeps its connections, so that none may be kept from before.
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
            // Not allowed, not supported, not there.
            Err(sqlx::Error::Database(error))
                if matches!(error.code().as_deref(), Some("42501" | "0A000" | "42883")) =>
            {
                Ok(Self(identity.into()))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether the engine may work on a database with this history: what was checked of another one says nothing.
pub(super) async fn verify(connection: &mut PgConnection) -> Result<(), Error> {
    if let Some(refusal) = schema::observe_state(connection).await?.refusal() {
        return Err(Error::Schema(refusal));
    }
    match isolation::observe_violations(connection).await?.into_iter().next() {
        Some(violation) => Err(Error::Isolation(violation)),
        None => Ok(()),
    }
}
