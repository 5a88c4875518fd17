//! What is read from servers that behave.

use remote_files::ErrorKind;
use remote_files::git::{Budget, Want};
use rstest::rstest;
use test_support::git_server::{Stage, Visit};

use crate::world::{World, want};

const ORDER: &str = "<definitions id=\"order\"/>";

fn stages(visits: &[Visit]) -> Vec<Stage> {
    visits.iter().map(|visit| visit.stage).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_a_branch_costs_no_other_file() {
    let world = World::new().await;
    let large = vec![b'x'; 300_000];
    let orders = world.server.repository("orders");
    let commit = orders.commit("main", &[("bpmn/order.bpmn", ORDER.as_bytes()), ("large.bin", &large)]);
    assert_eq!(world.read("orders", "main", "bpmn/order.bpmn").await, Ok((commit, ORDER.to_owned())));
    let visits = world.server.take_visits();
    assert_eq!(stages(&visits), [Stage::Greeting, Stage::Refs, Stage::Fetch, Stage::Fetch]);
    let bytes: usize = visits.iter().map(|visit| visit.answered).sum();
    assert!(bytes < 3_000, "{bytes} bytes came for a small file");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_filter_is_asked_once() {
    let world = World::new().await;
    let orders = world.server.plain_repository("orders");
    let commit = orders.commit("main", &[("order.bpmn", ORDER.as_bytes()), ("other", b"x")]);
    assert_eq!(world.read("orders", "main", "order.bpmn").await, Ok((commit, ORDER.to_owned())));
    assert_eq!(stages(&world.server.take_visits()), [Stage::Greeting, Stage::Refs, Stage::Fetch]);
}

#[rstest]
#[case::branch("main")]
#[case::whole_branch("refs/heads/main")]
#[case::annotated_tag("v1")]
#[case::tag_of_a_tag("v1-again")]
#[case::whole_tag("refs/tags/v1")]
#[tokio::test(flavor = "multi_thread")]
async fn revisions(#[case] revision: &str) {
    let world = World::new().await;
    let orders = world.server.repository("orders");
    let commit = orders.commit("main", &[("order.bpmn", ORDER.as_bytes())]);
    orders.tag("v1", &commit);
    orders.tag("v1-again", "v1");
    assert_eq!(world.read("orders", revision, "order.bpmn").await, Ok((commit, ORDER.to_owned())));
}

#[rstest]
#[case::filtered(false)]
#[case::plain(true)]
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_no_ref_shows(#[case] is_plain: bool) {
    let world = World::new().await;
    let server = &world.server;
    let orders = if is_plain { server.plain_repository("orders") } else { server.repository("orders") };
    let commit = orders.commit("main", &[("order.bpmn", ORDER.as_bytes())]);
    orders.commit("main", &[("order.bpmn", b"<newer/>")]);
    assert_eq!(world.read("orders", &commit, "order.bpmn").await, Ok((commit, ORDER.to_owned())));
    assert!(!stages(&server.take_visits()).contains(&Stage::Refs), "a commit needs no list of refs");
}

/// What is known of a commit needs no visit; a branch that did not move is not fetched again.
#[tokio::test(flavor = "multi_thread")]
async fn what_did_not_move_is_not_fetched() {
    let world = World::new().await;
    let orders = world.server.repository("orders");
    let commit = orders.commit("main", &[("order.bpmn", ORDER.as_bytes())]);
    let read = async |revision: &str, known| {
        let want = Want { known, ..want(revision, "order.bpmn") };
        world.read_all("orders", vec![want]).await.remove(0).file.expect("a file")
    };
    let known = read("main", None).await;
    world.server.take_visits();
    assert_eq!(read("main", Some(known.clone())).await, known);
    assert_eq!(stages(&world.server.take_visits()), [Stage::Greeting, Stage::Refs]);
    assert_eq!(read(&commit, Some(known.clone())).await, known);
    assert_eq!(stages(&world.server.take_visits()), []);
    // Forgotten by its reader, not by the store.
    assert_eq!(read("main", None).await, known);
    assert_eq!(stages(&world.server.take_visits()), [Stage::Greeting, Stage::Refs]);

    let moved = orders.commit("main", &[("order.bpmn", b"<newer/>")]);
    let newer = read("main", Some(known.clone())).await;
    assert_eq!((newer.commit, &*newer.bytes), (moved, &b"<newer/>"[..]));
    // A force-push back.
    orders.move_branch("main", &commit);
    assert_eq!(read("main", None).await, known);
}

/// However many processes come from a commit, it is fetched once.
#[tokio::test(flavor = "multi_thread")]
async fn many_files_of_many_revisions_share_a_visit() {
    let world = World::new().await;
    let orders = world.server.repository("orders");
    let files: Vec<(String, Vec<u8>)> =
        (0..100).map(|index| (format!("bpmn/{index}.bpmn"), format!("<p{index}/>").into_bytes())).collect();
    let borrowed: Vec<(&str, &[u8])> =
        files.iter().map(|(path, bytes)| (path.as_str(), &bytes[..])).collect();
    orders.commit("main", &borrowed);
    orders.commit("other", &[("bpmn/0.bpmn", b"<other/>")]);
    let mut wants: Vec<Want> = files.iter().map(|(path, _)| want("main", path)).collect();
    wants.push(want("other", "bpmn/0.bpmn"));
    wants.push(want("gone", "bpmn/0.bpmn"));
    wants.push(want("main", "bpmn/gone.bpmn"));
    let outcomes = world.read_all("orders", wants).await;
    let texts: Vec<Result<String, ErrorKind>> = outcomes
        .into_iter()
        .map(|outcome| outcome.file.map(|file| String::from_utf8_lossy(&file.bytes).into_owned()))
        .map(|file| file.map_err(|error| error.kind))
        .collect();
    let mut expected: Vec<Result<String, ErrorKind>> =
        (0..100).map(|index| Ok(format!("<p{index}/>"))).collect();
    expected.push(Ok("<other/>".to_owned()));
    expected.push(Err(ErrorKind::RevisionMissing));
    expected.push(Err(ErrorKind::FileMissing));
    assert_eq!(texts, expected);
    let fetches = world.server.take_visits().iter().filter(|visit| visit.stage == Stage::Fetch).count();
    assert_eq!(fetches, 4, "trees and files of two commits");
}

#[tokio::test(flavor = "multi_thread")]
async fn deltas_are_resolved() {
    let world = World::new().await;
    let orders = world.server.plain_repository("orders");
    let base = (0..2_000).fold(String::new(), |text, line| text + &format!("<task id=\"t{line}\"/>\n"));
    let files: Vec<(String, String)> =
        (0..20).map(|index| (format!("{index}.bpmn"), format!("{base}<end id=\"{index}\"/>"))).collect();
    let borrowed: Vec<(&str, &[u8])> =
        files.iter().map(|(path, text)| (path.as_str(), text.as_bytes())).collect();
    let commit = orders.commit("main", &borrowed);
    orders.git(&["repack", "-a", "-d", "-f", "-q", "--depth=50"], b"");
    assert_eq!(world.read("orders", "main", "17.bpmn").await, Ok((commit, files[17].1.clone())));

    // A chain of deltas that exceeds the budget is refused before it is built.
    world.repository("orders").forget();
    let narrow = Budget { chain_bytes: base.len() * 3 / 2, ..world.budget.clone() };
    let outcomes =
        world.repository("orders").read(&world.access, &narrow, vec![want("main", "17.bpmn")]).await;
    let refused = outcomes.into_iter().next().and_then(|outcome| outcome.file.err()).expect("refused");
    assert_eq!(refused.kind, ErrorKind::TooLarge);
    assert_eq!(refused.message, "the commit has longer chains of deltas than a source may have");
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_go_with_every_request() {
    let world = World::new().await;
    world.server.repository("orders").commit("main", &[("order.bpmn", ORDER.as_bytes())]);
    world.server.require("Bearer right");
    assert_eq!(world.refusal("orders", "main", "order.bpmn").await, ErrorKind::AccessDenied);
    let world = world.authorized("Bearer wrong");
    assert_eq!(world.refusal("orders", "main", "order.bpmn").await, ErrorKind::AccessDenied);
    world.server.take_visits();
    let world = world.authorized("Bearer right");
    assert!(world.read("orders", "main", "order.bpmn").await.is_ok());
    let sent: Vec<_> = world.server.take_visits().into_iter().map(|visit| visit.authorization).collect();
    assert_eq!(sent, vec![Some("Bearer right".to_owned()); 4]);
}

/// A server without protocol version 2 lists all refs in its greeting, and need not give a file by its id: the whole commit is fetched.
#[rstest]
#[case::filtered(false)]
#[case::plain(true)]
#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_the_first_protocol_version(#[case] is_plain: bool) {
    let world = World::new().await;
    let server = &world.server;
    server.ignore_protocol_version();
    let orders = if is_plain { server.plain_repository("orders") } else { server.repository("orders") };
    let commit = orders.commit("main", &[("order.bpmn", ORDER.as_bytes())]);
    orders.tag("v1", &commit);
    for revision in ["main", "v1", "refs/heads/main"] {
        assert_eq!(
            world.read("orders", revision, "order.bpmn").await,
            Ok((commit.clone(), ORDER.to_owned()))
        );
    }
    let visits = stages(&server.take_visits());
    assert_eq!(visits, [Stage::Greeting, Stage::Fetch, Stage::Greeting, Stage::Greeting]);
    assert_eq!(world.refusal("orders", "gone", "order.bpmn").await, ErrorKind::RevisionMissing);
}
