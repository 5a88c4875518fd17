//! The database's schema: the migration steps that this binary knows, those that are applied, and whether they fit.

pub mod isolation;
pub mod migrate;
pub mod roles;

use std::fmt::Write;
use std::sync::LazyLock;

use jiff::Timestamp;
use sqlx::PgConnection;
use sqlx::migrate::{Migration, Migrator};

/// Where sqlx records the applied steps.
pub const MIGRATION_TABLE: &str = "workflow.schema_migration";

static EMBEDDED: Migrator = sqlx::migrate!("./migrations");

/// Whether the former engine version still works after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It still works.
    Expand,
    /// It no longer works, so that there is no way back to it.
    Contract,
}

impl Kind {
    /// The first line of a migration file is `-- EXPAND` or `-- CONTRACT`.
    fn of(migration: &Migration) -> Self {
        match migration.sql.as_str().lines().next() {
            Some("-- EXPAND") => Self::Expand,
            // A step that is not declared compatible counts as incompatible.
            _ => Self::Contract,
        }
    }
}

/// A step that this binary knows.
#[derive(Debug, Clone)]
pub struct Step {
    pub migration: Migration,
    pub kind: Kind,
}

static STEPS: LazyLock<Vec<Step>> = LazyLock::new(|| {
    EMBEDDED
        .iter()
        .map(|migration| Step { kind: Kind::of(migration), migration: migration.clone() })
        .collect()
});

/// All steps that this binary knows, in order.
pub fn known_steps() -> &'static [Step] {
    &STEPS
}

/// The newest step that this binary knows.
pub fn newest_known() -> i64 {
    known_steps().last().map_or(0, |step| step.migration.version)
}

/// The oldest schema that this binary can serve on: the one with `incident.kind`.
pub const OLDEST_SERVED: i64 = 2;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    pub version: i64,
    pub description: String,
    pub checksum: Vec<u8>,
    pub applied_at: Timestamp,
}

/// The state of a database's schema.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    pub applied: Vec<Applied>,
    /// The newest applied [`Kind::Contract`] step; 0 = none.
    pub contracted_to: i64,
    /// The engine version of the last complete migration.
    pub engine_version: Option<String>,
    /// A step that was begun and is not finished.
    pub begun: Option<i64>,
    /// Application name of the session that migrates now.
    pub lock_holder: Option<String>,
}

impl State {
    pub fn current(&self) -> i64 {
        self.applied.last().map_or(0, |applied| applied.version)
    }

    /// A step was begun, and no migration runs any more.
    pub fn is_dirty(&self) -> bool {
        self.begun.is_some() && self.lock_holder.is_none()
    }

    pub fn pending(&self) -> impl Iterator<Item = &'static Step> {
        known_steps()
            .iter()
            .filter(|step| !self.applied.iter().any(|applied| applied.version == step.migration.version))
    }

    /// A step that was applied with another text than this binary has: the tables may differ from what the binary
    /// expects.
    pub fn changed_step(&self) -> Option<i64> {
        let is_changed = |step: &&Step| {
            let recorded = self.applied.iter().find(|applied| applied.version == step.migration.version);
            recorded.is_some_and(|applied| applied.checksum != *step.migration.checksum)
        };
        known_steps().iter().find(is_changed).map(|step| step.migration.version)
    }

    /// Why this binary cannot serve on this schema; `None` = it can.
    pub fn refusal(&self) -> Option<String> {
        let current = self.current();
        if current == 0 {
            return Some("the database has no schema yet: run `workflow-engine migrate`".to_owned());
        }
        if current < OLDEST_SERVED {
            return Some(format!(
                "schema {current} is older than {OLDEST_SERVED}, which this version needs: run `workflow-engine migrate`"
            ));
        }
        if let Some(step) = self.changed_step() {
            return Some(format!(
                "schema step {step} was applied with another text than this version has: run the version that made the database"
            ));
        }
        if self.contracted_to > newest_known() {
            return Some(format!(
                "schema {} no longer serves this version, which knows steps up to {}: run a newer engine",
                self.contracted_to,
                newest_known()
            ));
        }
        None
    }
}

/// Reads the state; it is empty for a database without the engine's schema.
pub async fn observe_state(connection: &mut PgConnection) -> Result<State, sqlx::Error> {
    let lock_holder = observe_lock_holder(connection).await?;
    let exists: bool = sqlx::query_scalar(
        "SELECT to_regclass('workflow.schema_migration') IS NOT NULL AND to_regclass('workflow.schema_state') IS NOT NULL",
    )
    .fetch_one(&mut *connection)
    .await?;
    if !exists {
        return Ok(State { lock_holder, ..State::default() });
    }
    let applied = sqlx::query_as::<_, (i64, String, Vec<u8>, jiff_sqlx::Timestamp)>(
        "SELECT version, description, checksum, installed_on FROM workflow.schema_migration ORDER BY version",
    )
    .fetch_all(&mut *connection)
    .await?
    .into_iter()
    .map(|(version, description, checksum, applied_at)| Applied {
        version,
        description,
        checksum,
        applied_at: applied_at.to_jiff(),
    })
    .collect();
    let (contracted_to, engine_version, begun) = sqlx::query_as::<_, (i64, Option<String>, Option<i64>)>(
        "SELECT contracted_to, engine_version, begun FROM workflow.schema_state",
    )
    .fetch_optional(connection)
    .await?
    .unwrap_or_default();
    Ok(State { applied, contracted_to, engine_version, begun, lock_holder })
}

/// Application name of the session that holds the migration lock.
async fn observe_lock_holder(connection: &mut PgConnection) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT coalesce(a.application_name, 'unknown') FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
         WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
           AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
           AND l.classid = ($1 >> 32)::oid AND l.objid = ($1 & 4294967295)::oid",
    )
    .bind(migrate::LOCK)
    .fetch_optional(connection)
    .await
}

/// In lower case.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests;
