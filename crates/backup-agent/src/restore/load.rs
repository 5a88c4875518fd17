//! Loads the data in one transaction.

use std::io::Write as _;

use backup_format::{Failure, Reason};

use super::Source;
use crate::artefact::{self, OnEarlyEnd};
use crate::database::Login;
use crate::programs::{Messages, Programs, ended, start};

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
    let access = login.open_client_access("pg_restore")?;
    let mut command = programs.client("pg_restore", &access)?;
    command
        .args(["--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges", "--no-password"])
        .arg("--use-list")
        .arg(list.path())
        .arg("--dbname")
        .arg(connection_string(&access.database))
        .stdin(std::process::Stdio::piped());
    let mut loading = start(&mut command, "pg_restore")?;
    let Some(input) = loading.stdin.take() else {
        return Err(Failure::new(Reason::InternalError, "pg_restore has no input"));
    };
    let errors = loading.stderr.take();
    // The end of the data goes to pg_restore only when the data was found to be as written once more. pg_restore needs it for
    // the last table, so that it commits nothing before.
    let reading =
        artefact::read_data(source.storage, source.manifest, source.identity, input, OnEarlyEnd::Stop);
    let (read, messages) = tokio::join!(reading, Messages::read(errors, "pg_restore"));
    let status = ended(&mut loading, "pg_restore").await?;
    if let Err(failure) = read {
        // Unless pg_restore ended first and has a better reason.
        if status.success() || failure.reason != Reason::ArtefactAltered {
            return Err(failure);
        }
    }
    if status.success() { Ok(()) } else { Err(describe(&messages)) }
}

/// libpq takes a name with `=` in it for a connection string, so it always gets one.
fn connection_string(database: &str) -> String {
    format!("dbname='{}'", database.replace('\\', "\\\\").replace('\'', "\\'"))
}

fn describe(messages: &Messages) -> Failure {
    if ["No space left on device", "could not extend file", "Disk quota exceeded"]
        .iter()
        .any(|sign| messages.mention(sign))
    {
        return Failure::new(
            Reason::DatabaseFull,
            "the database server has no space left for the restore: nothing of it was kept; give it more and restore again",
        );
    }
    if messages.mention("connection to server") {
        return Failure::new(
            Reason::DatabaseUnreachable,
            "pg_restore lost the database, or cannot log in to it: nothing of the restore was kept",
        );
    }
    if messages.mention("permission denied") {
        return Failure::new(
            Reason::RestoreFailed,
            "the database user lacks a privilege for the restore: make it the owner of the database, or of the schema 'workflow'",
        );
    }
    Failure::new(
        Reason::RestoreFailed,
        "pg_restore failed and nothing of the restore was kept: its messages are in the log of the pod",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_databases_are_quoted_for_libpq() {
        assert_eq!(connection_string("workflow"), "dbname='workflow'");
        assert_eq!(connection_string(r"a=b'c\d"), r"dbname='a=b\'c\\d'");
    }
}
