//! `adopt`: completes a database that another operator recovered from a base backup, as [`crate::restore`] completes one
//! that it loaded.
//!
//! What was recovered is the source's database with everything in it: its leases, its nodes, its claim. Everything that can
//! be refused is refused before the one transaction that makes the database the new owner's.

use std::time::Instant;

use backup_format::{Failure, PhysicalId, Reason, RestoreReport};
use jiff::Timestamp;
use sqlx::PgConnection;

use crate::args::AdoptArgs;
use crate::backup::check_owner;
use crate::database::{Login, failed};
use crate::reading::apply_reading;
use crate::restore::{Recovered, apply_finish, check_schema, check_version, lock, observe_restored};
use crate::snapshot::{Source, observe_source, observe_totals};

/// Completes the database, or reports that it is complete already.
pub async fn run(args: &AdoptArgs) -> Result<RestoreReport, Failure> {
    let began = Instant::now();
    let id: PhysicalId = args
        .backup_id
        .parse()
        .map_err(|error| Failure::new(Reason::InternalError, format!("--backup-id: {error}")))?;
    check_owner(&args.target.new_owner, "--new-owner")?;
    let login = Login::read(&args.database)?;
    let mut connection = login.connect("adopt").await?;
    lock(&mut connection).await?;
    if let Some(report) = observe_own_report(&mut connection, &id, &args.target.new_owner).await? {
        return Ok(report);
    }
    let source = observe_source(&mut connection).await?;
    let engine_version = check_fits(args, &id, &source)?;
    let source_owner = observe_claim(&mut connection).await?.unwrap_or_else(|| args.target.new_owner.clone());
    apply_reading(&mut connection).await?;
    let recovered = Recovered {
        backup_id: id.into(),
        source_owner,
        snapshot_at: observe_recovered_to(&mut connection).await?,
        engine_version,
        schema_version: source.schema_version,
        digest: None,
        totals: observe_totals(&mut connection).await?,
        key_block: 0,
    };
    let report = apply_finish(&mut connection, recovered, &args.target.new_owner, began).await?;
    tracing::info!(backup = %report.backup_id, "adopted");
    Ok(report)
}

/// The report of this very adoption: the source may have been restored itself, and its row is in the backup.
async fn observe_own_report(
    connection: &mut PgConnection,
    id: &PhysicalId,
    new_owner: &str,
) -> Result<Option<RestoreReport>, Failure> {
    let Some(found) = observe_restored(connection).await? else { return Ok(None) };
    let is_own = found.owner == new_owner && found.backup_id == id.to_string();
    Ok(if is_own { serde_json::from_value(found.report).ok() } else { None })
}

/// The engine version of the database; that of the new cluster when a migration was at work at that time.
fn check_fits(args: &AdoptArgs, id: &PhysicalId, source: &Source) -> Result<String, Failure> {
    let target = &args.target.engine_version;
    check_schema(&id.to_string(), source.schema_version, args.target.max_schema_version, target)?;
    match &source.recorded_engine_version {
        Some(recorded) => {
            check_version(&id.to_string(), recorded, target)?;
            Ok(recorded.clone())
        }
        None => Ok(target.clone()),
    }
}

/// Whose the database was: `<installation>/<namespace>/<name>`.
async fn observe_claim(connection: &mut PgConnection) -> Result<Option<String>, Failure> {
    let doing = |error: sqlx::Error| failed("read whose the database was", &error);
    let has_claim: bool = sqlx::query_scalar("SELECT to_regclass('workflow.database_claim') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await
        .map_err(doing)?;
    if !has_claim {
        return Ok(None);
    }
    sqlx::query_scalar("SELECT installation || '/' || namespace || '/' || name FROM workflow.database_claim")
        .fetch_optional(connection)
        .await
        .map_err(doing)
}

/// The last transaction that was replayed. A server that was restarted since says nothing: then it is now.
async fn observe_recovered_to(connection: &mut PgConnection) -> Result<Timestamp, Failure> {
    let at: jiff_sqlx::Timestamp =
        sqlx::query_scalar("SELECT coalesce(pg_last_xact_replay_timestamp(), clock_timestamp())")
            .fetch_one(connection)
            .await
            .map_err(|error| failed("read how far the database was recovered", &error))?;
    Ok(at.to_jiff())
}
