//! Whose the database is: the first claim, another cluster's, taking over, giving up.

use api_types::cluster::{ClusterPhase, ClusterReason as Reason, UpgradeStage};
use controller_kit::condition::find;
use controller_kit::outcome::Next;
use controller_testing::World as _;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::batch::v1::Job;
use rstest::rstest;
use serde_json::json;

use crate::children::pod::{CLAIM_VARIABLE, variable_of};
use crate::children::stateful_set::applied_digest;
use crate::claim::{Claim, Identity};
use crate::testing::world::{IMAGE, World};
use crate::testing::{INSTALLATION, MINIMAL, cluster, held, minimal_with, reachable, unreachable};

const OTHER: &str = "99999999-8888-7777-6666-555555555555";
const TAKE_OVER: &str = "workflow.example.com/take-over-database";

/// The claim of a cluster of another Kubernetes cluster.
fn others(epoch: i64) -> Claim {
    let identity =
        Identity { installation: OTHER.to_owned(), namespace: "beta".to_owned(), name: "prod".to_owned() };
    Claim { identity, uid: "uid-prod".to_owned(), epoch, is_released: false }
}

fn ours(epoch: i64) -> Claim {
    Claim { epoch, ..held(&cluster(MINIMAL)) }
}

fn annotate(world: &World, value: &str) {
    world.edit("dev", |cluster| cluster["metadata"]["annotations"][TAKE_OVER] = json!(value));
}

fn set(world: &World) -> Option<StatefulSet> {
    world.apiserver.get("acme", "dev-engine")
}

/// The claim that the engine is started with.
fn given(world: &World) -> Option<String> {
    in_template(world, CLAIM_VARIABLE)
}

fn in_template(world: &World, name: &str) -> Option<String> {
    variable_of(&set(world)?.spec?.template, name).map(str::to_owned)
}

/// `Ready`, its reason, and the reason of `PostgresReachable`.
fn reported(world: &World) -> (Option<ClusterPhase>, String, String) {
    let status = world.status("dev");
    let reason = |type_| find(&status.conditions, type_).map(|it| it.reason.clone()).unwrap_or_default();
    (status.phase, reason("Ready"), reason("PostgresReachable"))
}

#[tokio::test]
async fn a_new_cluster_claims_its_database_before_anything_depends_on_it() {
    let world = World::new(MINIMAL);
    world.pass("dev").await;
    assert_eq!(world.claim(), Some(ours(1)));
    assert_eq!(world.apiserver.list::<Job>("acme").len(), 0);
    assert_eq!(world.reported().2, "the database is being claimed for this WorkflowCluster");
    world.pass("dev").await;
    assert_eq!(world.apiserver.list::<Job>("acme").len(), 1);
    world.converge("dev").await;
    assert_eq!(world.claim(), Some(ours(1)));
    assert!(!world.event_lines("dev").iter().any(|line| line.contains("DatabaseTakenOver")));
}

/// The operator is upgraded: the engine runs, and nobody has claimed its database yet.
#[tokio::test]
async fn an_engine_that_runs_gets_its_claim_and_nothing_of_it_changes() {
    let world = World::running(&minimal_with(2)).await;
    world.set_claim(None);
    let (before, set_before) = (world.status("dev"), set(&world));
    let events = world.event_lines("dev");
    world.pass("dev").await;
    assert_eq!(world.claim(), Some(Claim { ..held(&cluster(&minimal_with(2))) }));
    assert_eq!(world.status("dev"), before);
    world.converge("dev").await;
    assert_eq!((world.status("dev"), set(&world)), (before, set_before));
    assert_eq!(world.event_lines("dev"), events);
}

#[tokio::test]
async fn a_database_that_is_anothers_is_left_alone_and_the_other_is_named() {
    let world = World::new(MINIMAL);
    world.set_claim(Some(others(7)));
    world.settle("dev").await;
    assert_eq!(world.claim(), Some(others(7)));
    let in_use = Reason::DatabaseInUse.to_string();
    assert_eq!(reported(&world), (Some(ClusterPhase::Pending), in_use.clone(), in_use));
    let message = world.reported().2;
    assert!(
        message.contains(&format!("WorkflowCluster beta/prod of Kubernetes cluster {OTHER}")),
        "{message}"
    );
    assert_eq!((world.apiserver.list::<Job>("acme").len(), set(&world)), (0, None));
    assert!(world.event_lines("dev").iter().any(|line| line.starts_with("Warning DatabaseInUse")));

    // Another one's name does not help, the right one does.
    annotate(&world, "99999999-8888-7777-6666-555555555555/beta/test");
    world.settle("dev").await;
    assert_eq!(world.claim(), Some(others(7)));
    annotate(&world, "99999999-8888-7777-6666-555555555555/beta/prod");
    world.settle("dev").await;
    assert_eq!(world.claim(), Some(ours(8)));
    assert!(world.status("dev").ready);
    let given: Vec<_> =
        world.event_lines("dev").into_iter().filter(|it| it.contains("DatabaseTakenOver")).collect();
    assert_eq!(
        given,
        [format!(
            "Normal DatabaseTakenOver the database was taken over from WorkflowCluster beta/prod of Kubernetes \
             cluster {OTHER} (uid uid-prod)"
        )]
    );
}

