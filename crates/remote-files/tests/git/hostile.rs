//! Servers that fail, and servers that mean harm.

use std::time::{Duration, Instant};

use remote_files::ErrorKind;
use remote_files::git::Budget;
use remote_files::network::{AddressPolicy, TrustedCertificates};
use rstest::rstest;
use test_support::certificates::TestCa;
use test_support::git_server::{Fault, GitServer, Stage};

use crate::world::World;

async fn world() -> World {
    let world = World::new().await;
    world.server.repository("orders").commit("main", &[("order.bpmn", b"<definitions/>")]);
    world
}

/// One order of the server, at each step of the conversation; afterwards, without it, the file is read.
async fn refused_then_read(world: &World, stage: Stage, fault: Fault) -> (ErrorKind, String) {
    world.server.set_fault(stage, fault);
    let began = Instant::now();
    let refused = world.read("orders", "main", "order.bpmn").await.expect_err("refused");
    let limit = world.budget.time + Duration::from_secs(20);
    assert!(began.elapsed() < limit, "took {:?}", began.elapsed());
    assert!(!refused.message.contains("words of the host"), "{}", refused.message);
    world.server.heal();
    let healed = world.read_all_within("orders", &Budget::default()).await;
    assert!(healed.file.is_ok(), "nothing stays behind: {healed:?}");
    (refused.kind, refused.message)
}

