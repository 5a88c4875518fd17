use std::collections::BTreeMap;

use api_types::WorkflowCluster;
use kube::api::DynamicObject;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::testing::{FULL, MANAGED, cluster, minimal, with_input};

const AWAKE: Circumstances<'static> =
    Circumstances { asleep: false, fixed_class: None, archives: true, origin: None };

fn found(view: ProviderView) -> Found {
    Found {
        view,
        fixed_class: None,
        stores: StoresView::Known(BTreeMap::new()),
        failed_recovery: None,
        leftovers: Vec::new(),
    }
}

fn managed(change: impl FnOnce(&mut WorkflowCluster)) -> WorkflowCluster {
    let mut cluster = cluster(MANAGED);
    change(&mut cluster);
    cluster
}

/// What is applied for the cluster, beside `live`.
fn built(cluster: &WorkflowCluster, live: Option<&DynamicObject>) -> Value {
    with_input(cluster, |input| {
        let order = Order::of(input, AWAKE).unwrap();
        provider_of(order.managed).build(&order, live).body
    })
}

/// The object as the provider left it, with this status.
fn applied(cluster: &WorkflowCluster, status: Value) -> DynamicObject {
    let mut live = built(cluster, None);
    live["status"] = status;
    serde_json::from_value(live).unwrap()
}

fn healthy(instances: i32, ready: i32) -> Value {
    json!({
        "phase": "Cluster in healthy state", "instances": instances, "readyInstances": ready,
        "currentPrimary": "dev-postgres-1", "targetPrimary": "dev-postgres-1",
    })
}

fn judged(cluster: &WorkflowCluster, live: DynamicObject, may_sleep: bool) -> (Option<State>, bool) {
    with_input(cluster, |input| {
        let view = ProviderView::Known(Some(Box::new(live)));
        let managed = judge_managed(input, found(view), Beginning::Empty, may_sleep).unwrap();
        (managed.state, managed.asleep)
    })
}

#[test]
fn the_seed_becomes_a_cluster_of_three_that_loses_no_commit() {
    insta::assert_yaml_snapshot!(built(&managed(|_| ()), None));
}

#[test]
fn what_pods_are_asked_for_holds_for_those_of_postgres() {
    let mut cluster = cluster(FULL);
    cluster.spec.postgres.external_ref = None;
    cluster.spec.postgres.managed = serde_json::from_value(json!({
        "replicas": 2, "image": "registry.example/postgres:17",
        "resources": {"requests": {"cpu": "500m"}, "limits": {"memory": "2Gi"}},
    }))
    .unwrap();
    insta::assert_yaml_snapshot!(built(&cluster, None));
}

/// The default of the installation may become another major version.
#[rstest]
#[case::a_new_one_has_the_default(None, None, Some("registry.example/postgresql:17"))]
#[case::the_spec_decides(
    Some("registry.example/postgresql:16"),
    None,
    Some("registry.example/postgresql:16")
)]
#[case::the_spec_changes_it(
    Some("registry.example/postgresql:18"),
    Some("other:15"),
    Some("registry.example/postgresql:18")
)]
#[case::one_that_exists_keeps_its_own(None, Some("other:15"), Some("other:15"))]
fn which_image_a_postgres_has(
    #[case] named: Option<&str>,
    #[case] kept: Option<&str>,
    #[case] expected: Option<&str>,
) {
    let cluster = managed(|it| it.spec.postgres.managed.as_mut().unwrap().image = named.map(str::to_owned));
    let live = kept.map(|image| {
        let mut live = applied(&cluster, healthy(3, 3));
        live.data["spec"]["imageName"] = json!(image);
        live
    });
    assert_eq!(built(&cluster, live.as_ref())["spec"]["imageName"].as_str(), expected);
}

#[test]
fn no_provider_is_asked_for_an_external_database() {
    let external = minimal(|_| ());
    assert!(with_input(&external, |input| Order::of(input, AWAKE).is_none()));
}

#[rstest]
#[case::one(1, None)]
#[case::two_can_lose_one_and_go_on(2, Some(("preferred", false)))]
#[case::three_lose_no_commit(3, Some(("required", true)))]
#[case::sixteen(16, Some(("required", true)))]
fn commits_wait_for_another_instance(#[case] instances: i32, #[case] expected: Option<(&str, bool)>) {
    let cluster = managed(|it| it.spec.postgres.managed.as_mut().unwrap().replicas = Some(instances));
    let synchronous = &built(&cluster, None)["spec"]["postgresql"]["synchronous"];
    let expected = expected.map_or(Value::Null, |(durability, quorum)| {
        json!({"method": "any", "number": 1, "dataDurability": durability, "failoverQuorum": quorum})
    });
    assert_eq!(*synchronous, expected);
}

#[rstest]
#[case(0, "100")]
#[case(3, "100")]
#[case(4, "200")]
#[case(64, "1200")]
fn postgres_has_connections_for_every_engine_pod(#[case] pods: i32, #[case] expected: &str) {
    let cluster = managed(|it| it.spec.replicas = pods);
    assert_eq!(built(&cluster, None)["spec"]["postgresql"]["parameters"]["max_connections"], json!(expected));
}