#[tokio::test]
async fn it_heals_by_itself_when_the_other_gives_the_database_up() {
    let world = World::new(MINIMAL);
    world.set_claim(Some(others(7)));
    world.settle("dev").await;
    world.set_claim(Some(Claim { is_released: true, ..others(7) }));
    world.converge("dev").await;
    assert_eq!((world.claim(), world.status("dev").ready), (Some(ours(8)), true));
}

/// The engine that serves is not torn down, and gets no more pods on a database that is not its own.
#[tokio::test]
async fn an_engine_whose_database_was_taken_over_is_neither_stopped_nor_extended() {
    let world = World::running(&minimal_with(2)).await;
    world.set_claim(Some(others(7)));
    let before = set(&world).unwrap().spec;
    world.settle("dev").await;
    let in_use = Reason::DatabaseInUse.to_string();
    assert_eq!(reported(&world), (Some(ClusterPhase::Degraded), in_use.clone(), in_use));
    for change in
        [json!({"replicas": 5}), json!({"version": "1.3.0"}), json!({"image": "registry.example/other"})]
    {
        world.edit("dev", |cluster| {
            for (field, value) in change.as_object().unwrap() {
                cluster["spec"][field] = value.clone();
            }
        });
        world.settle("dev").await;
        assert_eq!((set(&world).unwrap().spec, world.claim()), (before.clone(), Some(others(7))), "{change}");
    }
    assert!(world.apiserver.list::<Job>("acme").iter().all(|job| job.status.is_some()));
    // A person can stop it, and it does not start again.
    world.edit("dev", |cluster| cluster["spec"]["stopped"] = json!(true));
    world.settle("dev").await;
    assert_eq!(set(&world).unwrap().spec.unwrap().replicas, Some(0));
    world.edit("dev", |cluster| cluster["spec"]["stopped"] = json!(false));
    world.settle("dev").await;
    assert_eq!(set(&world).unwrap().spec.unwrap().replicas, Some(0));
    // One that lost its StatefulSet gets none on a database that is another's.
    world.apiserver.remove::<StatefulSet>("acme", "dev-engine");
    world.settle("dev").await;
    assert_eq!(set(&world), None);
}

/// From this version on the engine is started with its claim. Nothing but a new claim changes that.
#[tokio::test]
async fn an_engine_that_knows_claims_is_started_with_its_own() {
    let world = World::running(&minimal_with(2)).await;
    assert_eq!(given(&world), None, "1.2.3 knows nothing of claims");
    world.edit("dev", |cluster| cluster["spec"]["version"] = json!("1.3.0"));
    world.converge("dev").await;
    let claim = |epoch| Some(format!("{INSTALLATION}/acme/dev#{epoch}"));
    let upgraded = set(&world).unwrap();
    assert_eq!(given(&world), claim(1));

    for postgres in [unreachable(), reachable(Some("1.3.0"))] {
        world.set_postgres(postgres);
        world.settle("dev").await;
        assert_eq!(set(&world).unwrap().spec, upgraded.spec);
    }
    // Taken by another and taken back: the pods are replaced, though the spec asks for nothing new.
    world.set_claim(Some(others(2)));
    world.settle("dev").await;
    assert_eq!(set(&world).unwrap().spec, upgraded.spec);
    annotate(&world, &others(2).identity.to_string());
    world.converge("dev").await;
    let rolled = set(&world).unwrap();
    assert_eq!(
        (given(&world), world.claim()),
        (claim(3), Some(Claim { epoch: 3, ..held(&cluster(&minimal_with(2))) }))
    );
    assert_eq!(applied_digest(&rolled), applied_digest(&upgraded));
    let upgrade = world.status("dev").upgrade.unwrap();
    assert_eq!((upgrade.stage, upgrade.to.as_deref()), (UpgradeStage::Done, Some("1.3.0")));
    assert_eq!(world.pods_reported(), vec![(format!("{IMAGE}:1.3.0"), true); 2]);
}

