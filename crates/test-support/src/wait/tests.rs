use std::cell::Cell;

use k8s_openapi::api::core::v1::{ConfigMap, ObjectReference};
use kube::api::PostParams;
use serde_json::json;

use super::*;
use crate::{FakeApiServer, reply};

const SHORT: Duration = Duration::from_millis(150);

fn seeded() -> FakeApiServer {
    let apiserver = FakeApiServer::new();
    let mut object = ConfigMap::default();
    object.metadata.name = Some("config".to_owned());
    object.metadata.namespace = Some("acme".to_owned());
    apiserver.seed(&object);
    apiserver
}

#[tokio::test]
async fn tries_until_it_is_there() {
    let looks = Cell::new(0);
    let found = eventually("three looks are made", Duration::from_secs(5), async || {
        looks.update(|looks| looks + 1);
        (looks.get() == 3).then_some("here")
    })
    .await;
    assert_eq!((found, looks.get()), ("here", 3));
}

#[tokio::test]
#[should_panic(expected = "waited 150ms in vain until it rains: the sky is blue")]
async fn timeout_reports_the_last_reason() {
    eventually("it rains", SHORT, async || Err::<(), _>("the sky is blue")).await;
}

#[tokio::test]
#[should_panic(expected = "in vain until it answers: not one attempt was answered")]
async fn attempt_that_hangs_ends_at_the_timeout() {
    eventually("it answers", SHORT, async || std::future::pending::<Option<()>>().await).await;
}

#[tokio::test]
async fn object_is_returned_once_it_meets_the_condition() {
    let apiserver = seeded();
    let api: Api<ConfigMap> = Api::namespaced(apiserver.client(), "acme");
    let later = apiserver.clone();
    let change = async move {
        tokio::time::sleep(SHORT).await;
        later.edit::<ConfigMap>("acme", "config", |object| object["data"] = json!({"a": "1"}));
    };
    let has_data = |object: &ConfigMap| object.data.is_some();
    let wait = await_condition(&api, "config", Duration::from_secs(5), "has data", has_data);
    let ((), object) = tokio::join!(change, wait);
    assert!(object.data.is_some());

    apiserver.remove::<ConfigMap>("acme", "config");
    await_gone(&api, "config", SHORT).await;
}

#[tokio::test]
async fn failure_shows_object_events_and_logs() {
    let apiserver = seeded();
    let client = apiserver.client();
    let events: Api<Event> = Api::namespaced(client.clone(), "acme");
    let mut event = Event {
        involved_object: ObjectReference { name: Some("config".to_owned()), ..ObjectReference::default() },
        message: Some("postgres at db:5432 is unreachable".to_owned()),
        reason: Some("PostgresUnreachable".to_owned()),
        type_: Some("Warning".to_owned()),
        ..Event::default()
    };
    event.metadata.name = Some("config.1".to_owned());
    events.create(&PostParams::default(), &event).await.unwrap();
    let mut pod = Pod::default();
    pod.metadata.name = Some("engine-0".to_owned());
    pod.metadata.namespace = Some("acme".to_owned());
    pod.metadata.labels = Some([("app".to_owned(), "engine".to_owned())].into());
    pod.spec = serde_json::from_value(json!({"containers": [{"name": "engine"}]})).unwrap();
    apiserver.seed(&pod);
    apiserver.intercept(|request| {
        request.path.ends_with("/pods/engine-0/log").then(|| reply::Reply::ok("connection refused"))
    });

    let wait = tokio::spawn(async move {
        let api: Api<ConfigMap> = Api::namespaced(client, "acme");
        let patience = Patience::from(SHORT).with_logs_of("app=engine");
        await_condition(&api, "config", patience, "has data", |object| object.data.is_some()).await
    });
    let panic = wait.await.unwrap_err().into_panic();
    let message = panic.downcast_ref::<String>().unwrap();
    for part in [
        "waited 150ms in vain until config has data",
        "name: config",
        "event Warning PostgresUnreachable: postgres at db:5432 is unreachable",
        "--- engine-0/engine",
        "connection refused",
    ] {
        assert!(message.contains(part), "{part:?} is missing in\n{message}");
    }
}

#[tokio::test]
#[should_panic(expected = "/api/v1/namespaces/acme/configmaps is not there")]
async fn absent_object_is_reported() {
    let api: Api<ConfigMap> = Api::namespaced(FakeApiServer::new().client(), "acme");
    await_condition(&api, "config", SHORT, "is there", |_| true).await;
}
