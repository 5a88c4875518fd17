//! The programs of PostgreSQL: where they are, and how they are run.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use backup_format::{Failure, Manifest, Reason};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};

use crate::database::ClientAccess;

/// Where Debian has each major version.
const DEBIAN: &str = "/usr/lib/postgresql";
/// Lines of a program's messages that are kept.
const KEPT_LINES: usize = 20;
/// Longest line of a program's messages that is kept.
const KEPT_CHARS: usize = 300;

/// Where the programs are.
#[derive(Clone, Debug, Default)]
pub struct Programs {
    /// This folder and no other.
    pub bindir: Option<PathBuf>,
}

impl Programs {
    /// The path of a program. Debian's folders come before `PATH`, where Debian has a wrapper that chooses a version by
    /// settings of its own.
    pub fn find(&self, program: &str) -> Result<PathBuf, Failure> {
        let found = match &self.bindir {
            Some(bindir) => Some(bindir.join(program)).filter(|path| path.is_file()),
            None => find_debians(Path::new(DEBIAN), program).or_else(|| find_in_path(program)),
        };
        found.ok_or_else(|| {
            Failure::new(
                Reason::InternalError,
                format!(
                    "the image has no program {program}: it needs the client and the server of PostgreSQL"
                ),
            )
        })
    }

    /// A command without the agent's own environment, which has nothing that the program needs.
    pub fn command(&self, program: &str) -> Result<Command, Failure> {
        let mut command = Command::new(self.find(program)?);
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("LC_ALL", "C.UTF-8")
            .env("TMPDIR", std::env::temp_dir())
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        Ok(command)
    }

    /// A command that logs in to a database.
    pub fn client(&self, program: &str, access: &ClientAccess) -> Result<Command, Failure> {
        let mut command = self.command(program)?;
        command.envs(access.variables.iter().map(|(name, value)| (*name, value.as_str())));
        Ok(command)
    }

    /// The version that a program says it has: `15.13`.
    pub async fn version(&self, program: &str) -> Result<String, Failure> {
        let mut command = self.command(program)?;
        let output = command.arg("--version").stdout(Stdio::piped()).output().await;
        let text = output.ok().and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
        parse_version(&text).ok_or_else(|| {
            Failure::new(Reason::InternalError, format!("the image's {program} does not print its version"))
        })
    }
}

/// Refuses a dump of a newer pg_dump, which an older pg_restore takes for garbage.
pub async fn check_pg_restore(programs: &Programs, manifest: &Manifest) -> Result<(), Failure> {
    let (own, theirs) = (programs.version("pg_restore").await?, &manifest.pg_dump_version);
    match (major(&own), major(theirs)) {
        (Some(own), Some(theirs)) if own >= theirs => Ok(()),
        _ => Err(Failure::new(
            Reason::FormatUnsupported,
            format!(
                "backup {} was made with pg_dump {}, and this agent has pg_restore {own}: use an agent image with PostgreSQL {} or newer",
                manifest.backup_id,
                plain_text::one_line(theirs, KEPT_CHARS),
                major(theirs).unwrap_or_default()
            ),
        )),
    }
}

/// Starts it; `program` is for the message.
pub fn start(command: &mut Command, program: &str) -> Result<Child, Failure> {
    command.spawn().map_err(|error| {
        Failure::new(Reason::InternalError, format!("{program} cannot be started: {}", error.kind()))
    })
}

/// Waits for its end.
pub async fn ended(child: &mut Child, program: &str) -> Result<ExitStatus, Failure> {
    child.wait().await.map_err(|error| {
        Failure::new(Reason::InternalError, format!("{program} cannot be waited for: {}", error.kind()))
    })
}

/// "pg_dump (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)"
fn parse_version(text: &str) -> Option<String> {
    let version = text.split_once("(PostgreSQL)")?.1.split_whitespace().next()?;
    version.starts_with(|c: char| c.is_ascii_digit()).then(|| version.to_owned())
}

/// The major version of `15.13` or `17devel`.
pub fn major(version: &str) -> Option<u32> {
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn find_debians(folder: &Path, program: &str) -> Option<PathBuf> {
    let versions = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let found = versions.filter_map(|entry| {
        let version: u32 = entry.file_name().to_str()?.parse().ok()?;
        Some((version, entry.path().join("bin").join(program)))
    });
    found.filter(|(_, path)| path.is_file()).max().map(|(_, path)| path)
}

fn find_in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// What a program said on its standard error. The lines that may quote rows are left out.
#[derive(Debug, Default)]
pub struct Messages {
    lines: VecDeque<String>,
}

impl Messages {
    /// Reads until the end, and logs each line.
    pub async fn read(from: Option<impl AsyncRead + Unpin>, program: &'static str) -> Self {
        let mut messages = Self::default();
        let Some(from) = from else { return messages };
        let mut reader = BufReader::new(from);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).await.is_ok_and(|length| length > 0) {
            let text = plain_text::one_line(&String::from_utf8_lossy(&line), KEPT_CHARS);
            line.clear();
            if !text.starts_with(&format!("{program}: ")) || quotes_rows(&text) {
                continue;
            }
            tracing::warn!(program, "{text}");
            if messages.lines.len() == KEPT_LINES {
                messages.lines.pop_front();
            }
            messages.lines.push_back(text);
        }
        messages
    }

    /// Whether a line has this in it.
    pub fn mention(&self, text: &str) -> bool {
        self.lines.iter().any(|line| line.contains(text))
    }
}

/// pg_restore repeats the statement that failed, and Postgres the row.
fn quotes_rows(line: &str) -> bool {
    ["Command was:", "CONTEXT:", "DETAIL:", "Key ("].iter().any(|sign| line.contains(sign))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::debian("pg_dump (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)\n", Some("15.13"), Some(15))]
    #[case::plain("postgres (PostgreSQL) 17.2\n", Some("17.2"), Some(17))]
    #[case::unfinished("pg_dump (PostgreSQL) 19devel\n", Some("19devel"), Some(19))]
    #[case::other("bash 5", None, None)]
    fn versions(#[case] text: &str, #[case] version: Option<&str>, #[case] number: Option<u32>) {
        let found = parse_version(text);
        assert_eq!(found.as_deref(), version);
        assert_eq!(found.as_deref().and_then(major), number);
    }

    #[test]
    fn the_newest_of_debians_versions_is_found() {
        let folder = tempfile::tempdir().expect("a folder");
        for version in ["9", "15", "16", "common"] {
            let bin = folder.path().join(version).join("bin");
            std::fs::create_dir_all(&bin).expect("a folder");
            if version != "16" {
                std::fs::write(bin.join("pg_dump"), "").expect("a file");
            }
        }
        let found = find_debians(folder.path(), "pg_dump");
        assert_eq!(found, Some(folder.path().join("15/bin/pg_dump")));
        assert_eq!(find_debians(folder.path(), "initdb"), None);
    }

    #[tokio::test]
    async fn messages_never_quote_rows() {
        let said: &[u8] = b"pg_restore: error: COPY failed for table \"job\": ERROR:  x\n\
            DETAIL:  Key (tenant_id)=(acme) already exists.\n\
            CONTEXT:  COPY job, line 1: \"acme secret\"\n\
            pg_restore: error: could not execute query: Command was: INSERT secret\n";
        let messages = Messages::read(Some(said), "pg_restore").await;
        assert_eq!(messages.lines, ["pg_restore: error: COPY failed for table \"job\": ERROR: x"]);
    }
}
