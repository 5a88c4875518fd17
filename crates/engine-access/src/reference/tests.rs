use kube::api::ObjectMeta;
use rstest::rstest;
use serde_json::json;

use super::*;

#[derive(Default)]
struct World {
    clusters: BTreeMap<(String, String), Arc<WorkflowCluster>>,
    tenants: BTreeMap<(String, String), Arc<WorkflowTenant>>,
    labels: BTreeMap<String, BTreeMap<String, String>>,
}

impl Directory for World {
    fn cluster(&self, namespace: &str, name: &str) -> Option<Arc<WorkflowCluster>> {
        self.clusters.get(&(namespace.into(), name.into())).cloned()
    }

    fn tenant(&self, namespace: &str, name: &str) -> Option<Arc<WorkflowTenant>> {
        self.tenants.get(&(namespace.into(), name.into())).cloned()
    }

    fn namespace_labels(&self, namespace: &str) -> BTreeMap<String, String> {
        self.labels.get(namespace).cloned().unwrap_or_default()
    }
}

impl Namespaces for World {
    fn contains(&self, name: &str) -> bool {
        self.labels.contains_key(name)
    }

    fn labelled(&self, tenant: &str) -> Vec<String> {
        let carries = |labels: &BTreeMap<String, String>| labels.get(TENANT).is_some_and(|it| it == tenant);
        self.labels.iter().filter(|(_, labels)| carries(labels)).map(|(name, _)| name.clone()).collect()
    }
}

fn meta(namespace: &str, name: &str) -> ObjectMeta {
    ObjectMeta {
        namespace: Some(namespace.into()),
        name: Some(name.into()),
        uid: Some(format!("uid-{namespace}-{name}")),
        ..ObjectMeta::default()
    }
}

impl World {
    fn cluster(mut self, namespace: &str, name: &str) -> Self {
        let spec = json!({"version": "1.2.3", "replicas": 1, "postgres": {"externalRef": {"host": "db", "databaseSecret": "s"}}});
        let mut cluster = WorkflowCluster::new(name, serde_json::from_value(spec).unwrap());
        cluster.metadata = meta(namespace, name);
        self.clusters.insert((namespace.into(), name.into()), Arc::new(cluster));
        self
    }

    fn tenant(mut self, namespace: &str, name: &str, cluster: &str, namespaces: &[&str]) -> Self {
        let spec = json!({"clusterRef": {"name": cluster}, "namespaces": namespaces});
        let mut tenant = WorkflowTenant::new(name, serde_json::from_value(spec).unwrap());
        tenant.metadata = meta(namespace, name);
        self.tenants.insert((namespace.into(), name.into()), Arc::new(tenant));
        self
    }

    fn label(mut self, namespace: &str, tenant: &str) -> Self {
        self.labels.insert(namespace.into(), BTreeMap::from([(TENANT.into(), tenant.into())]));
        self
    }
}

/// The installation of the founding design: cluster and tenants in workflow-system, a process in acme-tenant.
fn seed() -> World {
    World::default().cluster("workflow-system", "prod-east").tenant(
        "workflow-system",
        "acme",
        "prod-east",
        &[],
    )
}

fn outcome(
    world: &World,
    from: &str,
    cluster: (&str, Option<&str>),
    tenant: Option<(&str, Option<&str>)>,
) -> Result<(String, Option<String>), String> {
    let cluster_ref = ClusterRef { name: cluster.0.into(), namespace: cluster.1.map(Into::into) };
    let tenant_ref =
        tenant.map(|(name, namespace)| TenantRef { name: name.into(), namespace: namespace.map(Into::into) });
    let referrer = Referrer { namespace: from, cluster: &cluster_ref, tenant: tenant_ref.as_ref() };
    let uid = |object: &ObjectMeta| object.uid.clone().unwrap_or_default();
    resolve(world, "workflow-system", referrer)
        .map(|found| (uid(&found.cluster.metadata), found.tenant.map(|tenant| uid(&tenant.metadata))))
        .map_err(|refused| refused.to_string())
}

const SEED_CLUSTER: &str = "uid-workflow-system-prod-east";
const SEED_TENANT: &str = "uid-workflow-system-acme";

#[test]
fn the_seed_process_reaches_its_cluster_when_its_namespace_is_labelled() {
    let world = seed().label("acme-tenant", "acme");
    assert_eq!(
        outcome(&world, "acme-tenant", ("prod-east", None), Some(("acme", None))),
        Ok((SEED_CLUSTER.into(), Some(SEED_TENANT.into())))
    );
}

#[test]
fn a_tenant_can_list_the_namespace_instead() {
    let world = World::default().cluster("workflow-system", "prod-east").tenant(
        "workflow-system",
        "acme",
        "prod-east",
        &["acme-tenant"],
    );
    assert_eq!(
        outcome(&world, "acme-tenant", ("prod-east", None), Some(("acme", None))),
        Ok((SEED_CLUSTER.into(), Some(SEED_TENANT.into())))
    );
}

