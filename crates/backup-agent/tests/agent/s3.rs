//! Backups in a bucket of a real S3 server, over TLS.

use std::ffi::OsString;

use backup_format::Reason;
use sqlx::Executor as _;
use workflow_engine::args::UpTo;

use crate::support::s3::{BUCKET, S3Options};
use crate::support::{Kind, World, backed_up, contents, failed, flip_bit, restored, run, verified};

fn replaced(arguments: Vec<OsString>, flag: &str, value: impl Into<OsString>) -> Vec<OsString> {
    let mut arguments = arguments;
    let at = arguments.iter().position(|argument| *argument == *flag).expect("is an argument");
    arguments[at + 1] = value.into();
    arguments
}

#[tokio::test]
async fn a_backup_of_several_parts_goes_to_a_bucket_and_back() {
    let world = World::new(test_support::require_postgres!());
    let s3 = world.s3(S3Options::default()).await;
    let source = world.engine_database(Kind::PlainOwner, UpTo::All).await;
    let mut before = world.superuser(&source).await;
    // Random, so that it is not compressed: three parts of the upload and more than one message of the protocol.
    before
        .execute(
            "UPDATE workflow.job SET worker = NULL;
             UPDATE workflow.process_definition SET content =
                 (SELECT string_agg(sha256(int8send(i + key)), '') FROM generate_series(1, 90000) i)",
        )
        .await
        .expect("is updated");
    let report = backed_up(run(world.backup_arguments(&source, world.of_s3(&s3, "b1"))).await);
    assert!(report.size_bytes > 20 * 1024 * 1024, "{}", report.size_bytes);
    assert_eq!(report.location, format!("s3://{BUCKET}/prod/eu/b1"));
    assert!(backed_up(run(world.backup_arguments(&source, world.of_s3(&s3, "b1"))).await).existed);

    let verify = std::iter::once("verify".into()).chain(world.of_s3(&s3, "b1")).collect();
    assert!(verified(run(verify).await).rows_counted);
    let target = world.database(Kind::PlainOwner).await;
    restored(run(world.restore_arguments(&target, world.of_s3(&s3, "b1"))).await);
    let mut after = world.superuser(&target).await;
    assert!(contents(&mut after).await == contents(&mut before).await);

    // A bit that the storage lost.
    let folder = s3.root.join(BUCKET).join("prod/eu/b1");
    let data = std::fs::read_dir(folder).expect("is listed").flatten().map(|entry| entry.path());
    let data = data.filter(|path| path.extension().is_some_and(|extension| extension == "pgdump"));
    flip_bit(&data.last().expect("has data"), 10_000_000);
    let next = world.database(Kind::PlainOwner).await;
    failed(run(world.restore_arguments(&next, world.of_s3(&s3, "b1"))).await, Reason::ArtefactAltered);
}

#[tokio::test]
async fn what_the_storage_refuses_has_its_reason() {
    let world = World::new(test_support::require_postgres!());
    let s3 = world.s3(S3Options::default()).await;
    let source = world.engine_database(Kind::PlainOwner, UpTo::All).await;
    let arguments = world.backup_arguments(&source, world.of_s3(&s3, "b1"));
    let wrong = world.write("wrong", "wrong-one");

    let failure = failed(
        run(replaced(arguments.clone(), "--s3-secret-access-key-file", &wrong)).await,
        Reason::CredentialsRefused,
    );
    assert!(failure.message.contains("its secret is another"), "{}", failure.message);
    failed(
        run(replaced(arguments.clone(), "--s3-access-key-id-file", &wrong)).await,
        Reason::CredentialsRefused,
    );
    let no_bucket = replaced(arguments.clone(), "--destination", "s3://nobody-made-it/prod");
    let failure = failed(run(no_bucket).await, Reason::BucketMissing);
    assert!(failure.message.contains("the bucket does not exist"), "{}", failure.message);
    // Another authority: the server is not who it says it is.
    let other = test_support::certificates::TestCa::new("another");
    let other = world.write("other-ca.crt", &other.pem());
    failed(run(replaced(arguments.clone(), "--s3-ca-file", &other)).await, Reason::DestinationUnreachable);
    failed(run(replaced(arguments.clone(), "--s3-ca-file", &wrong)).await, Reason::DestinationInvalid);
    failed(
        run(replaced(arguments.clone(), "--s3-endpoint", "https://localhost:1")).await,
        Reason::DestinationUnreachable,
    );
    let without_keys: Vec<OsString> = {
        let at =
            arguments.iter().position(|argument| *argument == *"--s3-access-key-id-file").expect("is there");
        let mut arguments = arguments;
        arguments.drain(at..at + 6);
        arguments
    };
    let failure = failed(run(without_keys).await, Reason::CredentialsRefused);
    assert!(failure.message.contains("there are no credentials"), "{}", failure.message);
}

#[tokio::test]
async fn a_clock_that_differs_is_reported() {
    let world = World::new(test_support::require_postgres!());
    let s3 = world.s3(S3Options { other_clock: true, ..S3Options::default() }).await;
    let source = world.engine_database(Kind::PlainOwner, UpTo::All).await;
    let failure =
        failed(run(world.backup_arguments(&source, world.of_s3(&s3, "b1"))).await, Reason::ClockSkew);
    assert!(failure.message.contains("clocks"), "{}", failure.message);
}

#[tokio::test]
async fn a_storage_without_tls_needs_a_word() {
    let world = World::new(test_support::require_postgres!());
    let s3 = world.s3(S3Options { plain: true, ..S3Options::default() }).await;
    let source = world.engine_database(Kind::PlainOwner, UpTo::All).await;
    let mut arguments = world.backup_arguments(&source, world.of_s3(&s3, "b1"));
    failed(run(arguments.clone()).await, Reason::DestinationInvalid);
    arguments.push("--s3-allow-http".into());
    backed_up(run(arguments).await);
}
