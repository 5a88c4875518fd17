use std::collections::BTreeMap;

use api_types::WorkflowTenant;
use rstest::rstest;
use serde_json::json;
use test_support::mock_apiserver::{MockApiServer, get};
use test_support::{FakeApiServer, builders, reply};

use super::*;

/// What the cache shows.
struct Cached(Option<WorkflowCluster>);

impl Directory for Cached {
    fn cluster(&self, namespace: &str, name: &str) -> Option<Arc<WorkflowCluster>> {
        let cached = self.0.clone()?;
        (cached.namespace().as_deref() == Some(namespace) && cached.name_any() == name)
            .then(|| Arc::new(cached))
    }

    fn tenant(&self, _: &str, _: &str) -> Option<Arc<WorkflowTenant>> {
        None
    }

    fn namespace_labels(&self, _: &str) -> BTreeMap<String, String> {
        BTreeMap::new()
    }
}

fn cluster() -> WorkflowCluster {
    builders::running_cluster("workflow-system", "prod")
}

async fn observe(
    apiserver: &FakeApiServer,
    cached: Option<WorkflowCluster>,
    namespace: Option<&str>,
) -> Result<Option<String>, Unasked<CommonReason>> {
    let reference = ClusterRef { name: "prod".into(), namespace: namespace.map(Into::into) };
    let (client, directory) = (apiserver.client(), Cached(cached));
    let found = observe_cluster_of_deleted(&client, &directory, "workflow-system", "acme-home", &reference);
    found.await.map(|cluster| cluster.uid())
}

#[tokio::test]
async fn a_cluster_that_the_cache_shows_is_taken_without_a_read() {
    let apiserver = FakeApiServer::new();
    assert_eq!(observe(&apiserver, Some(cluster()), None).await, Ok(cluster().uid()));
    let mut going = cluster();
    going.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
    assert_eq!(
        observe(&apiserver, Some(going), None).await,
        Ok(cluster().uid()),
        "it waits for its dependants"
    );
    let without = WorkflowCluster { status: None, ..cluster() };
    let no_endpoint = Unasked::NoEndpoint { cluster: "workflow-system/prod".into() };
    assert_eq!(observe(&apiserver, Some(without), None).await, Err(no_endpoint));
    let mut stopped = cluster();
    stopped.spec.stopped = Some(true);
    let is_stopped = Unasked::Stopped { cluster: "workflow-system/prod".into() };
    assert_eq!(observe(&apiserver, Some(stopped), None).await, Err(is_stopped));
    assert_eq!(apiserver.requests().len(), 0);
}

#[rstest]
#[case::in_any_of_two_namespaces(None, 2)]
#[case::in_the_given_one(Some("engines"), 1)]
#[tokio::test]
async fn only_the_api_server_says_that_a_cluster_is_gone(
    #[case] namespace: Option<&str>,
    #[case] reads: usize,
) {
    let apiserver = FakeApiServer::new();
    assert_eq!(observe(&apiserver, None, namespace).await, Err(Unasked::ClusterGone));
    assert_eq!(apiserver.requests().len(), reads);
}

#[tokio::test]
async fn a_cluster_that_exists_and_is_not_in_the_cache_is_not_gone() {
    let apiserver = FakeApiServer::new();
    apiserver.seed(&cluster());
    let message =
        "WorkflowCluster workflow-system/prod exists, and this controller has not read it yet or cannot";
    let problem = Problem::new(CommonReason::KubernetesUnavailable, ErrorClass::Transient, message);
    assert_eq!(observe(&apiserver, None, None).await, Err(Unasked::Unread(problem)));
}

#[tokio::test]
async fn an_api_server_that_does_not_answer_does_not_say_that_it_is_gone() {
    let path = "/apis/workflow.example.com/v1alpha1/namespaces/acme-home/workflowclusters/prod";
    let away = reply::failure(503, "ServiceUnavailable", "away");
    let apiserver = MockApiServer::in_order([get(path).reply(away)]);
    let client = apiserver.client();
    let reference = ClusterRef { name: "prod".into(), namespace: None };
    let found =
        observe_cluster_of_deleted(&client, &Cached(None), "workflow-system", "acme-home", &reference).await;
    let Err(Unasked::<CommonReason>::Unread(problem)) = found else { panic!("{found:?}") };
    assert_eq!(problem.class, ErrorClass::Transient);
}
