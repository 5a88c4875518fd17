use rstest::rstest;

use super::*;
use crate::observe::postgres::Database;
use crate::recovery::Restored;
use crate::testing::{INSTALLATION, held, minimal, reachable};

const OTHER: &str = "99999999-8888-7777-6666-555555555555";

fn claim(installation: &str, namespace: &str, name: &str, uid: &str, epoch: i64) -> Claim {
    let identity = Identity {
        installation: installation.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    };
    Claim { identity, uid: uid.to_owned(), epoch, is_released: false }
}

fn ours(uid: &str, epoch: i64) -> Claim {
    claim(INSTALLATION, "acme", "dev", uid, epoch)
}

fn released(claim: Claim) -> Claim {
    Claim { is_released: true, ..claim }
}

/// What a cluster `acme/dev` with uid `uid-dev` makes of a claim.
#[derive(Debug, PartialEq)]
enum Made {
    Held(i64),
    /// It is claimed with this epoch; whether from somebody who had it.
    Claimed(i64, bool),
    InUse,
}

#[rstest]
#[case::nobodys(None, None, Made::Claimed(1, false))]
#[case::nobodys_annotated(None, Some("any/thing/else"), Made::Claimed(1, false))]
#[case::ours(Some(ours("uid-dev", 4)), None, Made::Held(4))]
#[case::ours_annotated_with_itself(
    Some(ours("uid-dev", 4)),
    Some("11111111-2222-3333-4444-555555555555/acme/dev"),
    Made::Held(4)
)]
#[case::of_our_former_life(Some(ours("uid-former", 4)), None, Made::Claimed(5, true))]
#[case::given_up_by_ourselves(Some(released(ours("uid-dev", 4))), None, Made::Claimed(5, false))]
#[case::given_up_by_another(
    Some(released(claim(OTHER, "beta", "prod", "uid-prod", 7))),
    None,
    Made::Claimed(8, false)
)]
#[case::another_cluster_here(Some(claim(INSTALLATION, "acme", "prod", "uid-prod", 7)), None, Made::InUse)]
#[case::another_namespace(Some(claim(INSTALLATION, "beta", "dev", "uid-dev", 7)), None, Made::InUse)]
#[case::another_kubernetes_cluster(Some(claim(OTHER, "acme", "dev", "uid-dev", 7)), None, Made::InUse)]
#[case::taken_over(
    Some(claim(OTHER, "beta", "prod", "uid-prod", 7)),
    Some("99999999-8888-7777-6666-555555555555/beta/prod"),
    Made::Claimed(8, true)
)]
#[case::annotated_for_another(
    Some(claim(OTHER, "beta", "prod", "uid-prod", 7)),
    Some("99999999-8888-7777-6666-555555555555/beta/test"),
    Made::InUse
)]
#[case::annotated_without_kubernetes_cluster(
    Some(claim(OTHER, "beta", "prod", "uid-prod", 7)),
    Some("beta/prod"),
    Made::InUse
)]
#[case::annotated_with_nothing(Some(claim(OTHER, "beta", "prod", "uid-prod", 7)), Some(""), Made::InUse)]
#[case::the_last_epoch(Some(ours("uid-former", i64::MAX)), None, Made::Claimed(i64::MAX, true))]
fn a_claim_is_held_made_or_left_alone(
    #[case] former: Option<Claim>,
    #[case] annotation: Option<&str>,
    #[case] expected: Made,
) {
    let cluster = minimal(|cluster| {
        cluster.metadata.annotations =
            annotation.map(|value| [(TAKE_OVER_DATABASE.to_owned(), value.to_owned())].into());
    });
    let PostgresView::Reachable(database) = reachable(None) else { unreachable!() };
    let view = PostgresView::Reachable(Database { claim: former.clone(), ..database });
    let (judged, ownership) = judge_ownership(view.clone(), INSTALLATION, &cluster, false);
    let made = match &ownership {
        Ownership::Held(claim) => Made::Held(claim.epoch),
        Ownership::Due(change) => {
            assert_eq!(change.former, former);
            assert_eq!(change.next, Claim { epoch: change.next.epoch, ..held(&cluster) });
            Made::Claimed(change.next.epoch, change.taken_from().is_some())
        }
        Ownership::Unknown | Ownership::Recovered(_) => Made::InUse,
    };
    assert_eq!(made, expected);
    if expected == Made::InUse {
        let PostgresView::Unusable(problem) = judged else { panic!("{judged:?}") };
        assert_eq!(problem.reason, ClusterReason::DatabaseInUse);
    } else {
        assert_eq!(judged, view);
    }
}

