//! Loads the data in one transaction.
//!
//! pg_restore has no connection of its own: it makes a script of the dump, and the agent's session executes that. So a setting
//! that the server does not know can be left out, and the agent commits when it knows that everything was right.

mod script;

use std::collections::BTreeSet;
use std::io::Write as _;

use backup_format::{Failure, Manifest, Reason};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tokio::io::AsyncRead;

use super::Source;
use crate::artefact::{self, OnEarlyEnd};
use crate::database::{Login, failed, has_code};
use crate::programs::{Messages, Programs, ended, major, start};
use script::{Script, Step};

/// Loads the entries. On an error nothing of them stays.
pub(super) async fn load(
    login: &Login,
    source: &Source<'_>,
    entries: &str,
    programs: &Programs,
) -> Result<(), Failure> {
    let unusable = |error: std::io::Error| {
        Failure::new(Reason::InternalError, format!("the temporary folder cannot be used: {}", error.kind()))
    };
    let mut list = tempfile::NamedTempFile::new().map_err(unusable)?;
    list.write_all(entries.as_bytes()).map_err(unusable)?;
    let mut connection = login.connect("load").await?;
    let settings = observe_settings(&mut connection).await?;

    let mut command = programs.command("pg_restore")?;
    command
        .args(["--file=-", "--no-owner", "--no-privileges", "--use-list"])
        .arg(list.path())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped());
    let mut writing = start(&mut command, "pg_restore")?;
    let (Some(input), Some(output)) = (writing.stdin.take(), writing.stdout.take()) else {
        return Err(Failure::new(Reason::InternalError, "pg_restore has no input or output"));
    };
    let errors = writing.stderr.take();
    let reading =
        artefact::read_data(source.storage, source.manifest, source.identity, input, OnEarlyEnd::Stop);
    let executing = execute(&mut connection, Script::new(output, settings));
    let (read, executed, _) = tokio::join!(reading, executing, Messages::read(errors, "pg_restore"));
    let status = ended(&mut writing, "pg_restore").await?;
    match (read, executed) {
        // The first error ends the other side as well, so the database's own comes first.
        (_, Err(Stop::Database(failure))) => Err(with_versions(failure, &connection, source.manifest)),
        (Err(failure), _) | (_, Err(Stop::Script(failure))) => Err(failure),
        (Ok(()), Ok(())) if !status.success() => Err(Failure::new(
            Reason::RestoreFailed,
            "pg_restore failed and nothing of the restore was kept: its messages are in the log of the pod",
        )),
        (Ok(()), Ok(())) => connection
            .execute("COMMIT")
            .await
            .map(drop)
            .map_err(|error| failed("commit what was loaded", &error)),
    }?;
    // A session that does not end well has committed all the same.
    let _ = connection.close().await;
    Ok(())
}

/// Says so when the server is older than the one that was backed up. PostgreSQL promises nothing then; all that an engine's schema
/// has can be loaded by every server that the engine runs on.
fn with_versions(failure: Failure, connection: &PgConnection, manifest: &Manifest) -> Failure {
    let target = connection.server_version_num().map(|number| number / 10_000);
    match (target, major(&manifest.server_version)) {
        (Some(target), Some(source)) if target < source && failure.reason == Reason::RestoreFailed => {
            Failure::new(
                failure.reason,
                format!(
                    "{}; the server has PostgreSQL {target}, which is older than that of the backup: if that is why, restore into {source} or newer",
                    failure.message
                ),
            )
        }
        _ => failure,
    }
}

/// The settings that this server knows.
async fn observe_settings(connection: &mut PgConnection) -> Result<BTreeSet<String>, Failure> {
    let names: Vec<String> = sqlx::query_scalar("SELECT name FROM pg_settings")
        .fetch_all(connection)
        .await
        .map_err(|error| failed("read the settings of the server", &error))?;
    Ok(names.into_iter().collect())
}

/// Why the script was not executed to its end.
enum Stop {
    /// The database refused a step, or was gone.
    Database(Failure),
    /// The script is none.
    Script(Failure),
}

impl From<sqlx::Error> for Stop {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(describe(&error))
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Script(failure)
    }
}

/// Executes everything in a transaction, and leaves it open.
async fn execute<R: AsyncRead + Unpin>(
    connection: &mut PgConnection,
    mut script: Script<R>,
) -> Result<(), Stop> {
    let misplaced = || Failure::new(Reason::InternalError, "the script has rows without a table");
    connection.execute("BEGIN").await?;
    while let Some(step) = script.next().await? {
        let copy = match step {
            Step::Sql(sql) => {
                connection.execute(AssertSqlSafe(sql)).await?;
                continue;
            }
            Step::Copy(copy) => copy,
            Step::Rows(_) | Step::EndOfRows => return Err(misplaced().into()),
        };
        let mut loading = connection.copy_in_raw(&copy).await?;
        loop {
            match script.next().await? {
                Some(Step::Rows(rows)) => loading.send(rows).await.map(drop)?,
                Some(Step::EndOfRows) => break loading.finish().await.map(drop)?,
                Some(Step::Sql(_) | Step::Copy(_)) | None => return Err(misplaced().into()),
            }
        }
    }
    Ok(())
}

/// The failure of a step. Its message may quote a row, so it is in the log alone.
fn describe(error: &sqlx::Error) -> Failure {
    if has_code(error, "42501") {
        tracing::warn!(%error, "failed to load the data");
        return Failure::new(
            Reason::RestoreFailed,
            "the database user lacks a privilege for the restore: make it the owner of the database, or of the schema 'workflow'",
        );
    }
    match failed("load the data", error) {
        Failure { reason: Reason::DatabaseFull, .. } => Failure::new(
            Reason::DatabaseFull,
            "the database server has no space left for the restore: nothing of it was kept; give it more and restore again",
        ),
        Failure { reason: Reason::DatabaseUnreachable, .. } => {
            Failure::new(Reason::DatabaseUnreachable, "the restore lost the database: nothing of it was kept")
        }
        failure => Failure::new(
            Reason::RestoreFailed,
            format!(
                "{}; nothing of the restore was kept: the database's message is in the log of the pod",
                failure.message
            ),
        ),
    }
}
