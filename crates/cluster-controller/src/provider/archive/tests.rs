use api_types::WorkflowCluster;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::provider::{
    Found, Provider as _, ProviderView, State, cloud_native_pg::CloudNativePg, explain_absence,
    judge_managed, plan_managed,
};
use crate::testing::{MANAGED, cluster, with_input};

const ID: &str = "gone-1a2b3c4d-20261128t034314";

fn archived() -> WorkflowCluster {
    let mut cluster = cluster(MANAGED);
    cluster.spec.backup = serde_json::from_value(json!({
        "method": "CloudNativePG",
        "destination": {"s3": {
            "bucket": "backups", "prefix": "prod", "endpoint": "https://s3.example", "forcePathStyle": true,
            "credentialsSecret": "s3", "caSecret": "s3-ca",
        }},
    }))
    .unwrap();
    cluster
}

fn origin(target_time: Option<&str>) -> Origin {
    let s3 = serde_json::from_value(json!({"bucket": "backups", "region": "eu-central-1"})).unwrap();
    Origin { id: ID.parse().unwrap(), s3, target_time: target_time.map(str::to_owned) }
}

fn found(live: Option<DynamicObject>, stores: StoresView) -> Found {
    Found {
        view: ProviderView::Known(live.map(Box::new)),
        fixed_class: None,
        stores,
        failed_recovery: None,
        leftovers: Vec::new(),
    }
}

fn nothing() -> StoresView {
    StoresView::Known(BTreeMap::new())
}

/// What is applied, in order.
fn applied(cluster: &WorkflowCluster, found: Found, beginning: Beginning) -> Vec<Value> {
    with_input(cluster, |input| {
        let managed = judge_managed(input, found, beginning, false).unwrap();
        let order = Order::of(input, managed.circumstances()).unwrap();
        plan_managed(&order, &managed)
            .into_iter()
            .filter_map(|verdict| match verdict {
                ChildVerdict::Apply(desired) => Some(desired.body),
                ChildVerdict::Converged => None,
                other => panic!("{other:?}"),
            })
            .collect()
    })
}

fn live(body: &Value, status: Value) -> DynamicObject {
    let mut body = body.clone();
    body["status"] = status;
    serde_json::from_value(body).unwrap()
}

fn healthy(archiving: &str) -> Value {
    json!({
        "phase": "Cluster in healthy state", "instances": 3, "readyInstances": 3,
        "currentPrimary": "a", "targetPrimary": "a",
        "conditions": [{"type": "ContinuousArchiving", "status": archiving}],
    })
}

#[test]
fn a_postgres_that_archives_names_its_store_which_comes_first() {
    let cluster = archived();
    let made = applied(&cluster, found(None, nothing()), Beginning::Empty);
    insta::assert_yaml_snapshot!(json!({
        "store": made[0], "plugins": made[1]["spec"]["plugins"], "bootstrap": made[1]["spec"]["bootstrap"],
    }));
    let (store, postgres) = (live(&made[0], json!({})), live(&made[1], healthy("True")));
    let name = store.name_any();
    let stores = StoresView::Known([(name, store)].into());
    assert_eq!(applied(&cluster, found(Some(postgres), stores), Beginning::Empty), Vec::<Value>::new());
}

#[rstest]
#[case::to_its_end(None)]
#[case::to_a_point_in_time(Some("2026-11-28T04:00:00Z"))]
fn a_postgres_begins_with_a_base_backup(#[case] target_time: Option<&str>) {
    let mut cluster = archived();
    let beginning = Beginning::Recovered(Box::new(origin(target_time)));
    let made = applied(&cluster, found(None, nothing()), beginning);
    let name = if target_time.is_some() { "point_in_time" } else { "end" };
    insta::assert_yaml_snapshot!(
        name,
        json!({
            "stores": [made[0]["metadata"]["name"], made[1]["metadata"]["name"]],
            "origin": made[1]["spec"],
            "bootstrap": made[2]["spec"]["bootstrap"],
            "externalClusters": made[2]["spec"]["externalClusters"],
        })
    );
    // What it began with stays, also when the backup is not known any more.
    cluster.spec.backup = None;
    let live = live(&made[2], healthy("True"));
    let next = applied(&cluster, found(Some(live), nothing()), Beginning::Empty);
    assert_eq!(next[0]["spec"]["bootstrap"], made[2]["spec"]["bootstrap"]);
    assert_eq!(next[0]["spec"]["externalClusters"], made[2]["spec"]["externalClusters"]);
    assert_eq!(next[0]["spec"].get("plugins"), None);
}

#[rstest]
#[case::backup_awaited(
    Beginning::Held(ClusterReason::RestoreBackupAwaited, "not yet".to_owned()), nothing(),
    "RestoreBackupAwaited", "not yet"
)]
#[case::no_plugin(
    Beginning::Recovered(Box::new(origin(None))),
    StoresView::KindMissing,
    "ProviderMissing",
    "the base backup needs the plugin Barman Cloud of CloudNativePG, which is not installed: kubectl apply -f https://github.com/cloudnative-pg/plugin-barman-cloud/releases/latest/download/manifest.yaml"
)]
fn nothing_is_made_before_it_is_known_what_it_begins_with(
    #[case] beginning: Beginning,
    #[case] stores: StoresView,
    #[case] reason: &str,
    #[case] cause: &str,
) {
    let cluster = archived();
    assert_eq!(applied(&cluster, found(None, stores.clone()), beginning.clone()), Vec::<Value>::new());
    let problem = with_input(&cluster, |input| {
        let managed = judge_managed(input, found(None, stores), beginning, false).unwrap();
        explain_absence(input, &managed).unwrap()
    });
    assert_eq!((problem.reason.to_string().as_str(), problem.cause.as_str()), (reason, cause));
}