#[rstest]
#[case::complete(healthy(3, 3), State::Ready)]
#[case::no_status(json!(null), State::Provisioning("is on its way; 0 of 3 instances are ready".into()))]
#[case::of_another_size(healthy(1, 1), State::Provisioning("is on its way; 1 of 3 instances are ready".into()))]
#[case::one_away(healthy(3, 2), State::Degraded("2 of 3 instances are ready".into()))]
#[case::fails_over(
    json!({"phase": "Failing over", "instances": 3, "readyInstances": 2, "currentPrimary": "a", "targetPrimary": "pending"}),
    State::Provisioning("fails over to another instance; 2 of 3 instances are ready".into())
)]
#[case::a_phase_of_a_later_version(
    json!({"phase": "<script>", "instances": 3, "readyInstances": 3, "currentPrimary": "a", "targetPrimary": "a"}),
    State::Degraded("3 of 3 instances are ready".into())
)]
#[case::given_up(
    json!({"phase": "Invalid cluster definition", "instances": 3, "readyInstances": 3}),
    State::Failed("is refused by CloudNativePG".into())
)]
#[case::a_status_of_other_types(json!({"instances": "three"}), State::Provisioning("is on its way; 0 of 3 instances are ready".into()))]
fn a_status_counts_for_what_it_holds(#[case] status: Value, #[case] expected: State) {
    let cluster = managed(|_| ());
    assert_eq!(judged(&cluster, applied(&cluster, status), false), (Some(expected), false));
}

/// Its condition `Ready` may be that of another spec, and it has no `observedGeneration`.
#[test]
fn a_healthy_status_does_not_count_for_another_spec() {
    let former = managed(|_| ());
    let next = managed(|it| it.spec.postgres.managed.as_mut().unwrap().storage_size = Some("200Gi".into()));
    let live = applied(&former, healthy(3, 3));
    assert_eq!(judged(&next, live, false), (Some(State::Provisioning("is being changed".to_owned())), false));
}

#[rstest]
#[case::one_that_is_being_made_is_made_first(
    healthy(2, 1),
    State::Provisioning("is on its way; 1 of 3 instances are ready".to_owned()),
    false
)]
#[case::a_complete_one_is_sent_to_sleep(healthy(3, 3), State::Hibernating, true)]
fn only_a_postgres_that_was_complete_sleeps(
    #[case] status: Value,
    #[case] state: State,
    #[case] asleep: bool,
) {
    let cluster = managed(|_| ());
    assert_eq!(judged(&cluster, applied(&cluster, status), true), (Some(state), asleep));
}

#[rstest]
#[case::on_its_way(json!([]), State::Hibernating)]
#[case::there(json!([{"type": "cnpg.io/hibernation", "status": "True"}]), State::Hibernated)]
fn how_deep_it_sleeps(#[case] conditions: Value, #[case] expected: State) {
    let cluster = managed(|_| ());
    let sent = with_input(&cluster, |input| {
        let order = Order::of(input, Circumstances { asleep: true, ..AWAKE }).unwrap();
        provider_of(order.managed).build(&order, None).body
    });
    let mut live: DynamicObject = serde_json::from_value(sent).unwrap();
    live.data["status"] = json!({"phase": "Cluster in healthy state", "conditions": conditions});
    assert_eq!(judged(&cluster, live, true), (Some(expected), true));
}

#[rstest]
#[case::less("50Gi", None, Some(WhyKept::Shrinks), "100Gi")]
#[case::more("1Ti", None, None, "1Ti")]
#[case::more_than_the_class_allows("1Ti", Some("local"), Some(WhyKept::ClassIsFixed("local".to_owned())), "100Gi")]
#[case::the_same_in_other_words("102400Mi", Some("local"), None, "102400Mi")]
fn volumes_only_grow_where_they_can(
    #[case] wanted: &str,
    #[case] fixed_class: Option<&str>,
    #[case] why: Option<WhyKept>,
    #[case] applied_size: &str,
) {
    let live = applied(&managed(|_| ()), healthy(3, 3));
    let next = managed(|it| it.spec.postgres.managed.as_mut().unwrap().storage_size = Some(wanted.into()));
    let (size, kept) = with_input(&next, |input| {
        let order = Order::of(input, Circumstances { fixed_class, ..AWAKE }).unwrap();
        let body = provider_of(order.managed).build(&order, Some(&live)).body;
        let view = ProviderView::Known(Some(Box::new(live.clone())));
        let managed = judge_managed(
            input,
            Found { fixed_class: fixed_class.map(str::to_owned), ..found(view) },
            Beginning::Empty,
            false,
        )
        .unwrap();
        (body["spec"]["storage"]["size"].clone(), managed.kept_size)
    });
    assert_eq!(size, json!(applied_size));
    assert_eq!(kept, why.map(|why| KeptSize { size: "100Gi".to_owned(), why }));
}

#[rstest]
#[case::not_installed(
    ProviderView::CrdMissing,
    "ProviderMissing",
    "spec.postgres.managed needs CloudNativePG, which is not installed: helm upgrade --install cnpg --repo https://cloudnative-pg.github.io/charts cloudnative-pg -n cnpg-system --create-namespace"
)]
#[case::absent(ProviderView::Known(None), "PostgresProvisioning", "Cluster dev-postgres is being created")]
#[case::asleep(
    ProviderView::Known(Some(Box::new(applied(&managed(|_| ()), json!({"conditions": [{"type": "cnpg.io/hibernation", "status": "True"}]}))))),
    "PostgresProvisioning",
    "Cluster dev-postgres wakes up"
)]
fn an_absent_database_is_explained_by_its_provider(
    #[case] view: ProviderView,
    #[case] reason: &str,
    #[case] cause: &str,
) {
    let problem = with_input(&managed(|_| ()), |input| {
        let managed = judge_managed(input, found(view), Beginning::Empty, false).unwrap();
        explain_absence(input, &managed).unwrap()
    });
    assert_eq!((problem.reason.to_string().as_str(), problem.cause.as_str()), (reason, cause));
}
