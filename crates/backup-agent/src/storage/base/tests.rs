use std::collections::BTreeSet;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::memory::InMemory;
use rstest::rstest;

use super::*;

const SERVER: &str = "prod-1a2b3c4d";

fn id(base: &str) -> PhysicalId {
    PhysicalId::new(SERVER, base).expect("is an id")
}

async fn stored(objects: &[(&str, &str)]) -> Arc<InMemory> {
    let store = Arc::new(InMemory::new());
    for (path, text) in objects {
        store.put(&Path::from(*path), text.to_string().into()).await.expect("is written");
    }
    store
}

fn base_of(store: &Arc<InMemory>, base: &str) -> BaseStorage {
    let destination = "s3://backups".parse().expect("is a destination");
    BaseStorage::on(Storage::on(store.clone(), destination), id(base))
}

async fn names(store: &InMemory) -> BTreeSet<String> {
    let objects: Vec<_> = store.list(None).try_collect().await.expect("is listed");
    objects.into_iter().map(|object| object.location.to_string()).collect()
}

const OLDER: &str = "20261101T030000";
const NEWER: &str = "20261108T030000";

fn archive() -> Vec<(&'static str, &'static str)> {
    vec![
        (
            "prod-1a2b3c4d/base/20261101T030000/backup.info",
            "status=DONE\nbegin_wal=000000010000000000000003\n",
        ),
        ("prod-1a2b3c4d/base/20261101T030000/data.tar", "older"),
        (
            "prod-1a2b3c4d/base/20261108T030000/backup.info",
            "status=DONE\nbegin_wal=000000020000000000000007\n",
        ),
        ("prod-1a2b3c4d/base/20261108T030000/data.tar", "newer!"),
        ("prod-1a2b3c4d/wals/0000000100000000/000000010000000000000003.gz", "w"),
        ("prod-1a2b3c4d/wals/0000000100000000/000000010000000000000006", "w"),
        ("prod-1a2b3c4d/wals/0000000200000000/000000020000000000000007.gz", "w"),
        ("prod-1a2b3c4d/wals/00000002.history", "w"),
        ("other-1a2b3c4d/base/20261101T030000/data.tar", "another's"),
        ("other-1a2b3c4d/wals/0000000100000000/000000010000000000000001", "another's"),
    ]
}

#[tokio::test]
async fn the_size_is_that_of_its_objects() {
    let store = stored(&archive()).await;
    let info = "status=DONE\nbegin_wal=000000020000000000000007\n".len() as u64;
    assert_eq!(base_of(&store, NEWER).observe_size(&id(NEWER)).await, Ok(info + 6));
    assert_eq!(base_of(&store, NEWER).location(), "s3://backups/prod-1a2b3c4d/base/20261108T030000");
}

#[rstest]
#[case::the_oldest_goes_with_its_wal(OLDER, false, &["base/20261101T030000/backup.info", "base/20261101T030000/data.tar",
    "wals/0000000100000000/000000010000000000000003.gz", "wals/0000000100000000/000000010000000000000006"])]
#[case::the_newest_leaves_the_wal_of_the_older(NEWER, false, &["base/20261108T030000/backup.info", "base/20261108T030000/data.tar"])]
#[case::of_a_server_that_is_gone(NEWER, true, &["base/20261108T030000/backup.info", "base/20261108T030000/data.tar"])]
#[case::one_that_is_not_there("20261109T030000", false, &[])]
#[tokio::test]
async fn what_no_other_base_backup_needs_is_deleted(
    #[case] base: &str,
    #[case] server_is_gone: bool,
    #[case] expected: &[&str],
) {
    let store = stored(&archive()).await;
    let before = names(&store).await;
    let deleted = base_of(&store, base).delete_base(server_is_gone).await.expect("is deleted");
    let gone: BTreeSet<_> = before.difference(&names(&store).await).cloned().collect();
    assert_eq!(gone, expected.iter().map(|name| format!("{SERVER}/{name}")).collect());
    assert_eq!(deleted, expected.len() as u64);
}

#[rstest]
#[case::the_server_goes_on(false, true)]
#[case::the_server_is_gone(true, false)]
#[tokio::test]
async fn the_last_one_takes_the_archive_of_a_server_that_is_gone(
    #[case] server_is_gone: bool,
    #[case] has_wal: bool,
) {
    let store = stored(&archive()).await;
    base_of(&store, OLDER).delete_base(server_is_gone).await.expect("is deleted");
    base_of(&store, NEWER).delete_base(server_is_gone).await.expect("is deleted");
    let left = names(&store).await;
    assert_eq!(left.iter().any(|name| name.starts_with(SERVER)), has_wal, "{left:?}");
    assert!(left.iter().any(|name| name.starts_with("other-1a2b3c4d/wals/")));
}

#[tokio::test]
async fn no_wal_is_deleted_while_one_base_backup_does_not_say_what_it_needs() {
    let mut archive = archive();
    archive[2].1 = "status=STARTED\n";
    let store = stored(&archive).await;
    assert_eq!(base_of(&store, OLDER).delete_base(false).await, Ok(2));
}
