//! Servers and folders that end with the test process, however it ends, SIGKILL included.
//!
//! Each is watched by a small `sh` that waits on a pipe whose other end only this process holds: the kernel closes it
//! when the process is gone. That needs no unsafe code, no signal handler and nothing in the test.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

#[cfg(test)]
mod tests;

/// Runs `"$@"` until it ends or stdin closes; then it gets the signal `$0`. `read` is a builtin, so that nothing else
/// stays behind when the server ends by itself.
const RUN_UNTIL_STDIN_CLOSES: &str = r#"
exec 3<&0
"$@" </dev/null 3<&- &
server=$!
( read -r _ <&3; kill -s "$0" "$server" ) 2>/dev/null &
watch=$!
exec 3<&-
wait "$server"; status=$?
kill "$watch" 2>/dev/null
exit "$status"
"#;

/// Removes the folder `$1` once stdin closes. Servers may still be ending in it, hence the repetition.
const REMOVE_WHEN_STDIN_CLOSES: &str = r#"
read -r _
tries=0
until rm -rf "$1" 2>/dev/null || [ "$tries" -ge 100 ]; do tries=$((tries + 1)); sleep 0.1; done
"#;

/// An account to run as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// A running server.
#[derive(Debug)]
pub(crate) struct GuardedProcess {
    supervisor: Child,
    log: PathBuf,
}

impl GuardedProcess {
    /// Starts `program args`, with its output in `log`. `signal` (`INT`, `KILL`...) ends it.
    pub(crate) fn start(
        program: &Path,
        args: &[String],
        signal: &str,
        account: Option<Account>,
        log: &Path,
    ) -> io::Result<Self> {
        let output = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", RUN_UNTIL_STDIN_CLOSES, signal])
            .arg(program)
            .args(args)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            // A signal to the whole group of the test (Ctrl-C, a runner's timeout) must not hit the supervisor first.
            .process_group(0);
        if let Some(account) = account {
            command.uid(account.uid).gid(account.gid);
        }
        Ok(Self { supervisor: command.spawn()?, log: log.to_owned() })
    }

    /// Its exit status, if it has ended by itself.
    pub(crate) fn exited(&mut self) -> io::Result<Option<ExitStatus>> {
        self.supervisor.try_wait()
    }

    /// The last lines of its output, for a failure's message.
    pub(crate) fn log_tail(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

/// Ends the server and waits until it is gone.
impl Drop for GuardedProcess {
    fn drop(&mut self) {
        drop(self.supervisor.stdin.take());
        let _ = self.supervisor.wait();
    }
}

/// A temporary folder, removed after the servers that work in it.
#[derive(Debug)]
pub(crate) struct GuardedFolder {
    path: PathBuf,
    supervisor: Child,
}

impl GuardedFolder {
    /// An empty folder of that owner, only readable by it, below the system's temporary folder.
    pub(crate) fn create(prefix: &str, owner: Option<Account>) -> io::Result<Self> {
        let path = tempfile::Builder::new().prefix(prefix).tempdir()?.keep();
        if let Some(owner) = owner {
            std::os::unix::fs::chown(&path, Some(owner.uid), Some(owner.gid))?;
        }
        let supervisor = Command::new("/bin/sh")
            .args(["-c", REMOVE_WHEN_STDIN_CLOSES, "sh"])
            .arg(&path)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        Ok(Self { path, supervisor })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for GuardedFolder {
    fn drop(&mut self) {
        drop(self.supervisor.stdin.take());
        let _ = self.supervisor.wait();
    }
}

/// A TCP port of 127.0.0.1 that nobody listens on now. Somebody may before it is used: try again with another.
pub(crate) fn free_port() -> io::Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
