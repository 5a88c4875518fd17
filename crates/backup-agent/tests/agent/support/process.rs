//! The agent as a process of its own, for what happens to processes.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use backup_format::Outcome;
use sqlx::PgConnection;

use super::World;

const BINARY: &str = env!("CARGO_BIN_EXE_backup-agent");
/// The user that PostgreSQL runs as when the tests run as root.
const NOBODY: u32 = 65534;

/// A running agent, in a process group of its own like the processes of a pod.
pub(crate) struct Agent {
    child: Child,
    result: PathBuf,
    log: PathBuf,
}

impl World {
    pub(crate) fn start(&self, arguments: Vec<OsString>) -> Agent {
        self.start_command(Command::new(BINARY), arguments)
    }

    /// With a limit for the size of each file it writes, in KiB: what a full volume is to the agent.
    pub(crate) fn start_limited(&self, kib: u32, arguments: Vec<OsString>) -> Agent {
        let mut shell = Command::new("bash");
        // Ignored, the signal becomes the error EFBIG of the write.
        let script = format!("trap '' XFSZ; ulimit -f {kib}; exec \"$0\" \"$@\"");
        shell.arg("-c").arg(script).arg(BINARY);
        // The log is a file as well.
        let quiet = ["--log".into(), "error".into()];
        self.start_command(shell, arguments.into_iter().chain(quiet).collect())
    }

    /// As a user that PostgreSQL starts for: not as root. The binary is copied to where that user finds it.
    pub(crate) fn start_unprivileged(&self, temporary: &str, arguments: Vec<OsString>) -> Agent {
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
        let copy = self.path("agent");
        std::fs::copy(BINARY, &copy).expect("is copied");
        let temporary = self.path(temporary);
        std::fs::create_dir(&temporary).expect("a folder");
        let mut command = Command::new(&copy);
        if std::fs::metadata("/proc/self").expect("has an owner").uid() == 0 {
            std::os::unix::fs::chown(&temporary, Some(NOBODY), Some(NOBODY)).expect("gets its owner");
            let folder = copy.parent().expect("has a folder");
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).expect("is opened");
            command.uid(NOBODY).gid(NOBODY);
        }
        let result = temporary.join("result");
        command.env("TMPDIR", &temporary);
        self.start_with_result(command, arguments, result)
    }

    fn start_command(&self, command: Command, arguments: Vec<OsString>) -> Agent {
        let result = self.path(&format!("result-{}", uuid::Uuid::new_v4().simple()));
        self.start_with_result(command, arguments, result)
    }

    fn start_with_result(&self, mut command: Command, arguments: Vec<OsString>, result: PathBuf) -> Agent {
        let log = self.path(&format!("log-{}", uuid::Uuid::new_v4().simple()));
        let errors = std::fs::File::create(&log).expect("a log");
        let output = errors.try_clone().expect("a log");
        command
            .args(arguments)
            .arg("--result-file")
            .arg(&result)
            .env("WORKFLOW_LOG", "debug")
            .stdin(Stdio::null())
            .stdout(Stdio::from(output))
            .stderr(Stdio::from(errors))
            .process_group(0);
        Agent { child: command.spawn().expect("starts"), result, log }
    }
}

impl Agent {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to the agent alone.
    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args(["-s", signal, &self.id().to_string()]).status();
        assert!(sent.expect("kill starts").success());
    }

    /// Ends the agent and what it started at once, as a node does that loses power.
    pub(crate) fn kill(mut self) {
        let group = format!("-{}", self.id());
        let sent = Command::new("kill").args(["-s", "KILL", "--", &group]).status();
        assert!(sent.expect("kill starts").success());
        self.child.wait().expect("ends");
        assert!(!self.result.exists(), "it had ended by itself: {}", self.log());
    }

    /// Its exit code, outcome and log.
    pub(crate) async fn wait(mut self) -> (i32, Outcome, String) {
        let (result, log) = (self.result.clone(), self.log.clone());
        let status = tokio::task::spawn_blocking(move || self.child.wait());
        let status = tokio::time::timeout(Duration::from_mins(2), status).await.expect("ends in time");
        let status = status.expect("is waited for").expect("ends");
        let log = std::fs::read_to_string(log).expect("is read");
        let json =
            std::fs::read_to_string(result).unwrap_or_else(|error| panic!("no result: {error}: {log}"));
        let outcome = serde_json::from_str(&json).expect("is an outcome");
        (status.code().expect("has a code"), outcome, log)
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The processes that it started and that still run.
    pub(crate) fn children(&self) -> Vec<PathBuf> {
        processes_of(self.id())
    }
}

/// The running processes of an agent's group, but itself.
pub(crate) fn processes_of(agent: u32) -> Vec<PathBuf> {
    let group = agent.to_string();
    let processes = std::fs::read_dir("/proc").expect("/proc").flatten().map(|entry| entry.path());
    let in_group = |path: &PathBuf| {
        let stat = std::fs::read_to_string(path.join("stat")).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split_whitespace().collect();
        fields.get(2) == Some(&group.as_str())
    };
    processes
        .filter(in_group)
        .filter(|path| path.file_name().is_some_and(|name| name != group.as_str()))
        // Not those that ended and that nobody has waited for.
        .filter(|path| std::fs::read(path.join("cmdline")).is_ok_and(|line| !line.is_empty()))
        .collect()
}

/// Waits until a session of the agent waits for a lock of the test's.
pub(crate) async fn await_blocked(observer: &mut PgConnection, application: &str) {
    for _ in 0..600 {
        let blocked: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1
                 AND wait_event_type = 'Lock')",
        )
        .bind(application)
        .fetch_one(&mut *observer)
        .await
        .expect("is read");
        if blocked {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no session '{application}' waits for a lock");
}

/// Waits until no session of the agent is left in the observer's database.
pub(crate) async fn await_no_sessions(observer: &mut PgConnection) {
    for _ in 0..200 {
        let sessions: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name LIKE 'backup-agent %'",
        )
        .fetch_one(&mut *observer)
        .await
        .expect("are counted");
        if sessions == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("sessions of the agent are left");
}