#[rstest]
#[case::no_grant(seed())]
#[case::label_of_another_tenant(seed().label("acme-tenant", "beta"))]
#[case::tenant_is_missing(World::default().cluster("workflow-system", "prod-east").label("acme-tenant", "acme"))]
#[case::cluster_is_missing(World::default().tenant("workflow-system", "acme", "prod-east", &[]).label("acme-tenant", "acme"))]
#[case::tenant_refers_to_another_cluster(
    World::default()
        .cluster("workflow-system", "prod-east")
        .cluster("workflow-system", "prod-west")
        .tenant("workflow-system", "acme", "prod-west", &[])
        .label("acme-tenant", "acme")
)]
#[case::a_tenant_grants_itself_from_a_foreign_namespace(
    World::default().cluster("workflow-system", "prod-east").tenant("acme-tenant", "acme", "prod-east", &["acme-tenant"])
)]
fn a_missing_target_and_one_that_is_not_granted_give_the_same_message(#[case] world: World) {
    assert_eq!(
        outcome(&world, "acme-tenant", ("prod-east", None), Some(("acme", None))),
        Err("spec.clusterRef prod-east, spec.tenantRef acme: not found or not permitted from namespace acme-tenant; \
             grant: label that Namespace workflow.example.com/tenant=acme"
            .into())
    );
}

#[rstest]
#[case::by_name(("prod-east", None))]
#[case::by_namespace_and_name(("prod-east", Some("workflow-system")))]
fn without_a_tenant_only_the_clusters_own_namespace_may_refer(#[case] cluster: (&str, Option<&str>)) {
    let world = seed();
    assert_eq!(outcome(&world, "workflow-system", cluster, None), Ok((SEED_CLUSTER.into(), None)));
    assert!(outcome(&world, "acme-tenant", cluster, None).is_err());
}

#[rstest]
#[case::from_another_namespace("acme-tenant")]
#[case::from_the_clusters_own("workflow-system")]
fn an_object_that_names_no_tenant_belongs_to_the_one_that_its_namespace_is_labelled_with(#[case] own: &str) {
    let world = seed().label(own, "acme");
    let expected = Ok((SEED_CLUSTER.into(), Some(SEED_TENANT.into())));
    assert_eq!(outcome(&world, own, ("prod-east", None), None), expected);
    assert_eq!(outcome(&world, own, ("prod-east", Some("workflow-system")), None), expected);
}

#[test]
fn a_tenant_ref_takes_precedence_over_the_label() {
    let world = seed().label("workflow-system", "acme").tenant("workflow-system", "beta", "prod-east", &[]);
    assert_eq!(
        outcome(&world, "workflow-system", ("prod-east", None), Some(("beta", None))),
        Ok((SEED_CLUSTER.into(), Some("uid-workflow-system-beta".into())))
    );
}

#[test]
fn an_empty_label_names_no_tenant() {
    let world = seed().label("workflow-system", "");
    assert_eq!(
        outcome(&world, "workflow-system", ("prod-east", None), None),
        Ok((SEED_CLUSTER.into(), None))
    );
}

#[rstest]
#[case::tenant_is_missing(World::default().cluster("workflow-system", "prod-east"))]
#[case::cluster_is_missing(World::default().tenant("workflow-system", "acme", "prod-east", &[]))]
#[case::tenant_refers_to_another_cluster(
    World::default()
        .cluster("workflow-system", "prod-east")
        .cluster("workflow-system", "prod-west")
        .tenant("workflow-system", "acme", "prod-west", &[])
)]
fn a_refusal_says_that_the_tenant_comes_from_the_label(#[case] world: World) {
    assert_eq!(
        outcome(&world.label("acme-tenant", "acme"), "acme-tenant", ("prod-east", None), None),
        Err("spec.clusterRef prod-east, tenant acme (from label workflow.example.com/tenant of Namespace acme-tenant): \
             not found or not permitted there; create the WorkflowTenant, or correct the label"
            .into())
    );
}

#[test]
fn the_own_namespace_comes_first() {
    let world = seed().cluster("team", "prod-east").tenant("team", "acme", "prod-east", &[]);
    assert_eq!(
        outcome(&world, "team", ("prod-east", None), Some(("acme", None))),
        Ok(("uid-team-prod-east".into(), Some("uid-team-acme".into())))
    );
}

#[rstest]
#[case::beside_its_cluster("workflow-system", seed(), true)]
#[case::elsewhere_without_grant("acme-tenant", seed(), false)]
#[case::elsewhere_with_grant("acme-tenant", seed().label("acme-tenant", "acme"), true)]
fn a_tenant_needs_a_grant_too(#[case] namespace: &str, #[case] world: World, #[case] permitted: bool) {
    let world = world.tenant(namespace, "acme", "prod-east", &["acme-tenant"]);
    let tenant = world.tenants[&(namespace.into(), "acme".into())].clone();
    assert_eq!(resolve_tenant(&world, "workflow-system", &tenant).is_ok(), permitted);
}

/// `granted_namespaces` (from the tenant) and `resolve` (from the namespace) agree.
#[test]
fn exactly_the_granted_namespaces_may_refer() {
    let world = World::default()
        .cluster("workflow-system", "prod-east")
        .tenant("workflow-system", "acme", "prod-east", &["listed", "both", "labelled-otherwise"])
        .label("labelled", "acme")
        .label("both", "acme")
        .label("labelled-otherwise", "beta")
        .label("of-another", "beta");
    let tenant = Directory::tenant(&world, "workflow-system", "acme").unwrap();
    let granted = granted_namespaces(&tenant, &world);
    assert_eq!(granted, ["workflow-system", "listed", "both", "labelled-otherwise", "labelled"]);
    let all =
        ["workflow-system", "listed", "both", "labelled", "labelled-otherwise", "of-another", "unknown"];
    for namespace in all {
        let resolves = outcome(&world, namespace, ("prod-east", None), Some(("acme", None))).is_ok();
        assert_eq!(resolves, granted.iter().any(|it| it == namespace), "{namespace}");
    }
}
