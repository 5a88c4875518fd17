use std::collections::BTreeMap;

use kube::api::ObjectMeta;
use serde_json::json;

use super::*;

#[derive(Default)]
struct World {
    clusters: Vec<Arc<WorkflowCluster>>,
    tenants: Vec<Arc<WorkflowTenant>>,
    workers: Vec<Arc<WorkflowWorker>>,
    granted: BTreeMap<&'static str, &'static str>,
}

impl Directory for World {
    fn cluster(&self, namespace: &str, name: &str) -> Option<Arc<WorkflowCluster>> {
        self.clusters.iter().find(|cluster| is(&cluster.metadata, namespace, name)).cloned()
    }

    fn tenant(&self, namespace: &str, name: &str) -> Option<Arc<WorkflowTenant>> {
        self.tenants.iter().find(|tenant| is(&tenant.metadata, namespace, name)).cloned()
    }

    fn namespace_labels(&self, namespace: &str) -> BTreeMap<String, String> {
        self.granted
            .get(namespace)
            .map(|tenant| (labels::TENANT.to_owned(), (*tenant).to_owned()))
            .into_iter()
            .collect()
    }
}

fn is(meta: &ObjectMeta, namespace: &str, name: &str) -> bool {
    meta.namespace.as_deref() == Some(namespace) && meta.name.as_deref() == Some(name)
}

fn meta(namespace: &str, name: &str) -> ObjectMeta {
    ObjectMeta {
        namespace: Some(namespace.to_owned()),
        name: Some(name.to_owned()),
        uid: Some(format!("uid-{namespace}-{name}")),
        ..ObjectMeta::default()
    }
}

impl World {
    fn cluster(mut self, namespace: &str, name: &str) -> Self {
        let spec = json!({
            "version": "1.2.3", "replicas": 1, "postgres": {"externalRef": {"host": "db", "databaseSecret": "s"}},
        });
        let mut cluster = WorkflowCluster::new(name, serde_json::from_value(spec).expect("a spec"));
        cluster.metadata = meta(namespace, name);
        self.clusters.push(Arc::new(cluster));
        self
    }

    /// `cluster`: namespace and name.
    fn tenant(mut self, namespace: &str, name: &str, cluster: (&str, &str), namespaces: &[&str]) -> Self {
        let spec =
            json!({"clusterRef": {"namespace": cluster.0, "name": cluster.1}, "namespaces": namespaces});
        let mut tenant = WorkflowTenant::new(name, serde_json::from_value(spec).expect("a spec"));
        tenant.metadata = meta(namespace, name);
        self.tenants.push(Arc::new(tenant));
        self
    }

    fn label(mut self, namespace: &'static str, tenant: &'static str) -> Self {
        self.granted.insert(namespace, tenant);
        self
    }

    /// A worker of tenant `tenant` on cluster `prod`.
    fn worker(self, namespace: &str, tenant: &str) -> Self {
        self.worker_of(namespace, &json!({"clusterRef": {"name": "prod"}, "tenantRef": {"name": tenant}}))
    }

    fn worker_of(mut self, namespace: &str, references: &serde_json::Value) -> Self {
        let mut spec = json!({"jobTypes": ["charge"], "image": "worker", "replicas": 1});
        for (key, reference) in references.as_object().expect("references") {
            spec[key] = reference.clone();
        }
        let mut worker = WorkflowWorker::new("worker", serde_json::from_value(spec).expect("a spec"));
        worker.metadata = meta(namespace, "worker");
        self.workers.push(Arc::new(worker));
        self
    }

    fn view(&self, namespace: &str) -> View {
        let of_namespace =
            |worker: &&Arc<WorkflowWorker>| worker.metadata.namespace.as_deref() == Some(namespace);
        let existing = Existing {
            clusters: self.clusters.clone(),
            tenants: self.tenants.clone(),
            workers: self.workers.iter().filter(of_namespace).cloned().collect(),
        };
        build_view(self, "workflow-system", namespace, &existing)
    }
}

const PROD: (&str, &str) = ("workflow-system", "prod");

/// One cluster with two tenants beside it.
fn seed() -> World {
    World::default().cluster(PROD.0, PROD.1).tenant("workflow-system", "acme", PROD, &[]).tenant(
        "workflow-system",
        "globex",
        PROD,
        &[],
    )
}

fn all(namespace: &str, name: &str) -> (ClusterKey, Scope) {
    (ClusterKey { namespace: namespace.to_owned(), name: name.to_owned() }, Scope::All)
}

fn tenants(of: (&str, &str), names: &[&str]) -> (ClusterKey, Scope) {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    (ClusterKey { namespace: of.0.to_owned(), name: of.1.to_owned() }, Scope::Tenants(names))
}