#[rstest]
#[case::unauthorized(401, ErrorKind::AccessDenied)]
#[case::forbidden(403, ErrorKind::AccessDenied)]
#[case::missing(404, ErrorKind::RepositoryMissing)]
#[case::gone(410, ErrorKind::RepositoryMissing)]
#[case::too_often(429, ErrorKind::Unreachable)]
#[case::fault(500, ErrorKind::Unreachable)]
#[case::away(503, ErrorKind::Unreachable)]
#[case::teapot(418, ErrorKind::Malformed)]
#[tokio::test(flavor = "multi_thread")]
async fn statuses(
    #[case] status: u16,
    #[case] kind: ErrorKind,
    #[values(Stage::Greeting, Stage::Refs, Stage::Fetch)] stage: Stage,
) {
    let (found, message) = refused_then_read(&world().await, stage, Fault::Status(status)).await;
    assert_eq!(found, kind);
    assert!(message.ends_with(&format!("(HTTP status {status})")), "{message}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_costs_no_more_than_the_budget(
    #[values(Stage::Greeting, Stage::Refs, Stage::Fetch)] stage: Stage,
    #[values(None, Some(0), Some(40))] bytes: Option<usize>,
) {
    let fault = bytes.map_or(Fault::Silence, Fault::Hang);
    assert_eq!(
        refused_then_read(&world().await.with_a_short_budget(), stage, fault).await.0,
        ErrorKind::TimedOut
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_drip_ends_with_the_budget(
    #[values(Stage::Greeting, Stage::Refs, Stage::Fetch)] stage: Stage,
) {
    let drip = Fault::Drip(1, Duration::from_millis(100));
    assert_eq!(
        refused_then_read(&world().await.with_a_short_budget(), stage, drip).await.0,
        ErrorKind::TimedOut
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_ends_early(
    #[values(Stage::Greeting, Stage::Refs, Stage::Fetch)] stage: Stage,
    #[values(0, 3, 40)] bytes: usize,
) {
    assert_eq!(
        refused_then_read(&world().await, stage, Fault::Truncate(bytes)).await.0,
        ErrorKind::Malformed
    );
}

#[rstest]
#[case::nothing(b"")]
#[case::words(b"<html>hello</html>")]
#[case::length(b"ffff")]
#[case::no_length(b"zzzz")]
#[case::short(b"0003")]
#[case::flushes(b"0000000000000000")]
#[case::error(b"0013ERR not for you\n")]
#[case::pack(b"000dpackfile\n0012\x01PACK\x00\x00\x00\x02\xff\xff\xff\xff")]
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_none(
    #[case] bytes: &[u8],
    #[values(Stage::Greeting, Stage::Refs, Stage::Fetch)] stage: Stage,
) {
    let (kind, _) = refused_then_read(&world().await, stage, Fault::Bytes(bytes.to_vec())).await;
    assert!(
        matches!(kind, ErrorKind::Malformed | ErrorKind::TooLarge | ErrorKind::RevisionMissing),
        "{kind:?}"
    );
}

#[rstest]
#[case::elsewhere("https://127.0.0.1:1/orders/info/refs?service=git-upload-pack")]
#[case::loopback("https://localhost:1/orders/info/refs?service=git-upload-pack")]
#[case::clear_text("http://localhost/orders/info/refs?service=git-upload-pack")]
#[case::file("file:///etc/passwd")]
#[case::nowhere("")]
#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_to_another_place_is_not_followed(
    #[case] target: &str,
    #[values(Stage::Greeting, Stage::Refs, Stage::Fetch)] stage: Stage,
) {
    let fault = Fault::Redirect(target.to_owned());
    assert_eq!(refused_then_read(&world().await, stage, fault).await.0, ErrorKind::RedirectRefused);
}

/// A repository that got another name.
#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_within_the_host_is_followed_once() {
    let world = world().await;
    world.server.redirect("/former", "/orders");
    let read = world.read("former", "main", "order.bpmn").await;
    assert_eq!(read.expect("a file").1, "<definitions/>");
    world.server.redirect("/orders", "/former");
    assert_eq!(world.refusal("former", "main", "order.bpmn").await, ErrorKind::RedirectRefused);
}

#[tokio::test(flavor = "multi_thread")]
async fn budgets() {
    let world = world().await;
    let plain = world.server.plain_repository("plain");
    // Random enough not to shrink.
    let noise: Vec<u8> =
        (0..200_000_u32).flat_map(|number| (number.wrapping_mul(2_654_435_761)).to_le_bytes()).collect();
    plain.commit(
        "main",
        &[("order.bpmn", b"<definitions/>"), ("noise", &noise), ("zeros", &vec![0; 400_000])],
    );
    let usual = world.budget.clone();
    let kinds = async |budget: Budget| {
        let outcome = world.read_all_within("plain", &budget).await;
        outcome.file.map(|_| ()).map_err(|error| error.kind)
    };
    assert_eq!(kinds(usual.clone()).await, Ok(()));
    let too_large = Err(ErrorKind::TooLarge);
    assert_eq!(kinds(Budget { pack_bytes: 500_000, ..usual.clone() }).await, too_large);
    assert_eq!(kinds(Budget { objects: 4, ..usual.clone() }).await, too_large);
    assert_eq!(kinds(Budget { object_bytes: 300_000, ..usual.clone() }).await, too_large);
    assert_eq!(kinds(Budget { unpacked_bytes: 1_000_000, ..usual.clone() }).await, too_large);
    assert_eq!(kinds(Budget { refs_bytes: 100, ..usual.clone() }).await, too_large);
    assert_eq!(kinds(Budget { file_bytes: 10, ..usual }).await, too_large);
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_that_may_not_be_called() {
    let mut world = world().await;
    world.access.policy = AddressPolicy::default();
    assert_eq!(world.refusal("orders", "main", "order.bpmn").await, ErrorKind::AddressRefused);
    assert_eq!(world.server.take_visits(), [], "no address is called");
}

#[rstest]
#[case::unknown_authority(&["localhost"], true)]
#[case::other_name(&["git.example.com"], false)]
#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_are_not_trusted(#[case] names: &[&str], #[case] is_other: bool) {
    let authority = TestCa::new("authority of the git server");
    let authority_pem = if is_other { TestCa::new("another").pem() } else { authority.pem() };
    let server = GitServer::start_with(&authority.server(names), authority_pem).await;
    server.repository("orders").commit("main", &[("order.bpmn", b"<definitions/>")]);
    let mut world = World::with(server);
    assert_eq!(world.refusal("orders", "main", "order.bpmn").await, ErrorKind::CertificateRefused);
    world.access.trust = TrustedCertificates::System;
    assert_eq!(world.refusal("orders", "main", "order.bpmn").await, ErrorKind::CertificateRefused);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_away() {
    let world = world().await;
    assert_eq!(world.refusal_at("https://127.0.0.1:1/orders").await, ErrorKind::Unreachable);
    assert_eq!(world.refusal_at("https://name.invalid/orders").await, ErrorKind::Unreachable);
}
