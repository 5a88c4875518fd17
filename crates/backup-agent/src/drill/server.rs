//! A PostgreSQL server in a temporary folder, reachable only through a Unix socket in it.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use backup_format::{Failure, Reason};
use tempfile::TempDir;

use crate::database::Login;
use crate::programs::{Messages, Programs};

/// The superuser. Only this process's user reaches the socket, so it needs no password.
pub(super) const USER: &str = "postgres";
/// The database that initdb makes.
pub(super) const DATABASE: &str = "postgres";
/// A start takes below a second, on a busy machine a few.
const START_TIMEOUT: Duration = Duration::from_mins(1);
/// An immediate shutdown writes nothing.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// A running server. Dropping it stops it and removes its data.
pub(super) struct Server {
    // The order is the order of drop: the server ends before its folder is removed.
    process: Process,
    folder: TempDir,
}

impl Server {
    /// Makes the data folder and starts the server on it.
    pub(super) async fn start(programs: &Programs) -> Result<Self, Failure> {
        if rustix::process::geteuid().is_root() {
            return Err(Failure::new(
                Reason::InternalError,
                "PostgreSQL does not run as root: run the drill as another user",
            ));
        }
        // Its permissions are the user's alone. The path is short: that of a socket has 107 characters at most.
        let folder = tempfile::Builder::new().prefix("drill-").tempdir().map_err(|error| {
            Failure::new(
                Reason::InternalError,
                format!("the temporary folder cannot be used: {}; mount an emptyDir at /tmp", error.kind()),
            )
        })?;
        let data = folder.path().join("data");
        initialize(programs, &data).await?;
        let process = Process::start(programs, &data, folder.path())?;
        let mut server = Self { process, folder };
        server.await_ready().await?;
        Ok(server)
    }

    /// Where its socket is.
    pub(super) fn socket_folder(&self) -> &Path {
        self.folder.path()
    }

    async fn await_ready(&mut self) -> Result<(), Failure> {
        let began = Instant::now();
        let login = Login::local(self.socket_folder(), USER, DATABASE);
        loop {
            // Without its socket it cannot be ready.
            if has_socket(self.socket_folder()) && login.connect("drill").await.is_ok() {
                return Ok(());
            }
            if self.process.has_ended() || began.elapsed() > START_TIMEOUT {
                return Err(Failure::new(
                    Reason::RestoreFailed,
                    "the PostgreSQL server of the drill does not start: its messages are in the log of the pod",
                ));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

fn has_socket(folder: &Path) -> bool {
    let names = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.into_iter().any(|name| name.to_string_lossy().starts_with(".s.PGSQL."))
}

async fn initialize(programs: &Programs, data: &PathBuf) -> Result<(), Failure> {
    let mut command = programs.command("initdb")?;
    command
        .arg("--pgdata")
        .arg(data)
        .args(["--username", USER, "--auth", "trust", "--encoding", "UTF8", "--locale", "C.UTF-8"])
        .args(["--no-sync", "--no-instructions"]);
    let mut child = crate::programs::start(&mut command, "initdb")?;
    let errors = child.stderr.take();
    let (messages, status) =
        tokio::join!(Messages::read(errors, "initdb"), crate::programs::ended(&mut child, "initdb"));
    if status?.success() {
        return Ok(());
    }
    let full = messages.mention("No space left on device");
    Err(Failure::new(
        if full { Reason::DatabaseFull } else { Reason::InternalError },
        if full {
            "the drill has no space for its server: give the pod a larger emptyDir at /tmp"
        } else {
            "initdb failed: its messages are in the log of the pod"
        },
    ))
}

/// The postmaster. Of `std`, so that it can be waited for when it is dropped.
struct Process(Child);

impl Process {
    fn start(programs: &Programs, data: &Path, socket_folder: &Path) -> Result<Self, Failure> {
        let mut command = std::process::Command::new(programs.find("postgres")?);
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("LC_ALL", "C.UTF-8")
            .arg("-D")
            .arg(data)
            // Its data lives no longer than it does, so nothing is synced.
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "full_page_writes=off"])
            .args(["-c", "synchronous_commit=off", "-c", "wal_level=minimal", "-c", "max_wal_senders=0"])
            .args(["-c", "max_connections=10", "-c", "autovacuum=off", "-c", "unix_socket_permissions=0700"])
            .arg("-c")
            .arg(format!("unix_socket_directories={}", socket_folder.display()))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            // Its log goes to the pod's. It has no rows in it: error_verbosity terse leaves the details out.
            .args(["-c", "log_error_verbosity=terse", "-c", "log_min_error_statement=panic"])
            .stderr(Stdio::inherit());
        command.spawn().map(Self).map_err(|error| {
            Failure::new(Reason::InternalError, format!("postgres cannot be started: {}", error.kind()))
        })
    }

    fn has_ended(&mut self) -> bool {
        !matches!(self.0.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.has_ended() {
            return;
        }
        // QUIT ends its children as well, KILL would leave them behind.
        if let Ok(id) = i32::try_from(self.0.id())
            && let Some(id) = rustix::process::Pid::from_raw(id)
        {
            let _ = rustix::process::kill_process(id, rustix::process::Signal::QUIT);
        }
        let began = Instant::now();
        while !self.has_ended() && began.elapsed() < STOP_TIMEOUT {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
