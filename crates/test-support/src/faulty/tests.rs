use std::time::Instant;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{ListParams, PostParams};

use super::*;
use crate::FakeApiServer;
use crate::reply;

async fn create(api: &Api<ConfigMap>, name: &str) -> Result<(), kube::Error> {
    let mut object = ConfigMap::default();
    object.metadata.name = Some(name.to_owned());
    api.create(&PostParams::default(), &object).await.map(|_| ())
}

fn behind(faults: &Faults, apiserver: &FakeApiServer) -> Api<ConfigMap> {
    Api::namespaced(faults.wrap(apiserver.client()), "acme")
}

fn is_stopped(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Service(inner) if inner.downcast_ref::<Stopped>().is_some())
}

#[tokio::test]
async fn reads_pass_and_are_not_counted() {
    let apiserver = FakeApiServer::new();
    let faults = Faults::stop_before_write(2);
    let api = behind(&faults, &apiserver);
    create(&api, "a").await.unwrap();
    api.list(&ListParams::default()).await.unwrap();
    api.get("a").await.unwrap();
    assert_eq!(faults.writes(), ["POST /api/v1/namespaces/acme/configmaps"]);
    assert!(!faults.stopped());
}

#[tokio::test]
async fn stop_before_leaves_the_write_undone_and_lets_nothing_through() {
    let apiserver = FakeApiServer::new();
    let faults = Faults::stop_before_write(2);
    let api = behind(&faults, &apiserver);
    create(&api, "a").await.unwrap();
    assert!(is_stopped(&create(&api, "b").await.unwrap_err()));
    assert!(is_stopped(&create(&api, "c").await.unwrap_err()));
    assert!(is_stopped(&api.get("a").await.unwrap_err()));
    assert!(faults.stopped());
    assert_eq!(apiserver.list::<ConfigMap>("acme").len(), 1);
}

#[tokio::test]
async fn stop_after_does_the_write_and_loses_its_answer() {
    let apiserver = FakeApiServer::new();
    let faults = Faults::stop_after_write(2);
    let api = behind(&faults, &apiserver);
    create(&api, "a").await.unwrap();
    assert!(is_stopped(&create(&api, "b").await.unwrap_err()));
    assert!(is_stopped(&api.get("a").await.unwrap_err()));
    assert_eq!(apiserver.list::<ConfigMap>("acme").len(), 2);
    assert_eq!(faults.writes().len(), 2);
}

#[tokio::test]
async fn chosen_write_is_refused_and_not_done() {
    let apiserver = FakeApiServer::new();
    let faults = Faults::none().fail_write(1, reply::conflict("configmaps", "a"));
    let api = behind(&faults, &apiserver);
    let error = create(&api, "a").await.unwrap_err();
    assert!(matches!(&error, kube::Error::Api(status) if status.is_conflict()), "{error:?}");
    assert!(apiserver.list::<ConfigMap>("acme").is_empty());
    create(&api, "a").await.unwrap();
}

#[tokio::test]
async fn chosen_write_is_late() {
    let apiserver = FakeApiServer::new();
    let faults = Faults::none().delay_write(1, Duration::from_millis(80));
    let api = behind(&faults, &apiserver);
    let start = Instant::now();
    create(&api, "a").await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(80));
}

#[tokio::test]
async fn refusals_of_the_server_pass_unchanged() {
    let apiserver = FakeApiServer::new();
    let api = behind(&Faults::none(), &apiserver);
    let error = api.get("a").await.unwrap_err();
    let kube::Error::Api(status) = error else { panic!("{error:?}") };
    assert_eq!(*status, reply::not_found("configmaps", "a"));
}

#[tokio::test]
async fn engine_calls_count_among_the_writes() {
    let apiserver = FakeApiServer::new();
    let faults = Faults::stop_after_write(2);
    let api = behind(&faults, &apiserver);
    create(&api, "a").await.unwrap();
    let mut deployed = false;
    let deploy = async {
        deployed = true;
        Ok::<(), String>(())
    };
    let answer = faults.pass(Some("deploy"), deploy, |stopped| stopped.to_string()).await;
    assert_eq!(answer, Err("stopped by the test, as if the process had been killed".to_owned()));
    assert!(deployed);
    let read = faults.pass(None, async { Ok::<(), String>(()) }, |stopped| stopped.to_string()).await;
    assert!(read.is_err());
    assert!(is_stopped(&create(&api, "b").await.unwrap_err()));
}
