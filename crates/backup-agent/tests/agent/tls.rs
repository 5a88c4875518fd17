//! pg_dump and pg_restore reach the database in the way that the agent itself does.

use std::ffi::OsString;

use backup_format::Reason;
use rstest::rstest;
use sqlx::{Connection as _, PgConnection};
use test_support::certificates::TestCa;
use test_support::postgres::{PostgresOptions, TestPostgres};
use workflow_engine::args::UpTo;

use crate::support::{World, backed_up, failed, migrate, restored, run, seed};

fn with_tls(arguments: Vec<OsString>, mode: &str, ca: Option<&std::path::Path>) -> Vec<OsString> {
    let mut arguments = arguments;
    let at = arguments.iter().position(|argument| *argument == *"--database-host").expect("is there");
    arguments[at + 1] = "localhost".into();
    arguments.extend(["--database-ssl-mode".into(), mode.into()]);
    if let Some(ca) = ca {
        arguments.extend(["--database-ca-file".into(), ca.into()]);
    }
    arguments
}

#[rstest]
#[case::prefer("prefer", false)]
#[case::require("require", false)]
#[case::verify_ca("verify-ca", true)]
#[case::verify_full("verify-full", true)]
#[tokio::test]
async fn a_server_with_tls_is_backed_up_and_restored(#[case] mode: &str, #[case] verified: bool) {
    let ca = TestCa::new("database-test");
    let options = PostgresOptions {
        tls: Some(ca.server(&["localhost", "127.0.0.1"])),
        tls_required: true,
        ..PostgresOptions::default()
    };
    let Some(postgres) = TestPostgres::start(options).await else { return };
    let world = World::new(test_support::require_postgres!());
    let (source, target) = (postgres.fresh_database().await, postgres.fresh_database().await);
    let superuser = postgres.superuser().database(&source.name);
    migrate(&source, UpTo::All).await;
    let mut superuser = PgConnection::connect_with(&superuser).await.expect("connects");
    seed(&mut superuser, 8).await;
    let ca_file = world.write("database-ca.crt", &ca.pem());
    let ca_file = verified.then_some(ca_file.as_path());

    let backup = world.backup_arguments(&source, world.of_folder("b1"));
    let report = backed_up(run(with_tls(backup, mode, ca_file)).await);
    assert_eq!(report.totals.jobs, 24);
    let restore = world.restore_arguments(&target, world.of_folder("b1"));
    assert_eq!(restored(run(with_tls(restore, mode, ca_file)).await).digest, Some(report.digest));

    if verified {
        let other = world.write("other-ca.crt", &TestCa::new("another").pem());
        let backup = world.backup_arguments(&source, world.of_folder("b2"));
        let failure = failed(run(with_tls(backup, mode, Some(&other))).await, Reason::DatabaseUnreachable);
        assert!(failure.message.contains("over TLS"), "{}", failure.message);
    }
}
