//! Reads a backup as a whole before anything is written, and chooses what of it is loaded.

use backup_format::{Failure, OPERATOR_TABLES, Reason, VOLATILE_TABLES};
use tokio::io::AsyncReadExt as _;

use super::Source;
use crate::artefact::{self, OnEarlyEnd};
use crate::programs::{Messages, Programs, check_pg_restore, ended, start};

/// The list of a dump's entries to load, as `pg_restore --use-list` wants it. Checks the whole data first.
pub(super) async fn list(source: &Source<'_>, programs: &Programs) -> Result<String, Failure> {
    check_pg_restore(programs, source.manifest).await?;
    let mut command = programs.command("pg_restore")?;
    command.arg("--list").stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut listing = start(&mut command, "pg_restore")?;
    let (Some(input), Some(mut output)) = (listing.stdin.take(), listing.stdout.take()) else {
        return Err(Failure::new(Reason::InternalError, "pg_restore has no input or output"));
    };
    let errors = listing.stderr.take();
    let mut text = String::new();
    // pg_restore reads the beginning only, the check goes on to the end.
    let reading = artefact::read_data(
        source.storage,
        source.manifest,
        source.identity,
        Lossy(input),
        OnEarlyEnd::ReadOn,
    );
    let (read, listed, _) =
        tokio::join!(reading, output.read_to_string(&mut text), Messages::read(errors, "pg_restore"));
    read?;
    let status = ended(&mut listing, "pg_restore").await?;
    if listed.is_err() || !status.success() {
        return Err(Failure::new(
            Reason::ArtefactAltered,
            format!("the data of backup {} is no dump that pg_restore can read", source.manifest.backup_id),
        ));
    }
    Ok(plan_entries(&text))
}

/// Leaves out what the target has or must not get: the schema itself, which the restore has made; the policies for reading,
/// which name roles of the source and are made anew; privileges; and rows about processes of the source.
fn plan_entries(list: &str) -> String {
    list.lines().filter(|line| is_wanted(line)).fold(String::new(), |mut kept, line| {
        kept.push_str(line);
        kept.push('\n');
        kept
    })
}

/// `3412; 3256 16543 POLICY workflow job monitor_read owner`
fn is_wanted(line: &str) -> bool {
    let Some(entry) = line.split_once(';').map(|(_, entry)| entry.trim_start()) else { return false };
    let Some(entry) = entry.splitn(3, ' ').nth(2) else { return false };
    let is_unwanted = entry.starts_with("SCHEMA - workflow ")
        || entry.starts_with("COMMENT - SCHEMA workflow ")
        || (entry.starts_with("POLICY workflow ") && entry.contains(" monitor_read "))
        || entry.starts_with("ACL ")
        || entry.starts_with("DEFAULT ACL ")
        || OPERATOR_TABLES.iter().any(|table| is_of_table(entry, "TABLE", table))
        || OPERATOR_TABLES
            .iter()
            .chain(&VOLATILE_TABLES)
            .any(|table| is_of_table(entry, "TABLE DATA", table));
    !is_unwanted
}

fn is_of_table(entry: &str, kind: &str, table: &str) -> bool {
    entry.starts_with(&format!("{kind} workflow {table} "))
}

/// A pipe whose reader may have read enough: what is written after that is dropped.
struct Lossy<W>(W);

impl<W: tokio::io::AsyncWrite + Unpin> tokio::io::AsyncWrite for Lossy<W> {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        std::pin::Pin::new(&mut self.0)
            .poll_write(context, bytes)
            .map(|written| Ok(written.unwrap_or(bytes.len())))
    }

    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_flush(context).map(|_| Ok(()))
    }

    fn poll_shutdown(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_shutdown(context).map(|_| Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::schema("6; 2615 16389 SCHEMA - workflow owner", false)]
    #[case::table("217; 1259 16391 TABLE workflow job owner", true)]
    #[case::data("3424; 0 16391 TABLE DATA workflow job owner", true)]
    #[case::nodes("3424; 0 16391 TABLE workflow node owner", true)]
    #[case::rows_of_nodes("3424; 0 16391 TABLE DATA workflow node owner", false)]
    #[case::fences("3424; 0 16391 TABLE DATA workflow writer owner", false)]
    #[case::claim("3424; 0 16391 TABLE workflow database_claim owner", false)]
    #[case::wall("3370; 3256 16500 POLICY workflow job tenant_wall owner", true)]
    #[case::reading("3371; 3256 16501 POLICY workflow job monitor_read owner", false)]
    #[case::row_security("3369; 0 16391 ROW SECURITY workflow job owner", true)]
    #[case::privileges("3440; 0 0 ACL workflow TABLE job owner", false)]
    #[case::sequence("3450; 0 0 SEQUENCE SET workflow key_block owner", true)]
    #[case::comment(";     Format: CUSTOM", false)]
    fn entries(#[case] line: &str, #[case] wanted: bool) {
        assert_eq!(is_wanted(line), wanted);
    }
}
