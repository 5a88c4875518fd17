//! Servers of several major versions, with the PostgreSQL of the agent's image.

use std::ffi::OsString;

use backup_agent::args::Cli;
use backup_agent::programs::{Programs, major};
use backup_format::{Outcome, Reason};
use clap::Parser as _;
use rstest::rstest;
use sqlx::{Connection as _, Executor as _, PgConnection};
use test_support::postgres::TestPostgres;
use tokio_util::sync::CancellationToken;
use workflow_engine::args::UpTo;
use workflow_engine::schema::isolation;

use crate::support::{Kind, World, backed_up, contents, drilled, failed, migrate, restored, verified};

/// Where a server and the agent's programs are from.
#[derive(Clone, Copy, Debug)]
enum Of {
    /// The oldest version that the engine knows, as it is on the machine of CI.
    Machine,
    /// A newer one.
    Image,
}

/// None when this machine has not both.
async fn servers() -> Option<impl Fn(Of) -> &'static TestPostgres> {
    let (machine, image) = (TestPostgres::shared().await?, TestPostgres::shared_of_image().await?);
    let (older, newer) = (version(&programs(machine)).await, version(&programs(image)).await);
    assert!(older < newer, "the image has PostgreSQL {newer:?}, and this machine {older:?}");
    Some(move |of| match of {
        Of::Machine => machine,
        Of::Image => image,
    })
}

fn programs(postgres: &TestPostgres) -> Programs {
    Programs { bindir: Some(postgres.bindir().to_owned()) }
}

async fn version(programs: &Programs) -> Option<u32> {
    major(&programs.version("pg_dump").await.expect("has a version"))
}

async fn run(programs: &Programs, arguments: Vec<OsString>) -> Outcome {
    let cli = Cli::parse_from(std::iter::once(OsString::from("backup-agent")).chain(arguments));
    backup_agent::run::run(&cli.command, programs, &CancellationToken::new()).await
}

fn of_folder(world: &World, command: &str) -> Vec<OsString> {
    std::iter::once(command.into()).chain(world.of_folder("b1")).collect()
}

#[rstest]
#[case::of_the_oldest_to_the_oldest(Of::Machine, Of::Machine)]
#[case::to_a_newer(Of::Machine, Of::Image)]
#[case::of_a_newer(Of::Image, Of::Image)]
#[case::to_an_older(Of::Image, Of::Machine)]
#[tokio::test]
async fn a_backup_is_restored_whatever_the_versions_of_the_servers_are(
    #[case] from: Of,
    #[case] to: Of,
    #[values(Kind::PlainOwner, Kind::CreatesRoles)] kind: Kind,
) {
    let Some(server) = servers().await else { return };
    let programs = programs(server(Of::Image));
    let (world, other) = (World::new(server(from)), World::new(server(to)));
    let source = world.engine_database(kind, UpTo::All).await;
    let mut before = world.superuser(&source).await;
    before.execute("UPDATE workflow.job SET worker = NULL").await.expect("is updated");
    let backup = backed_up(run(&programs, world.backup_arguments(&source, world.of_folder("b1"))).await);
    assert!(verified(run(&programs, of_folder(&world, "verify")).await).rows_counted);

    let target = other.database(kind).await;
    let report = restored(run(&programs, other.restore_arguments(&target, world.of_folder("b1"))).await);
    assert_eq!(report.totals, backup.totals);
    let mut after = other.superuser(&target).await;
    assert_eq!(contents(&mut after).await, contents(&mut before).await);

    // The engine goes on there.
    migrate(&target, UpTo::All).await;
    let mut session = PgConnection::connect_with(&target.options()).await.expect("connects");
    let violations = isolation::observe_violations(&mut session).await.expect("are read");
    assert_eq!(violations, Vec::<String>::new());
}

#[rstest]
#[tokio::test]
async fn a_drill_runs_the_newer_server(#[values(Of::Machine, Of::Image)] from: Of) {
    let Some(server) = servers().await else { return };
    let programs = programs(server(Of::Image));
    let world = World::new(server(from));
    let source = world.engine_database(Kind::CreatesRoles, UpTo::All).await;
    let backup = backed_up(run(&programs, world.backup_arguments(&source, world.of_folder("b1"))).await);
    let mut arguments = of_folder(&world, "drill");
    arguments.extend(["--postgres-bindir".into(), server(Of::Image).bindir().into()]);
    let (code, outcome, log) = world.start_unprivileged("drill-1", arguments).wait().await;
    assert_eq!(code, 0, "{log}");
    assert_eq!(drilled(outcome).digest, backup.digest);
}

#[tokio::test]
async fn a_server_that_is_newer_than_pg_dump_is_refused() {
    let Some(server) = servers().await else { return };
    let world = World::new(server(Of::Image));
    let source = world.engine_database(Kind::PlainOwner, UpTo::All).await;
    let arguments = world.backup_arguments(&source, world.of_folder("b1"));
    let failure = failed(run(&programs(server(Of::Machine)), arguments).await, Reason::PgDumpTooOld);
    let newer = version(&programs(server(Of::Image))).await.expect("has a version");
    let wanted = format!("use an agent image with PostgreSQL {newer}");
    assert!(failure.message.contains(&wanted), "{}", failure.message);
    assert!(!world.backups().join("b1").exists());
}

/// The image of the agent may have been a newer one when the backup was made.
#[tokio::test]
async fn a_dump_of_a_newer_pg_dump_is_refused_before_anything_is_written() {
    let Some(server) = servers().await else { return };
    let (newer, older) = (programs(server(Of::Image)), programs(server(Of::Machine)));
    let world = World::new(server(Of::Machine));
    let source = world.engine_database(Kind::PlainOwner, UpTo::All).await;
    backed_up(run(&newer, world.backup_arguments(&source, world.of_folder("b1"))).await);
    let target = world.database(Kind::PlainOwner).await;
    for arguments in [world.restore_arguments(&target, world.of_folder("b1")), of_folder(&world, "verify")] {
        let failure = failed(run(&older, arguments).await, Reason::FormatUnsupported);
        assert!(failure.message.contains("was made with pg_dump"), "{}", failure.message);
    }
    let is_there: bool = sqlx::query_scalar("SELECT to_regnamespace('workflow') IS NOT NULL")
        .fetch_one(&mut world.superuser(&target).await)
        .await
        .expect("is read");
    assert!(!is_there);
}