/// While the database is away the plan of an upgrade stays the same one, whatever is known of the claim.
#[tokio::test]
async fn a_database_that_goes_away_in_an_upgrade_does_not_begin_it_anew() {
    let world = World::running(&minimal_with(2)).await;
    world.edit("dev", |cluster| cluster["spec"]["version"] = json!("1.3.0"));
    let mut hashes = Vec::new();
    for _ in 0..40 {
        world.pass("dev").await;
        hashes.extend(world.status("dev").upgrade.and_then(|upgrade| upgrade.plan_hash));
        let postgres = world.postgres();
        world.set_postgres(unreachable());
        world.pass("dev").await;
        hashes.extend(world.status("dev").upgrade.and_then(|upgrade| upgrade.plan_hash));
        let template = set(&world).unwrap().spec.unwrap().template;
        let image = template.spec.unwrap().containers[0].image.clone().unwrap();
        assert_eq!(given(&world).is_some(), image.ends_with(":1.3.0"), "{image} and its claim");
        world.set_postgres(postgres);
        world.answer();
    }
    hashes.dedup();
    assert_eq!(hashes.len(), 1, "{hashes:?}");
    world.converge("dev").await;
    assert!(world.status("dev").ready);
}

/// The engine that still works on the former database keeps the claim of that one, until it gets the new database and its
/// claim with one template.
#[tokio::test]
async fn an_engine_that_moves_to_another_database_gets_it_together_with_its_claim() {
    let world = World::running(&minimal_with(2).replace("1.2.3", "1.3.0")).await;
    let claim = |epoch| Some(format!("{INSTALLATION}/acme/dev#{epoch}"));
    let host = || in_template(&world, "WORKFLOW_DATABASE_HOST");
    let former = (host(), given(&world));
    assert_eq!(former.1, claim(1));
    // The claim of the other database: this cluster had that one before, too.
    world.set_claim(Some(Claim { epoch: 9, ..held(&cluster(&minimal_with(2))) }));
    world.edit("dev", |cluster| cluster["spec"]["postgres"]["externalRef"]["host"] = json!("moved.example"));
    let mut seen = vec![former.clone()];
    for pass in 0..60 {
        let postgres = world.postgres();
        if pass % 3 == 1 {
            world.set_postgres(unreachable());
        }
        world.pass("dev").await;
        world.set_postgres(postgres);
        seen.push((host(), given(&world)));
        world.answer();
    }
    seen.dedup();
    assert_eq!(seen, [former, (Some("moved.example".to_owned()), claim(9))]);
    world.converge("dev").await;
    assert!(world.status("dev").ready);
}

/// A deleted cluster gives the database up; one that cannot, leaves the claim to the next one of its name.
#[rstest]
#[case::reached(true)]
#[case::away(false)]
#[tokio::test]
async fn a_deleted_cluster_gives_its_database_up_if_it_can(#[case] is_reached: bool) {
    let world = World::running(MINIMAL).await;
    if !is_reached {
        world.set_postgres(unreachable());
    }
    world.delete("dev").await;
    assert_eq!(world.pass("dev").await, Next::Gone);
    assert!(world.object("dev").is_none());
    assert_eq!(world.claim(), Some(Claim { is_released: is_reached, ..ours(1) }));

    // The same manifest again, after the garbage collector did its work.
    let again = World::new(&MINIMAL.replace("uid: uid-dev", "uid: uid-again"));
    again.set_claim(world.claim());
    again.settle("dev").await;
    assert!(again.status("dev").ready);
    assert_eq!(again.claim(), Some(Claim { uid: "uid-again".to_owned(), ..ours(2) }));
    let is_reported = again.event_lines("dev").iter().any(|line| line.contains("DatabaseTakenOver"));
    assert_eq!(is_reported, !is_reached);
}

#[tokio::test]
async fn a_cluster_that_never_had_the_database_gives_up_nothing() {
    let world = World::new(MINIMAL);
    world.set_claim(Some(others(7)));
    world.settle("dev").await;
    world.delete("dev").await;
    assert_eq!(world.pass("dev").await, Next::Gone);
    assert_eq!(world.claim(), Some(others(7)));
}

#[tokio::test]
async fn a_paused_cluster_claims_nothing() {
    let world = World::running(MINIMAL).await;
    world.set_claim(None);
    world.edit("dev", |cluster| cluster["spec"]["paused"] = json!(true));
    world.settle("dev").await;
    assert_eq!(world.claim(), None);
    let migrated = world.status("dev").conditions;
    assert_eq!(find(&migrated, "Migrated").map(|it| it.status.as_str()), Some("True"));
    world.edit("dev", |cluster| cluster["spec"]["paused"] = json!(false));
    world.converge("dev").await;
    assert_eq!(world.claim(), Some(ours(1)));
}

/// Without the right to read it, nobody knows which Kubernetes cluster this is.
#[tokio::test]
async fn a_kubernetes_cluster_that_may_not_be_named_claims_nothing() {
    let world = World::new(MINIMAL);
    world.apiserver.intercept(|request| {
        (request.path == "/api/v1/namespaces/kube-system").then(|| {
            test_support::reply::forbidden("namespaces", "kube-system", "no RBAC policy matched").into()
        })
    });
    world.pass("dev").await;
    assert_eq!(world.reported().1, "Denied");
    assert!(world.reported().2.starts_with("failed to read Namespace kube-system"), "{}", world.reported().2);
    assert_eq!(world.claim(), None);
}