/// CloudNativePG would take them for those of the new one.
#[test]
fn nothing_is_made_while_volumes_of_a_former_postgres_are_there() {
    let cluster = archived();
    let left = || Found { leftovers: vec!["dev-postgres-1".to_owned()], ..found(None, nothing()) };
    assert_eq!(applied(&cluster, left(), Beginning::Empty), Vec::<Value>::new());
    let problem = with_input(&cluster, |input| {
        explain_absence(input, &judge_managed(input, left(), Beginning::Empty, false).unwrap()).unwrap()
    });
    assert_eq!(problem.reason, ClusterReason::PostgresProvisioning);
    assert_eq!(
        problem.cause,
        "PersistentVolumeClaims of a former Postgres of this name are still there: dev-postgres-1; they go by themselves if it was just deleted, else delete them"
    );
}

/// A database is worth more than its archive.
#[test]
fn without_the_plugin_a_postgres_is_made_and_does_not_archive() {
    let cluster = archived();
    let made = applied(&cluster, found(None, StoresView::KindMissing), Beginning::Empty);
    assert_eq!((made.len(), made[0]["spec"].get("plugins")), (1, None));
    with_input(&cluster, |input| {
        let managed =
            judge_managed(input, found(None, StoresView::KindMissing), Beginning::Empty, false).unwrap();
        assert!(!managed.archives);
    });
}

#[test]
fn one_that_archives_goes_on_while_the_plugin_cannot_be_asked() {
    let cluster = archived();
    let made = applied(&cluster, found(None, nothing()), Beginning::Empty);
    let live = live(&made[1], healthy("True"));
    assert!(CloudNativePg.archives(&live));
    assert_eq!(
        applied(&cluster, found(Some(live), StoresView::KindMissing), Beginning::Empty),
        Vec::<Value>::new()
    );
}

#[rstest]
#[case::works("True", State::Ready)]
#[case::not_known("Unknown", State::Ready)]
#[case::fails("False", State::Degraded("and cannot archive its WAL at spec.backup.destination".to_owned()))]
fn whether_wal_is_archived_is_reported(#[case] archiving: &str, #[case] expected: State) {
    let cluster = archived();
    let made = applied(&cluster, found(None, nothing()), Beginning::Empty);
    let live = live(&made[1], healthy(archiving));
    let state = with_input(&cluster, |input| {
        judge_managed(input, found(Some(live), nothing()), Beginning::Empty, false).unwrap().state
    });
    assert_eq!(state, Some(expected));
}

/// CloudNativePG itself only tries again.
#[rstest]
#[case::while_it_has_no_instance(json!({"phase": "Setting up primary"}), true)]
#[case::not_once_it_has_one(json!({"phase": "Setting up primary", "currentPrimary": "dev-postgres-1"}), false)]
fn a_recovery_that_fails_is_reported(#[case] status: Value, #[case] is_asked: bool) {
    let cluster = archived();
    let beginning = Beginning::Recovered(Box::new(origin(None)));
    let made = applied(&cluster, found(None, nothing()), beginning.clone());
    let live = live(&made[2], status);
    let labels = "cnpg.io/cluster=dev-postgres,cnpg.io/jobRole=full-recovery".to_owned();
    assert_eq!(CloudNativePg.recovering_pods(&live), is_asked.then_some(labels));
    let problem = with_input(&cluster, |input| {
        let found = Found { failed_recovery: Some("recovery-x".to_owned()), ..found(Some(live), nothing()) };
        let managed = judge_managed(input, found, beginning, false).unwrap();
        explain_absence(input, &managed).unwrap()
    });
    assert_eq!(problem.reason, ClusterReason::RestoreFailed);
    assert!(
        problem.cause.starts_with("pod recovery-x could not recover the base backup"),
        "{}",
        problem.cause
    );
}

#[test]
fn a_store_of_somebody_else_is_not_changed() {
    let cluster = archived();
    let made = applied(&cluster, found(None, nothing()), Beginning::Empty);
    let mut foreign = live(&made[0], json!({}));
    foreign.metadata.owner_references = None;
    foreign.metadata.labels = None;
    let stores = StoresView::Known([(foreign.name_any(), foreign)].into());
    let verdicts = with_input(&cluster, |input| {
        let managed = judge_managed(input, found(None, stores.clone()), Beginning::Empty, false).unwrap();
        let order = Order::of(input, managed.circumstances()).unwrap();
        plan_stores(&order, &stores)
    });
    assert!(
        matches!(&verdicts[..], [ChildVerdict::NameTaken { object }] if object == "ObjectStore acme/dev-postgres"),
        "{verdicts:?}"
    );
}