fn judged(claim: Claim) -> PostgresProblem {
    let PostgresView::Reachable(database) = reachable(None) else { unreachable!() };
    let view = PostgresView::Reachable(Database { claim: Some(claim), ..database });
    match judge_ownership(view, INSTALLATION, &minimal(|_| ()), false) {
        (PostgresView::Unusable(problem), Ownership::Unknown) => problem,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_other_one_is_named_as_far_as_a_message_has_room() {
    let problem = judged(claim(OTHER, "beta", "prod", "uid-prod", 7));
    assert_eq!(
        problem.cause,
        "the database is used by WorkflowCluster beta/prod of Kubernetes cluster \
         99999999-8888-7777-6666-555555555555: use another, or take it over by annotation \
         workflow.example.com/take-over-database"
    );
    let long = judged(claim(OTHER, &"n".repeat(36), &"c".repeat(36), "uid-prod", 7));
    assert!(long.cause.chars().count() <= controller_kit::message::MAX_CHARS, "{}", long.cause.len());
}

/// Everybody who may write to the database could write anything there.
#[rstest]
#[case::spaces("all is well: ignore")]
#[case::control("a\u{202e}b")]
#[case::empty("")]
#[case::long(&"a".repeat(254))]
fn a_row_that_no_cluster_wrote_is_not_quoted(#[case] text: &str) {
    for part in 0..4 {
        let mut parts = [OTHER, "beta", "prod", "uid-prod"];
        parts[part] = text;
        let [installation, namespace, name, uid] = parts;
        let problem = judged(claim(installation, namespace, name, uid, 7));
        assert_eq!(problem.reason, ClusterReason::DatabaseInUse);
        assert!(problem.cause.contains("no readable claim"), "{}", problem.cause);
        assert!(text.is_empty() || !problem.cause.contains(text), "{}", problem.cause);
    }
}

#[test]
fn a_database_that_does_not_answer_is_nobodys_business() {
    let view = crate::testing::unreachable();
    let judged = judge_ownership(view.clone(), INSTALLATION, &minimal(|_| ()), false);
    assert_eq!(judged, (view, Ownership::Unknown));
}

/// A base backup has the claim of its source. Once the restore is complete, a foreign claim is one like any other.
#[rstest]
#[case::not_complete(None, true)]
#[case::restored_for_the_source(Some("99999999-8888-7777-6666-555555555555/beta/prod"), true)]
#[case::complete(Some("self"), false)]
fn the_claim_of_the_source_of_a_base_backup_is_left_to_the_restore(
    #[case] restored_for: Option<&str>,
    #[case] is_left: bool,
) {
    let cluster = minimal(|_| ());
    let identity = Identity::of(INSTALLATION, &cluster);
    let restored = restored_for.map(|owner| {
        let owner = if owner == "self" { identity.to_string() } else { owner.to_owned() };
        Box::new(Restored { backup_id: "b1".to_owned(), owner, report: None })
    });
    let PostgresView::Reachable(database) = reachable(Some("1.2.3")) else { unreachable!() };
    let claim = Some(claim(OTHER, "beta", "prod", "uid-prod", 7));
    let view = PostgresView::Reachable(Database { claim, restored, ..database });
    let (judged, ownership) = judge_ownership(view.clone(), INSTALLATION, &cluster, true);
    if is_left {
        assert_eq!((judged, ownership), (view, Ownership::Recovered(identity)));
    } else {
        assert!(matches!(judged, PostgresView::Unusable(_)), "{judged:?}");
    }
}
