use engine_fake::FakeEngines;
use k8s_openapi::ByteString;
use rstest::rstest;
use serde_json::{Value, json};
use test_support::{FakeApiServer, builders, reply};

use super::*;

fn cluster() -> WorkflowCluster {
    builders::running_cluster("workflow-system", "prod")
}

fn seeded_apiserver() -> FakeApiServer {
    let apiserver = FakeApiServer::new();
    let (ca, secrets) = builders::engine_access(&cluster());
    apiserver.seed(&ca);
    for secret in &secrets {
        apiserver.seed(secret);
    }
    apiserver
}

fn connector(apiserver: &FakeApiServer, role: EngineRole) -> EngineConnector {
    EngineConnector::new(apiserver.client(), Arc::new(FakeEngines::new()), role)
}

fn reads(apiserver: &FakeApiServer) -> Vec<String> {
    let requests = apiserver.requests().into_iter();
    requests.filter_map(|request| request.path.rsplit('/').next().map(ToOwned::to_owned)).collect()
}

const BOTH: [&str; 2] = ["prod-engine-ca", "prod-engine-controller-token"];

#[rstest]
#[case::controller(EngineRole::Controller, "controller-token-of-prod")]
#[case::monitor(EngineRole::Monitor, "monitor-token-of-prod")]
#[tokio::test]
async fn each_role_has_its_own_token(#[case] role: EngineRole, #[case] token: &str) {
    let apiserver = seeded_apiserver();
    let access = connector(&apiserver, role).access(&cluster()).await.unwrap();
    assert_eq!(access.credential.expose(), token);
    assert_eq!(access.address.to_string(), "prod-engine.workflow-system.svc:26500");
    assert_eq!(access.address.tls.unwrap().ca_pem, "not a certificate");
}

#[tokio::test]
async fn access_is_read_once_and_again_after_it_was_forgotten_or_endpoint_or_keys_changed() {
    let apiserver = seeded_apiserver();
    let connector = connector(&apiserver, EngineRole::Controller);
    for _ in 0..3 {
        connector.connect(&cluster()).await.unwrap();
    }
    assert_eq!(reads(&apiserver), BOTH);

    apiserver.forget_requests();
    connector.forget(&cluster());
    connector.connect(&cluster()).await.unwrap();
    assert_eq!(reads(&apiserver), BOTH);

    apiserver.forget_requests();
    let mut moved = cluster();
    moved.status.as_mut().unwrap().endpoint.as_mut().unwrap().port = 26501;
    connector.connect(&moved).await.unwrap();
    assert_eq!(reads(&apiserver), BOTH);

    apiserver.forget_requests();
    let worker = Some("another".to_owned());
    moved.status.as_mut().unwrap().access_key_ids = Some(AccessKeyIds { worker, client: None });
    for _ in 0..3 {
        connector.connect(&moved).await.unwrap();
    }
    assert_eq!(reads(&apiserver), BOTH);
}

#[tokio::test]
async fn a_new_cluster_of_the_same_name_is_another_one() {
    let apiserver = seeded_apiserver();
    let connector = connector(&apiserver, EngineRole::Controller);
    connector.connect(&cluster()).await.unwrap();
    let mut recreated = cluster();
    recreated.metadata.uid = Some("another".into());
    connector.connect(&recreated).await.unwrap();
    assert_eq!(reads(&apiserver).len(), 4);
}

#[rstest]
#[case::no_ca(
    "configmaps",
    "prod-engine-ca",
    None,
    "ConfigMap prod-engine-ca of WorkflowCluster workflow-system/prod: key ca.crt is missing; \
     the cluster-controller writes it anew when it is deleted"
)]
#[case::no_token(
    "secrets",
    "prod-engine-controller-token",
    None,
    "Secret prod-engine-controller-token of WorkflowCluster workflow-system/prod: key current is missing; \
     the cluster-controller writes it anew when it is deleted"
)]
#[case::unusable_token("secrets", "prod-engine-controller-token",
    Some(json!({"metadata": {"name": "prod-engine-controller-token"}, "data": {"current": "YSBiCmM="}})),
    "Secret prod-engine-controller-token of WorkflowCluster workflow-system/prod: key current is not a token; \
     the cluster-controller writes it anew when it is deleted")]
