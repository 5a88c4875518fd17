use std::ffi::OsString;

use backup_format::{Manifest, Reason, overall_digest};
use workflow_engine::args::UpTo;

use crate::support::process::processes_of;
use crate::support::{Kind, World, drilled, failed};

fn arguments(world: &World, id: &str) -> Vec<OsString> {
    std::iter::once("drill".into()).chain(world.of_folder(id)).collect()
}

fn left_in(world: &World, folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(world.path(folder)).expect("is listed").flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name != "result")
        .collect()
}

#[tokio::test]
async fn a_drill_restores_into_a_server_of_its_own_and_leaves_nothing() {
    let world = World::new(test_support::require_postgres!());
    let source = world.engine_database(Kind::CreatesRoles, UpTo::All).await;
    let report = world.backup(&source, "b1").await;
    let agent = world.start_unprivileged("drill-1", arguments(&world, "b1"));
    let (code, outcome, log) = agent.wait().await;
    assert_eq!(code, 0, "{log}");
    let drill = drilled(outcome);
    assert_eq!((drill.digest, drill.totals), (report.digest, report.totals));
    assert_eq!(left_in(&world, "drill-1"), Vec::<String>::new());
}

#[tokio::test]
async fn a_drill_finds_rows_that_differ() {
    let world = World::new(test_support::require_postgres!());
    let source = world.engine_database(Kind::PlainOwner, UpTo::All).await;
    world.backup(&source, "b1").await;
    let file = world.backups().join("b1/manifest.json");
    let id = "b1".parse().expect("is an id");
    let mut manifest = Manifest::parse(&std::fs::read(&file).expect("is read"), &id).expect("is a manifest");
    manifest.rows[0].digest = "0123456789abcdef".to_owned();
    manifest.digest = overall_digest(&manifest.rows);
    std::fs::write(&file, manifest.to_json().expect("is written")).expect("is written");
    let (code, outcome, _) = world.start_unprivileged("drill-1", arguments(&world, "b1")).wait().await;
    failed(outcome, Reason::RowsDiffer);
    assert_eq!(code, 2);
    assert_eq!(left_in(&world, "drill-1"), Vec::<String>::new());
}

#[tokio::test]
async fn a_drill_that_is_asked_to_end_stops_its_server() {
    let world = World::new(test_support::require_postgres!());
    let source = world.engine_database(Kind::PlainOwner, UpTo::All).await;
    world.backup(&source, "b1").await;
    let agent = world.start_unprivileged("drill-1", arguments(&world, "b1"));
    let is_server = |process: &std::path::PathBuf| {
        let line = std::fs::read(process.join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains("unix_socket_directories")
    };
    for _ in 0..2000 {
        if agent.children().iter().any(is_server) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert!(agent.children().iter().any(is_server), "the drill started no server");
    let group = agent.id();
    agent.signal("TERM");
    let (code, outcome, _) = agent.wait().await;
    failed(outcome, Reason::TimedOut);
    assert_eq!(code, 1);
    assert_eq!(left_in(&world, "drill-1"), Vec::<String>::new());
    assert_eq!(processes_of(group), Vec::<std::path::PathBuf>::new());
}
