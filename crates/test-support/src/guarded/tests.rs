use std::time::{Duration, Instant};

use super::*;

/// Environment variable with the path of a report. If it is set, the test below is the helper process: it holds a
/// server and a folder until it is killed.
const HOLD: &str = "HOLD_GUARDED_AND_WAIT";

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(20), "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn is_running(pid: &str) -> bool {
    Path::new("/proc").join(pid).exists()
}

fn sleeping_server(folder: &GuardedFolder) -> (GuardedProcess, String) {
    let pid_file = folder.path().join("pid");
    let script = format!("echo hello; echo $$ > {}.new; mv {0}.new {0}; exec sleep 300", pid_file.display());
    let args = ["-c".to_owned(), script];
    let log = folder.path().join("log");
    let server = GuardedProcess::start(Path::new("/bin/sh"), &args, "TERM", None, &log).unwrap();
    wait_until("the server runs", || pid_file.exists());
    let pid = std::fs::read_to_string(&pid_file).unwrap().trim().to_owned();
    (server, pid)
}

#[test]
fn dropped_server_and_folder_are_gone() {
    let folder = GuardedFolder::create("guarded-test-", None).unwrap();
    let (mut server, pid) = sleeping_server(&folder);
    assert!(is_running(&pid));
    assert_eq!(server.exited().unwrap(), None);
    assert_eq!(server.log_tail(), "hello");
    drop(server);
    assert!(!is_running(&pid));
    let path = folder.path().to_owned();
    drop(folder);
    assert!(!path.exists());
}

#[test]
fn server_that_ends_by_itself_is_noticed() {
    let folder = GuardedFolder::create("guarded-test-", None).unwrap();
    let args = ["-c".to_owned(), "echo broken >&2; exit 3".to_owned()];
    let log = folder.path().join("log");
    let mut server = GuardedProcess::start(Path::new("/bin/sh"), &args, "TERM", None, &log).unwrap();
    let start = Instant::now();
    let status = loop {
        if let Some(status) = server.exited().unwrap() {
            break status;
        }
        assert!(start.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!((status.code(), server.log_tail().as_str()), (Some(3), "broken"));
}

/// Runs this test binary once more as a process of its own, and kills that with SIGKILL.
#[test]
fn killed_test_process_leaves_nothing_behind() {
    if let Ok(report) = std::env::var(HOLD) {
        let folder = GuardedFolder::create("guarded-test-", None).unwrap();
        let (_server, pid) = sleeping_server(&folder);
        let text = format!("{pid} {}", folder.path().display());
        std::fs::write(format!("{report}.new"), text).unwrap();
        std::fs::rename(format!("{report}.new"), &report).unwrap();
        std::thread::sleep(Duration::from_mins(5));
    }
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report");
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "guarded::tests::killed_test_process_leaves_nothing_behind", "--nocapture"])
        .env(HOLD, &report)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("the other process holds its server", || report.exists());
    let text = std::fs::read_to_string(&report).unwrap();
    let (pid, path) = text.split_once(' ').unwrap();
    assert!(is_running(pid) && Path::new(path).exists());

    holder.kill().unwrap();
    holder.wait().unwrap();
    wait_until("the server ends", || !is_running(pid));
    wait_until("the folder is removed", || !Path::new(path).exists());
}
