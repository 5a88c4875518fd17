//! What the scenarios share.

use std::fmt::Debug;
use std::io::Write as _;
use std::time::Duration;

use api_types::cluster::ClusterPhase;
use api_types::{WorkflowCluster, WorkflowProcess};
use e2e::cluster::Cluster;
use e2e::sample::{ACME_NAMESPACE, CLUSTER, SYSTEM_NAMESPACE, TENANT};
pub(crate) use e2e::testbed::bpmn;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::events::v1::Event;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use test_support::wait::{await_condition, eventually};

/// The first start of everything.
pub(crate) const START: Duration = Duration::from_mins(5);
/// An edit until its effect.
pub(crate) const EDIT: Duration = Duration::from_mins(1);
/// An outage until everything works again: backoff, pods, leases.
pub(crate) const RECOVERY: Duration = Duration::from_mins(4);

/// The cluster that was named; without one the test says that it is skipped, and fails where it must not be.
pub(crate) async fn named_cluster(test: &str) -> Option<Cluster> {
    if std::env::var_os("WORKFLOW_KUBECONFIG").is_none() {
        assert!(
            std::env::var_os("REQUIRE_E2E").is_none(),
            "WORKFLOW_KUBECONFIG is not set: run the end-to-end tests by `./dev e2e`"
        );
        // Past the capture of the test harness: a skipped test must be seen.
        let _ =
            writeln!(std::io::stderr(), "skipped {test}: WORKFLOW_KUBECONFIG is not set (run `./dev e2e`)");
        return None;
    }
    let cluster = Cluster::named().await.expect("should read the named kubeconfig");
    let clusters: Api<WorkflowCluster> = Api::namespaced(cluster.client.clone(), SYSTEM_NAMESPACE);
    await_condition(&clusters, CLUSTER, START, "is ready", |engine: &WorkflowCluster| {
        engine.status.as_ref().is_some_and(|status| status.ready && status.accepts_deployments)
    })
    .await;
    Some(cluster)
}

pub(crate) fn api<K>(cluster: &Cluster, namespace: &str) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    Api::namespaced(cluster.client.clone(), namespace)
}

/// Whether a cluster is ready in this phase, and that for its present spec.
pub(crate) fn is_settled(engine: &WorkflowCluster, phase: ClusterPhase) -> bool {
    engine.status.as_ref().is_some_and(|status| {
        status.ready
            && status.phase == Some(phase)
            && status.observed_generation == engine.metadata.generation
    })
}

/// Applies an object as a user would.
pub(crate) async fn apply<K>(cluster: &Cluster, namespace: &str, name: &str, body: &Value) -> K
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let api: Api<K> = api(cluster, namespace);
    api.patch(name, &PatchParams::apply("e2e").force(), &Patch::Apply(body)).await.expect("should apply")
}

/// A WorkflowProcess of tenant acme on the sample's cluster.
pub(crate) fn process(name: &str, source: &Value) -> Value {
    json!({
        "apiVersion": "workflow.example.com/v1alpha1",
        "kind": "WorkflowProcess",
        "metadata": {"name": name, "namespace": ACME_NAMESPACE},
        "spec": {"clusterRef": {"name": CLUSTER}, "tenantRef": {"name": TENANT}, "source": source},
    })
}

pub(crate) async fn await_deployed(
    cluster: &Cluster,
    name: &str,
    what: &str,
    version: i32,
) -> WorkflowProcess {
    let processes: Api<WorkflowProcess> = api(cluster, ACME_NAMESPACE);
    await_condition(&processes, name, EDIT, what, |process: &WorkflowProcess| {
        process.status.as_ref().is_some_and(|status| status.ready && status.version == Some(version))
    })
    .await
}

/// Waits for an event about `name` whose reason and text begin like this.
pub(crate) async fn await_event(cluster: &Cluster, namespace: &str, name: &str, reason: &str, note: &str) {
    let events: Api<Event> = api(cluster, namespace);
    let what = format!("{name} has an event {reason}: {note}");
    eventually(&what, EDIT, async || {
        let found = events.list(&ListParams::default()).await.map_err(|error| error.to_string())?.items;
        let about =
            |event: &&Event| event.regarding.as_ref().and_then(|about| about.name.as_deref()) == Some(name);
        let reported: Vec<_> =
            found.iter().filter(about).map(|event| (event.reason.clone(), event.note.clone())).collect();
        let is_it = |(found, text): &(Option<String>, Option<String>)| {
            found.as_deref() == Some(reason) && text.as_deref().is_some_and(|text| text.starts_with(note))
        };
        if reported.iter().any(is_it) { Ok(()) } else { Err(format!("it has {reported:?}")) }
    })
    .await;
}

/// Deletes what a former run may have left, and waits until it is gone.
pub(crate) async fn remove<K>(cluster: &Cluster, namespace: &str, name: &str)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Serialize,
{
    let api: Api<K> = api(cluster, namespace);
    // Not there is as good as removed.
    let _ = api.delete(name, &kube::api::DeleteParams::default()).await;
    test_support::wait::await_gone(&api, name, EDIT).await;
}
