//! A backup that is not what was written is refused before anything is written to the database.

use std::ffi::OsString;

use age::secrecy::ExposeSecret as _;
use age::x25519::Identity;
use backup_format::{Manifest, Reason, overall_digest};
use rstest::rstest;
use sqlx::Executor as _;
use test_support::postgres::TestDatabase;
use workflow_engine::args::UpTo;

use crate::support::{Kind, World, backed_up, contents, failed, flip_bit, restored, run, verified};

/// A backup `b1`, and an empty database.
async fn prepared(world: &World) -> TestDatabase {
    let source = world.engine_database(Kind::PlainOwner, UpTo::All).await;
    world.backup(&source, "b1").await;
    world.database(Kind::PlainOwner).await
}

async fn assert_untouched(world: &World, target: &TestDatabase) {
    let mut session = world.superuser(target).await;
    let is_there: bool = sqlx::query_scalar("SELECT to_regnamespace('workflow') IS NOT NULL")
        .fetch_one(&mut session)
        .await
        .expect("is read");
    assert!(!is_there, "the restore wrote something");
}

async fn refused(world: &World, target: &TestDatabase, reason: Reason) {
    world.try_restore(target, "b1", reason).await;
    assert_untouched(world, target).await;
    let mut verify: Vec<OsString> = vec!["verify".into()];
    verify.extend(world.of_folder("b1"));
    failed(run(verify).await, reason);
}

#[tokio::test]
async fn data_that_was_cut_is_refused_wherever_it_was() {
    let world = World::new(test_support::require_postgres!());
    let target = prepared(&world).await;
    let data = world.data_file("b1");
    let whole = std::fs::read(&data).expect("is read");
    for length in [0, 1, 5, 100, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&data, &whole[..length]).expect("is written");
        refused(&world, &target, Reason::ArtefactTruncated).await;
    }
    std::fs::remove_file(&data).expect("is removed");
    refused(&world, &target, Reason::ArtefactTruncated).await;
    // Whole again, it is restored.
    std::fs::write(&data, &whole).expect("is written");
    world.restore(&target, "b1").await;
}

#[tokio::test]
async fn a_flipped_bit_is_found_wherever_it_is() {
    let world = World::new(test_support::require_postgres!());
    let target = prepared(&world).await;
    let data = world.data_file("b1");
    let length = std::fs::metadata(&data).expect("is there").len();
    let length = usize::try_from(length).expect("is small");
    for at in [0, 6, length / 3, length / 2, length - 1] {
        flip_bit(&data, at);
        refused(&world, &target, Reason::ArtefactAltered).await;
        flip_bit(&data, at);
    }
    let mut longer = std::fs::read(&data).expect("is read");
    longer.push(0);
    std::fs::write(&data, longer).expect("is written");
    refused(&world, &target, Reason::ArtefactAltered).await;
}

#[tokio::test]
async fn a_manifest_that_was_changed_is_refused() {
    let world = World::new(test_support::require_postgres!());
    let target = prepared(&world).await;
    let file = world.backups().join("b1/manifest.json");
    let whole = std::fs::read_to_string(&file).expect("is read");
    let mut newer: serde_json::Value = serde_json::from_str(&whole).expect("is JSON");
    newer["format"] = 2.into();
    for (text, reason) in [
        (whole[..whole.len() / 2].to_owned(), Reason::ArtefactAltered),
        (String::new(), Reason::ArtefactAltered),
        (newer.to_string(), Reason::FormatUnsupported),
        (whole.replacen("\"rows\":40", "\"rows\":41", 1), Reason::ArtefactAltered),
    ] {
        assert_ne!(text, whole);
        std::fs::write(&file, text).expect("is written");
        refused(&world, &target, reason).await;
    }
    std::fs::remove_file(&file).expect("is removed");
    refused(&world, &target, Reason::BackupMissing).await;
}

