use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use engine_api::{
    CLIENT_KEY, CONTROLLER_TOKEN, MONITOR_TOKEN, TenantEpoch, TenantKey, TokenRole, WORKER_KEY,
};
use rstest::rstest;
use tempfile::TempDir;

use super::*;

const FORMER: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
const PRESENT: &str = "IAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

fn write(files: &TempDir, name: &str, content: &str) {
    std::fs::write(files.path().join(name), content).expect("should write");
}

/// A directory with a current secret for each role.
fn directory() -> TempDir {
    let files = tempfile::tempdir().expect("should make a directory");
    for (role, secret) in [
        (CONTROLLER_TOKEN, "controller-1"),
        (MONITOR_TOKEN, "monitor-1"),
        (WORKER_KEY, FORMER),
        (CLIENT_KEY, FORMER),
    ] {
        std::fs::create_dir(files.path().join(role)).expect("should make a directory");
        write(&files, &format!("{role}/current"), secret);
    }
    files
}

fn load(files: &TempDir) -> Credentials {
    Credentials::load(files.path().to_owned()).expect("should load")
}

fn token(role: &str, secret: &str) -> String {
    let minted = |role| {
        let tenant = TenantEpoch { tenant_id: "acme".to_owned(), epoch: "uid-1".to_owned() };
        TenantKey::parse(secret).expect("should be a key").mint(role, &tenant).expose().to_owned()
    };
    match role {
        WORKER_KEY => minted(TokenRole::Worker),
        CLIENT_KEY => minted(TokenRole::Client),
        _ => secret.to_owned(),
    }
}

fn slot(credentials: &Credentials, role: &str, secret: &str) -> Option<Slot> {
    credentials.verify(&format!("Bearer {}", token(role, secret))).map(|(_, slot)| slot)
}

/// A rotation step by step: the former secret is accepted until its file is removed, which also ends its callers'
/// streams.
#[rstest]
#[case::of_controllers(CONTROLLER_TOKEN, "controller-1", "controller-2")]
#[case::of_monitors(MONITOR_TOKEN, "monitor-1", "monitor-2")]
#[case::of_workers(WORKER_KEY, FORMER, PRESENT)]
#[case::of_clients(CLIENT_KEY, FORMER, PRESENT)]
fn no_secret_in_use_is_refused_during_a_rotation(
    #[case] role: &str,
    #[case] former: &str,
    #[case] present: &str,
) {
    let files = directory();
    let credentials = load(&files);
    let slots = || (slot(&credentials, role, former), slot(&credentials, role, present));
    assert_eq!(slots(), (Some(Slot::Current), None));
    let (caller, _) = credentials.verify(&format!("Bearer {}", token(role, former))).expect("is good");

    write(&files, &format!("{role}/next"), present);
    assert_eq!((credentials.reload(), slots()), (vec![], (Some(Slot::Current), Some(Slot::Next))));

    std::fs::remove_file(files.path().join(role).join("next")).expect("should be there");
    write(&files, &format!("{role}/current"), present);
    write(&files, &format!("{role}/previous"), former);
    assert_eq!((credentials.reload(), slots()), (vec![], (Some(Slot::Previous), Some(Slot::Current))));
    assert!(!caller.withdrawn.is_cancelled());

    std::fs::remove_file(files.path().join(role).join("previous")).expect("should be there");
    assert_eq!((credentials.reload(), slots()), (vec![], (None, Some(Slot::Current))));
    assert!(caller.withdrawn.is_cancelled());
}

#[test]
fn an_unusable_file_does_not_affect_other_secrets() {
    let files = directory();
    write(&files, "worker-key/next", "not-a-key");
    let credentials = load(&files);
    write(&files, "client-key/previous", "not-a-key-either");
    write(&files, "client-key/next", PRESENT);
    write(&files, "monitor-token/current", "two words");
    write(&files, "controller-token/current", "controller-2");
    let path = |name: &str| files.path().join(name).display().to_string();
    assert_eq!(
        credentials.reload(),
        [
            format!(
                "the credential file {} cannot be used: engine token must be 1 to 1024 printable ASCII characters without spaces",
                path("monitor-token/current")
            ),
            format!(
                "the credential file {} cannot be used: key must be 32 bytes in unpadded base64url",
                path("worker-key/next")
            ),
            format!(
                "the credential file {} cannot be used: key must be 32 bytes in unpadded base64url",
                path("client-key/previous")
            ),
        ]
    );
    let slots = [
        (WORKER_KEY, FORMER),
        (CLIENT_KEY, FORMER),
        (CLIENT_KEY, PRESENT),
        // The current file cannot be used: the former secret stays valid.
        (MONITOR_TOKEN, "monitor-1"),
        (CONTROLLER_TOKEN, "controller-1"),
        (CONTROLLER_TOKEN, "controller-2"),
    ]
    .map(|(role, secret)| slot(&credentials, role, secret));
    let current = Some(Slot::Current);
    assert_eq!(slots, [current, current, Some(Slot::Next), current, None, current]);
}

#[rstest]
#[case::missing(None)]
#[case::unusable(Some("not-a-key"))]
fn a_node_does_not_start_without_every_roles_current_secret(#[case] content: Option<&str>) {
    let files = directory();
    match content {
        Some(content) => write(&files, "client-key/current", content),
        None => std::fs::remove_file(files.path().join("client-key/current")).expect("should be there"),
    }
    let refused =
        Credentials::load(files.path().to_owned()).expect_err("a current secret is unusable").to_string();
    assert!(refused.contains("client-key/current") && !refused.contains("not-a-key"), "{refused}");
}

/// As the kubelet mounts a Secret: the files are links through `..data`, which is replaced by a link to another
/// directory.
fn publish(volume: &Path, state: &str, files: &[(&str, &str)]) {
    let target = volume.join(state);
    std::fs::create_dir(&target).expect("should make a directory");
    for (name, content) in files {
        std::fs::write(target.join(name), content).expect("should write");
        let _ = std::os::unix::fs::symlink(Path::new("..data").join(name), volume.join(name));
    }
    let former = std::fs::read_link(volume.join("..data")).ok();
    std::os::unix::fs::symlink(state, volume.join("..data_tmp")).expect("should link");
    std::fs::rename(volume.join("..data_tmp"), volume.join("..data")).expect("should replace the link");
    if let Some(former) = former {
        std::fs::remove_dir_all(volume.join(former)).expect("should remove");
    }
}

#[test]
fn a_secret_that_moves_to_another_file_during_a_read_is_not_missed() {
    let files = directory();
    let volume = files.path().join(CLIENT_KEY);
    std::fs::remove_file(volume.join("current")).expect("should be there");
    publish(&volume, "..0", &[("current", FORMER), ("next", PRESENT)]);
    let credentials = load(&files);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0;
            while !done.load(Ordering::Relaxed) {
                number += 2;
                publish(&volume, &format!("..{}", number - 1), &[("current", PRESENT), ("previous", FORMER)]);
                publish(&volume, &format!("..{number}"), &[("current", FORMER), ("next", PRESENT)]);
                std::thread::sleep(std::time::Duration::from_micros(200));
            }
        });
        let lost = (0..2_000)
            .filter(|_| {
                credentials.reload();
                [FORMER, PRESENT].iter().any(|key| slot(&credentials, CLIENT_KEY, key).is_none())
            })
            .count();
        done.store(true, Ordering::Relaxed);
        assert_eq!(lost, 0);
    });
}