fn view_of(scopes: impl IntoIterator<Item = (ClusterKey, Scope)>) -> View {
    scopes.into_iter().collect()
}

#[test]
fn own_namespace_sees_everything_of_its_clusters() {
    let world = seed().cluster("workflow-system", "dev").cluster("elsewhere", "prod");
    assert_eq!(
        world.view("workflow-system"),
        view_of([all("workflow-system", "prod"), all("workflow-system", "dev")])
    );
}

#[test]
fn stranger_sees_nothing() {
    assert_eq!(seed().view("stranger"), View::default());
}

#[test]
fn labelled_namespace_sees_its_tenant() {
    let world = seed().label("acme-workers", "acme");
    assert_eq!(world.view("acme-workers"), view_of([tenants(PROD, &["acme"])]));
}

#[test]
fn listed_namespace_sees_the_tenant_that_its_worker_refers_to() {
    let world = seed()
        .tenant("workflow-system", "initech", PROD, &["initech-workers"])
        .worker("initech-workers", "initech");
    assert_eq!(world.view("initech-workers"), view_of([tenants(PROD, &["initech"])]));
}

#[test]
fn listed_namespace_that_asked_for_nothing_sees_nothing() {
    // Everybody who may edit a tenant may list any namespace; its series must not change the scaling there.
    let world = seed().tenant("workflow-system", "initech", PROD, &["victim", "globex-workers"]);
    assert_eq!(world.view("victim"), View::default());
    let world = world.label("globex-workers", "globex").worker("globex-workers", "globex");
    assert_eq!(world.view("globex-workers"), view_of([tenants(PROD, &["globex"])]));
}

#[test]
fn worker_whose_reference_is_not_granted_shows_nothing() {
    let world = seed().worker("stranger", "acme");
    assert_eq!(world.view("stranger"), View::default());
    let world = seed()
        .worker_of("stranger", &json!({"clusterRef": {"name": "prod", "namespace": "workflow-system"}}));
    assert_eq!(world.view("stranger"), View::default());
}

#[test]
fn worker_of_another_namespace_is_no_consent() {
    let world = seed()
        .tenant("workflow-system", "initech", PROD, &["initech-workers", "victim"])
        .worker("initech-workers", "initech");
    assert_eq!(world.view("victim"), View::default());
}

#[test]
fn label_and_workers_add_up() {
    let world = seed()
        .tenant("workflow-system", "initech", PROD, &["shared-workers"])
        .label("shared-workers", "globex")
        .worker("shared-workers", "initech");
    assert_eq!(world.view("shared-workers"), view_of([tenants(PROD, &["globex", "initech"])]));
}

#[test]
fn tenant_cannot_grant_itself_a_foreign_cluster() {
    // Anybody may create a WorkflowTenant in a namespace of theirs, and name any cluster and any namespace in it.
    let world = seed().tenant("mallory", "acme", PROD, &["mallory", "mallory-workers"]);
    let world = world.worker("mallory", "acme").worker_of(
        "mallory-workers",
        &json!({"clusterRef": {"name": "prod"}, "tenantRef": {"name": "acme", "namespace": "mallory"}}),
    );
    assert_eq!(world.view("mallory"), View::default());
    assert_eq!(world.view("mallory-workers"), View::default());
}

#[test]
fn tenant_in_a_namespace_that_carries_its_name_is_seen_there() {
    let world = World::default()
        .cluster(PROD.0, PROD.1)
        .tenant("umbrella", "umbrella", PROD, &[])
        .label("umbrella", "umbrella");
    assert_eq!(world.view("umbrella"), view_of([tenants(PROD, &["umbrella"])]));
}

#[test]
fn tenant_of_a_cluster_that_is_gone_shows_nothing() {
    let world = World::default().tenant("workflow-system", "acme", PROD, &[]).label("acme-workers", "acme");
    assert_eq!(world.view("acme-workers"), View::default());
}

#[test]
fn foreign_cluster_of_the_same_name_stays_apart() {
    let world = seed().cluster("acme-workers", "prod").label("acme-workers", "acme");
    assert_eq!(world.view("acme-workers"), view_of([all("acme-workers", "prod"), tenants(PROD, &["acme"])]));
}

#[test]
fn scope_of_tenants_excludes_work_without_one() {
    let (_, scope) = tenants(PROD, &["acme"]);
    let tenant = |name: &str| Some(name.to_owned());
    assert!(scope.includes(&tenant("acme")));
    assert!(!scope.includes(&tenant("globex")));
    assert!(!scope.includes(&None));
    assert!(Scope::All.includes(&None));
}
