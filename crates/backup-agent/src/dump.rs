//! Runs pg_dump, and sends what it writes two ways at once: sealed to the storage, and as it is to a `pg_restore` without a
//! database, which says what rows are in it.

use backup_format::{Failure, Reason};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin};

use crate::copied::{Counts, RowCounter};
use crate::database::ClientAccess;
use crate::hash::StreamHash;
use crate::programs::{Messages, Programs, ended, start};
use crate::seal::Sealer;
use crate::storage::Upload;
use backup_format::{OPERATOR_TABLES, VOLATILE_TABLES};

/// Read at once.
const PIECE: usize = 256 * 1024;

/// What was written.
#[derive(Debug)]
pub struct Dumped {
    /// Bytes, as stored.
    pub size: u64,
    /// Their SHA-256 in hexadecimal.
    pub sha256: String,
    /// The rows that a restore would load.
    pub counts: Counts,
}

/// Dumps the schema `workflow` as the snapshot shows it.
pub async fn dump(
    programs: &Programs,
    access: &ClientAccess,
    snapshot: &str,
    sealer: Sealer,
    upload: &mut Upload,
) -> Result<Dumped, Failure> {
    let mut command = programs.client("pg_dump", access)?;
    command
        .args(["--format=custom", "--schema=workflow", "--no-owner", "--no-privileges"])
        // Without it pg_dump fails on the first table with row-level security; with it the policies decide, see `reading`.
        .args(["--enable-row-security", "--no-password", "--lock-wait-timeout=10s"])
        .arg(format!("--snapshot={snapshot}"))
        .args(OPERATOR_TABLES.iter().map(|table| format!("--exclude-table=workflow.{table}")))
        .args(VOLATILE_TABLES.iter().map(|table| format!("--exclude-table-data=workflow.{table}")))
        .stdout(std::process::Stdio::piped());
    let mut dumping = start(&mut command, "pg_dump")?;
    let (output, errors) = (dumping.stdout.take(), dumping.stderr.take());
    let mut script = ScriptReader::start(programs)?;

    let splitting = split(output, script.input.take(), sealer, upload);
    let (stored, counts, messages) =
        tokio::join!(splitting, script.count_rows(), Messages::read(errors, "pg_dump"));
    let status = ended(&mut dumping, "pg_dump").await?;
    let (size, sha256) = stored?;
    if !status.success() {
        return Err(describe(&messages));
    }
    Ok(Dumped { size, sha256, counts: counts? })
}

async fn split(
    output: Option<impl AsyncRead + Unpin>,
    counter: Option<ChildStdin>,
    mut sealer: Sealer,
    upload: &mut Upload,
) -> Result<(u64, String), Failure> {
    let (Some(mut output), Some(mut counter)) = (output, counter) else {
        return Err(Failure::new(Reason::InternalError, "pg_dump has no output"));
    };
    let mut hash = StreamHash::default();
    let mut piece = vec![0; PIECE];
    loop {
        let length = output.read(&mut piece).await.map_err(|error| {
            Failure::new(
                Reason::PgDumpFailed,
                format!("the output of pg_dump cannot be read: {}", error.kind()),
            )
        })?;
        if length == 0 {
            break;
        }
        // A counter that ended early says why itself.
        let _ = counter.write_all(&piece[..length]).await;
        let stored = sealer.seal(&piece[..length])?;
        hash.add(&stored);
        upload.write(stored).await?;
    }
    drop(counter);
    let stored = sealer.finish()?;
    hash.add(&stored);
    upload.write(stored).await?;
    Ok(hash.finish())
}

fn describe(messages: &Messages) -> Failure {
    let why = if messages.mention("server version mismatch") {
        return Failure::new(Reason::PgDumpTooOld, "the database server is newer than the agent's pg_dump");
    } else if messages.mention("could not open snapshot") || messages.mention("invalid snapshot identifier") {
        "the snapshot was gone: the session that held it was ended"
    } else if messages.mention("connection to server") {
        return Failure::new(
            Reason::DatabaseUnreachable,
            "pg_dump cannot log in to the database: its message is in the log of the pod",
        );
    } else {
        "its messages are in the log of the pod"
    };
    Failure::new(Reason::PgDumpFailed, format!("pg_dump failed: {why}"))
}

/// `pg_restore` that writes what it would load, and the count of that.
pub struct ScriptReader {
    child: Child,
    /// The dump goes here.
    pub input: Option<ChildStdin>,
}

impl ScriptReader {
    /// Starts it.
    pub fn start(programs: &Programs) -> Result<Self, Failure> {
        let mut command = programs.command("pg_restore")?;
        command
            .args(["--data-only", "--file=-"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped());
        let mut child = start(&mut command, "pg_restore")?;
        let input = child.stdin.take();
        Ok(Self { child, input })
    }

    /// Reads to the end. Somebody else writes to [`Self::input`] meanwhile.
    pub async fn count_rows(mut self) -> Result<Counts, Failure> {
        let (output, errors) = (self.child.stdout.take(), self.child.stderr.take());
        let mut counter = RowCounter::default();
        let counting = async {
            let Some(mut output) = output else { return Ok(()) };
            let mut piece = vec![0; PIECE];
            loop {
                let length = output.read(&mut piece).await?;
                if length == 0 {
                    return Ok::<(), std::io::Error>(());
                }
                counter.read(&piece[..length]);
            }
        };
        let (read, _) = tokio::join!(counting, Messages::read(errors, "pg_restore"));
        let status = ended(&mut self.child, "pg_restore").await?;
        if read.is_err() || !status.success() {
            return Err(Failure::new(
                Reason::ArtefactAltered,
                "pg_restore cannot read the dump: its messages are in the log of the pod",
            ));
        }
        counter.finish()
    }
}