/// A manifest that fits its data in every number, and is of another backup all the same.
#[tokio::test]
async fn rows_with_other_contents_are_found_and_nothing_looks_complete() {
    let world = World::new(test_support::require_postgres!());
    let target = prepared(&world).await;
    let file = world.backups().join("b1/manifest.json");
    let id = "b1".parse().expect("is an id");
    let mut manifest = Manifest::parse(&std::fs::read(&file).expect("is read"), &id).expect("is a manifest");
    let digest = manifest.digest.clone();
    let line = manifest.rows.iter_mut().find(|line| line.table == "job").expect("has jobs");
    line.digest = "00000000deadbeef".to_owned();
    manifest.digest = overall_digest(&manifest.rows);
    std::fs::write(&file, manifest.to_json().expect("is written")).expect("is written");

    // The digest in the status of the backup shows it at once.
    let mut arguments = world.restore_arguments(&target, world.of_folder("b1"));
    arguments.extend(["--expected-digest".into(), digest.into()]);
    failed(run(arguments).await, Reason::ArtefactAltered);
    assert_untouched(&world, &target).await;

    let failure = world.try_restore(&target, "b1", Reason::RowsDiffer).await;
    assert!(
        failure.message.contains("table job of tenant '_default' has 40 rows as expected"),
        "{}",
        failure.message
    );
    let mut session = world.superuser(&target).await;
    let complete: bool = sqlx::query_scalar("SELECT to_regclass('workflow.restored') IS NOT NULL")
        .fetch_one(&mut session)
        .await
        .expect("is read");
    assert!(!complete);
}

#[rstest]
#[case::plain_owner(Kind::PlainOwner)]
#[case::superuser(Kind::Superuser)]
#[tokio::test]
async fn an_encrypted_backup_needs_its_own_key(#[case] kind: Kind) {
    let world = World::new(test_support::require_postgres!());
    let source = world.engine_database(kind, UpTo::All).await;
    let mut superuser = world.superuser(&source).await;
    superuser.execute("UPDATE workflow.job SET worker = NULL").await.expect("is updated");
    let (own, other) = (Identity::generate(), Identity::generate());
    let recipient = world.write("recipient", &format!("{}\n", own.to_public()));
    let keys = [("own", &own), ("other", &other)].map(|(name, identity)| {
        world.write(name, &format!("# created for a test\n{}\n", identity.to_string().expose_secret()))
    });
    let mut arguments = world.backup_arguments(&source, world.of_folder("b1"));
    arguments.extend(["--recipient-file".into(), recipient.into()]);
    let report = backed_up(run(arguments).await);
    assert!(report.encrypted);
    let data = std::fs::read(world.data_file("b1")).expect("is read");
    assert!(data.starts_with(b"age-encryption.org/v1\n"), "age reads it as well");

    let target = world.database(Kind::PlainOwner).await;
    let with_key = |mut arguments: Vec<OsString>, key: &std::path::Path| {
        arguments.extend(["--identity-file".into(), key.into()]);
        arguments
    };
    let restore = world.restore_arguments(&target, world.of_folder("b1"));
    let verify: Vec<OsString> = std::iter::once("verify".into()).chain(world.of_folder("b1")).collect();

    let failure = failed(run(restore.clone()).await, Reason::DecryptionFailed);
    assert!(failure.message.contains("no secret key was given"), "{}", failure.message);
    for arguments in [restore.clone(), verify.clone()] {
        let failure = failed(run(with_key(arguments, &keys[1])).await, Reason::DecryptionFailed);
        assert!(failure.message.contains("another key"), "{}", failure.message);
    }
    assert_untouched(&world, &target).await;
    assert!(!verified(run(verify.clone()).await).rows_counted);
    assert!(verified(run(with_key(verify, &keys[0])).await).rows_counted);

    // What is wrong with the stored bytes is reported as that, and not as a wrong key.
    let file = world.data_file("b1");
    flip_bit(&file, data.len() / 2);
    failed(run(with_key(restore.clone(), &keys[0])).await, Reason::ArtefactAltered);
    std::fs::write(&file, &data[..data.len() - 20]).expect("is written");
    failed(run(with_key(restore.clone(), &keys[0])).await, Reason::ArtefactTruncated);
    assert_untouched(&world, &target).await;

    std::fs::write(&file, &data).expect("is written");
    restored(run(with_key(restore, &keys[0])).await);
    let mut after = world.superuser(&target).await;
    assert_eq!(contents(&mut after).await, contents(&mut superuser).await);
}