#[tokio::test]
async fn what_is_missing_or_malformed_is_reported_without_its_contents(
    #[case] plural: &'static str,
    #[case] name: &'static str,
    #[case] object: Option<Value>,
    #[case] reported: &str,
) {
    let apiserver = seeded_apiserver();
    apiserver.intercept(move |request| {
        let answer = object
            .clone()
            .map_or_else(|| reply::not_found(plural, name).into(), test_support::reply::Reply::ok);
        request.path.ends_with(name).then_some(answer)
    });
    let error = connector(&apiserver, EngineRole::Controller).access(&cluster()).await.unwrap_err();
    assert_eq!((error.class(), error.to_string().as_str()), (ErrorClass::Transient, reported));
}

#[tokio::test]
async fn a_refused_read_keeps_its_class_and_without_an_endpoint_nothing_is_read() {
    let apiserver = seeded_apiserver();
    apiserver.intercept(|request| {
        let refusal = reply::forbidden("secrets", "prod-engine-controller-token", "no permission");
        request.path.contains("/secrets/").then(|| refusal.into())
    });
    let connector = connector(&apiserver, EngineRole::Controller);
    let error = connector.access(&cluster()).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Denied);
    // A RoleBinding by a person would not help: the cluster-controller grants this Secret, and this one only.
    assert_eq!(
        error.message(),
        "no permission yet to read Secret prod-engine-controller-token of WorkflowCluster workflow-system/prod: \
         the cluster-controller makes a Role and a RoleBinding of that name; if this lasts, look at the WorkflowCluster"
    );

    apiserver.forget_requests();
    let error = connector.access(&builders::cluster("workflow-system", "prod")).await.unwrap_err();
    assert_eq!(error.to_string(), "WorkflowCluster workflow-system/prod has no status.endpoint yet");
    assert_eq!(reads(&apiserver), Vec::<String>::new());
}

#[tokio::test]
async fn an_engine_can_be_called_once_it_has_an_endpoint_and_until_its_cluster_is_deleted() {
    assert!(is_callable(&cluster()));
    assert!(!is_callable(&builders::cluster("workflow-system", "prod")));
    let mut deleting = cluster();
    deleting.metadata.deletion_timestamp = cluster().metadata.creation_timestamp;
    assert!(!is_callable(&deleting));
}

#[rstest]
#[case::worker(TokenRole::Worker, builders::WORKER_KEY, "prod-engine-worker-key")]
#[case::client(TokenRole::Client, builders::CLIENT_KEY, "prod-engine-client-key")]
#[tokio::test]
async fn a_key_is_checked_and_read_once_for_all_tenants_of_a_cluster(
    #[case] role: TokenRole,
    #[case] expected: &str,
    #[case] name: &str,
) {
    let apiserver = seeded_apiserver();
    let connector = connector(&apiserver, EngineRole::Monitor);
    apiserver.edit::<Secret>("workflow-system", name, |secret| {
        secret["data"] = json!({"current": "YSBiCmM="});
    });
    let Err(unusable) = connector.tenant_access(&cluster(), role).await else { panic!("that is no key") };
    assert!(unusable.to_string().contains("key current is not a key"), "{unusable}");
    apiserver.edit::<Secret>("workflow-system", name, |secret| {
        secret["data"] = json!({"current": ByteString(expected.as_bytes().to_vec())});
    });
    apiserver.forget_requests();
    for _ in 0..50 {
        let read = connector.tenant_access(&cluster(), role).await.unwrap();
        assert_eq!((read.key.expose(), read.ca_pem.as_str()), (expected.to_owned(), "not a certificate"));
    }
    assert_eq!(reads(&apiserver), ["prod-engine-ca", name]);
}
