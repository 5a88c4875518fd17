//! What is asked for and is not there, or is no file.

use remote_files::ErrorKind;
use rstest::rstest;

use crate::world::World;

async fn world() -> World {
    let world = World::new().await;
    let orders = world.server.repository("orders");
    let file = orders.blob(b"<definitions/>");
    let secret = orders.blob(b"/var/run/secrets/kubernetes.io/serviceaccount/token");
    let up = orders.blob(b"../outside");
    let pointer = orders.blob(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n");
    let large = orders.blob(&vec![b'x'; (1 << 20) + 1]);
    let submodule = "1111111111111111111111111111111111111111";
    let commit = orders.commit_entries(
        "main",
        &[
            format!("100644 {file}\tbpmn/order.bpmn"),
            format!("100755 {file}\tbpmn/executable.bpmn"),
            format!("120000 {secret}\tbpmn/token.bpmn"),
            format!("120000 {up}\tlinked"),
            format!("160000 {submodule}\tsubmodule"),
            format!("100644 {pointer}\tbpmn/pointer.bpmn"),
            format!("100644 {large}\tbpmn/large.bpmn"),
        ],
    );
    orders.tag("blob", &file);
    orders.tag("both", &commit);
    orders.commit("both", &[("other", b"x")]);
    world
}

#[rstest]
#[case::no_file("bpmn/gone.bpmn", ErrorKind::FileMissing, "the commit has no such file")]
#[case::no_folder("gone/order.bpmn", ErrorKind::FileMissing, "the commit has no such file")]
#[case::other_case("bpmn/Order.bpmn", ErrorKind::FileMissing, "the commit has no such file")]
#[case::through_a_file(
    "bpmn/order.bpmn/x",
    ErrorKind::FileMissing,
    "the commit has no such file: a file is where a directory is expected"
)]
#[case::up("../order.bpmn", ErrorKind::FileMissing, "the commit has no such file")]
#[case::absolute("/etc/passwd", ErrorKind::FileMissing, "the commit has no such file")]
#[case::encoded("%2e%2e/x", ErrorKind::FileMissing, "the commit has no such file")]
#[case::nul("bpmn/order.bpmn\0", ErrorKind::FileMissing, "the commit has no such file")]
#[case::git_folder(".git/config", ErrorKind::FileMissing, "the commit has no such file")]
#[case::folder("bpmn", ErrorKind::NotAFile, "the path is a directory; expected a regular file")]
#[case::link(
    "bpmn/token.bpmn",
    ErrorKind::NotAFile,
    "the path leads to a symbolic link, which is not followed; expected a regular file"
)]
#[case::through_a_link(
    "linked/order.bpmn",
    ErrorKind::NotAFile,
    "the path leads to a symbolic link, which is not followed; expected a regular file"
)]
#[case::submodule(
    "submodule/order.bpmn",
    ErrorKind::NotAFile,
    "the path leads into a submodule, which is not fetched; expected a regular file"
)]
#[case::large_files(
    "bpmn/pointer.bpmn",
    ErrorKind::NotAFile,
    "the path has a pointer of Git LFS, which is not fetched; expected a regular file"
)]
#[case::large("bpmn/large.bpmn", ErrorKind::TooLarge, "the file has 1048577 bytes; expected at most 1048576")]
#[tokio::test(flavor = "multi_thread")]
async fn paths(#[case] path: &str, #[case] kind: ErrorKind, #[case] message: &str) {
    let refused = world().await.read("orders", "main", path).await.expect_err("refused");
    assert_eq!((refused.kind, refused.message.as_str()), (kind, message));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executable_file_is_a_file() {
    let read = world().await.read("orders", "main", "bpmn/executable.bpmn").await;
    assert_eq!(read.expect("a file").1, "<definitions/>");
}

#[rstest]
#[case::gone(
    "gone",
    ErrorKind::RevisionMissing,
    "the repository has no refs/heads/gone and no refs/tags/gone"
)]
#[case::both(
    "both",
    ErrorKind::RevisionAmbiguous,
    "the repository has refs/heads/both and refs/tags/both with different commits; write the whole name"
)]
#[case::no_commit(
    "refs/tags/blob",
    ErrorKind::RevisionMissing,
    "the revision is no commit: a tag of something else, for instance"
)]
#[case::unknown_commit(
    "2222222222222222222222222222222222222222",
    ErrorKind::RevisionMissing,
    "the repository has no such commit, or its server does not give it"
)]
#[tokio::test(flavor = "multi_thread")]
async fn revisions(#[case] revision: &str, #[case] kind: ErrorKind, #[case] message: &str) {
    let refused = world().await.read("orders", revision, "bpmn/order.bpmn").await.expect_err("refused");
    assert_eq!((refused.kind, refused.message.as_str()), (kind, message));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ref_that_goes() {
    let world = world().await;
    assert!(world.read("orders", "refs/heads/main", "bpmn/order.bpmn").await.is_ok());
    // A server refuses to remove what HEAD leads to by a push; its owner can.
    world.server.repository("orders").delete_branch("main");
    assert_eq!(
        world.refusal("orders", "refs/heads/main", "bpmn/order.bpmn").await,
        ErrorKind::RevisionMissing
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_is_empty_or_missing() {
    let world = World::new().await;
    world.server.repository("empty");
    assert_eq!(world.refusal("empty", "main", "order.bpmn").await, ErrorKind::RevisionMissing);
    assert_eq!(world.refusal("missing", "main", "order.bpmn").await, ErrorKind::RepositoryMissing);
}
