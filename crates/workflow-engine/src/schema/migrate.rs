//! Runs the pending migration steps. Only one migration runs at a time. Each step is recorded in its own transaction,
//! so that a migration that was interrupted at any point can simply be run again.

use std::time::Duration;

use engine_api::version_policy::{self, Verdict};
use semver::Version;
use sqlx::migrate::{Migrate, MigrateError};
use sqlx::{Executor, PgConnection};

use super::{Kind, MIGRATION_TABLE, State, Step, newest_known, observe_state, roles};
use crate::args::UpTo;
use crate::claim::{self, Claim};
use crate::release;

/// Advisory lock number of all migrations of a database.
pub const LOCK: i64 = 0x0077_6662_706d_6e31;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "cannot migrate to {asked}: this binary migrates to {} only, run the image of {asked}",
        release::version()
    )]
    NotOwnVersion { asked: Version },
    #[error("cannot migrate from {from} to {to}: {}", verdict.explanation())]
    Forbidden { from: Version, to: Version, verdict: Verdict },
    #[error("migrating from {from} to {to} is a MAJOR step: it needs --approve-breaking")]
    NotApproved { from: Version, to: Version },
    #[error("the database records engine version {0:?}, which is no version")]
    RecordedVersion(String),
    #[error("the schema has step {found}, this binary knows steps up to {known}: run the image that made it")]
    NewerSchema { found: i64, known: i64 },
    #[error(
        "step {version} was applied with another text than this binary's: the image and the database do not belong together"
    )]
    ChangedStep { version: i64 },
    #[error("another migration still holds the lock after {} s: {holder}", waited.as_secs())]
    Locked { holder: String, waited: Duration },
    #[error("nothing was migrated: {0}")]
    NotOwn(String),
    #[error("failed to read the schema's state")]
    Observe(#[source] sqlx::Error),
    #[error("failed to prepare the session for a migration")]
    Prepare(#[source] sqlx::Error),
    #[error("failed to prepare the schema's own records")]
    Bootstrap(#[source] sqlx::Error),
    #[error("failed to record the progress of step {version}")]
    Record {
        version: i64,
        #[source]
        source: sqlx::Error,
    },
    #[error("failed to apply step {version}")]
    Apply {
        version: i64,
        #[source]
        source: MigrateError,
    },
    #[error("failed to prepare the roles")]
    Roles(#[source] sqlx::Error),
}

/// Parameters of a migration.
#[derive(Debug, Clone)]
pub struct Order {
    pub to: Version,
    pub up_to: UpTo,
    pub approve_breaking: bool,
    pub lock_timeout: Duration,
    /// Whose the database must be; `None` = it is not compared.
    pub claim: Option<Claim>,
}

/// Result of a migration: the steps that it applied, and the current step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub applied: Vec<i64>,
    pub current: i64,
}

/// Waits for the lock, then plans and applies the steps. The connection must be used for nothing else: it holds the
/// lock until it is closed.
pub async fn run(connection: &mut PgConnection, order: &Order) -> Result<Outcome, Error> {
    if order.to.to_string() != release::version() {
        return Err(Error::NotOwnVersion { asked: order.to.clone() });
    }
    connection
        .execute(
            "SET search_path = pg_catalog, pg_temp; SET timezone = 'UTC'; SET lock_timeout = '10s';
             SET client_min_messages = 'warning'",
        )
        .await
        .map_err(Error::Prepare)?;
    lock(connection, order.lock_timeout).await?;
    let recorded = claim::observe_claim(connection).await.map_err(Error::Observe)?;
    if let Some(refusal) = claim::refusal(order.claim.as_ref(), recorded.as_ref()) {
        return Err(Error::NotOwn(refusal));
    }
    apply_bootstrap(connection).await.map_err(Error::Bootstrap)?;
    let state = observe_state(connection).await.map_err(Error::Observe)?;
    let steps = plan_steps(&state, order)?;
    for step in &steps {
        apply_step(connection, step).await?;
    }
    roles::apply_roles(connection).await.map_err(Error::Roles)?;
    if order.up_to == UpTo::All {
        sqlx::query(
            "UPDATE workflow.schema_state SET engine_version = $1 WHERE engine_version IS DISTINCT FROM $1",
        )
        .bind(release::version())
        .execute(&mut *connection)
        .await
        .map_err(Error::Bootstrap)?;
    }
    let applied: Vec<i64> = steps.iter().map(|step| step.migration.version).collect();
    let current = applied.last().copied().unwrap_or(state.current());
    Ok(Outcome { applied, current })
}

/// The steps to apply, or why the migration is refused.
fn plan_steps(state: &State, order: &Order) -> Result<Vec<&'static Step>, Error> {
    if let Some(unknown) = state.applied.iter().find(|applied| applied.version > newest_known()) {
        return Err(Error::NewerSchema { found: unknown.version, known: newest_known() });
    }
    if let Some(version) = state.changed_step() {
        return Err(Error::ChangedStep { version });
    }
    if let Some(recorded) = &state.engine_version {
        let from = Version::parse(recorded).map_err(|_| Error::RecordedVersion(recorded.clone()))?;
        match version_policy::judge(&from, &order.to) {
            Verdict::Same | Verdict::Compatible => {}
            Verdict::Breaking if order.approve_breaking => {}
            Verdict::Breaking => return Err(Error::NotApproved { from, to: order.to.clone() }),
            verdict => return Err(Error::Forbidden { from, to: order.to.clone(), verdict }),
        }
    }
    // Later steps may depend on earlier ones, so `Expand` stops before the first contracting step.
    Ok(state.pending().take_while(|step| order.up_to == UpTo::All || step.kind == Kind::Expand).collect())
}

async fn lock(connection: &mut PgConnection, timeout: Duration) -> Result<(), Error> {
    let try_lock = async |connection: &mut PgConnection| {
        sqlx::query_scalar::<_, bool>("SELECT pg_try_advisory_lock($1)")
            .bind(LOCK)
            .fetch_one(connection)
            .await
    };
    let mut waited = Duration::ZERO;
    // Tries once a second instead of waiting inside Postgres: a waiting statement keeps a snapshot, and a CREATE INDEX
    // CONCURRENTLY of the lock's holder would wait for it.
    while !try_lock(connection).await.map_err(Error::Observe)? {
        if waited >= timeout {
            let holder = observe_state(connection).await.map_err(Error::Observe)?.lock_holder;
            return Err(Error::Locked { holder: holder.unwrap_or_default(), waited });
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        waited += Duration::from_secs(1);
    }
    Ok(())
}

/// Creates the schema and the two tables that record its state.
async fn apply_bootstrap(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    connection
        .execute(
            "DO $$ BEGIN
                 IF to_regnamespace('workflow') IS NULL THEN CREATE SCHEMA workflow; END IF;
             END $$;
             REVOKE ALL ON SCHEMA workflow FROM PUBLIC;",
        )
        .await?;
    connection.ensure_migrations_table(MIGRATION_TABLE).await.map_err(|error| match error {
        MigrateError::Execute(error) => error,
        other => sqlx::Error::Migrate(Box::new(other)),
    })?;
    connection
        .execute(
            "CREATE TABLE IF NOT EXISTS workflow.schema_state (
                 singleton      boolean PRIMARY KEY DEFAULT true CHECK (singleton),
                 contracted_to  bigint NOT NULL DEFAULT 0,
                 engine_version text,
                 begun          bigint
             );
             INSERT INTO workflow.schema_state DEFAULT VALUES ON CONFLICT DO NOTHING;",
        )
        .await?;
    Ok(())
}

async fn apply_step(connection: &mut PgConnection, step: &Step) -> Result<(), Error> {
    let version = step.migration.version;
    let record = |source| Error::Record { version, source };
    // Recorded before the step, so that an interrupted migration is visible. A contracting step counts from its
    // beginning, since the former version must not serve once the step may have been applied.
    let contracts = step.kind == Kind::Contract;
    sqlx::query(
        "UPDATE workflow.schema_state
         SET begun = $1, contracted_to = CASE WHEN $2 THEN greatest(contracted_to, $1) ELSE contracted_to END",
    )
    .bind(version)
    .bind(contracts)
    .execute(&mut *connection)
    .await
    .map_err(record)?;
    tracing::info!(step = version, description = %step.migration.description, kind = ?step.kind, "applying migration step");
    connection
        .apply(MIGRATION_TABLE, &step.migration)
        .await
        .map_err(|source| Error::Apply { version, source })?;
    sqlx::query("UPDATE workflow.schema_state SET begun = NULL")
        .execute(&mut *connection)
        .await
        .map_err(record)?;
    Ok(())
}

#[cfg(test)]
mod tests;
