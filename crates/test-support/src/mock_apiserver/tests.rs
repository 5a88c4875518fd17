use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::json;

use super::*;

fn config_maps(apiserver: &MockApiServer) -> Api<ConfigMap> {
    Api::namespaced(apiserver.client(), "acme")
}

const CONFIG: &str = "/api/v1/namespaces/acme/configmaps/config";

#[tokio::test]
async fn answers_in_order_and_records() {
    let apiserver = MockApiServer::in_order([
        get(CONFIG).reply(Reply::ok(json!({"metadata": {"name": "config"}, "data": {"a": "1"}}))),
        delete(CONFIG).reply(reply::forbidden("configmaps", "config", "not yours")),
    ]);
    let api = config_maps(&apiserver);
    assert_eq!(api.get("config").await.unwrap().data.unwrap()["a"], "1");
    let refusal = api.delete("config", &DeleteParams::default()).await.unwrap_err();
    let kube::Error::Api(status) = refusal else { panic!("{refusal:?}") };
    assert_eq!(status.message, "configmaps \"config\" is forbidden: not yours");
    assert_eq!((status.code, status.is_forbidden()), (403, true));

    let requests = apiserver.finish();
    assert_eq!(
        requests.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [format!("GET {CONFIG}"), format!("DELETE {CONFIG}")]
    );
}

#[tokio::test]
async fn in_any_order_each_call_is_answered_once() {
    let apiserver =
        MockApiServer::in_any_order([get(CONFIG), get("/api/v1/namespaces/acme/configmaps/other")]);
    let api = config_maps(&apiserver);
    api.get("other").await.unwrap();
    api.get("config").await.unwrap();
    assert_eq!(apiserver.finish().len(), 2);
}

#[tokio::test]
#[should_panic(expected = "unexpected requests")]
async fn unexpected_call_fails_even_if_its_error_is_ignored() {
    let apiserver = MockApiServer::in_order([]);
    let _ = config_maps(&apiserver).get("config").await;
}

#[tokio::test]
#[should_panic(expected = "requests that never came:\nGET /api/v1/namespaces/acme/configmaps/config")]
async fn missing_call_fails_on_drop() {
    drop(MockApiServer::in_order([get(CONFIG)]));
}

#[tokio::test]
#[should_panic(expected = "unexpected requests")]
async fn call_out_of_order_fails() {
    let apiserver = MockApiServer::in_order([delete(CONFIG), get(CONFIG)]);
    let _ = config_maps(&apiserver).get("config").await;
}

#[tokio::test]
#[should_panic(expected = "unexpected requests")]
async fn query_is_required() {
    let apiserver =
        MockApiServer::in_order([post("/api/v1/namespaces/acme/configmaps").query("dryRun", "All")]);
    let _ = config_maps(&apiserver).create(&PostParams::default(), &ConfigMap::default()).await;
}

#[tokio::test]
#[should_panic(expected = "unexpected requests")]
async fn body_is_compared_whole() {
    let apiserver = MockApiServer::in_order([
        post("/api/v1/namespaces/acme/configmaps").body(json!({"metadata": {"name": "other"}}))
    ]);
    let _ = config_maps(&apiserver).create(&PostParams::default(), &ConfigMap::default()).await;
}

#[tokio::test]
async fn refusals_are_recognised_by_kube() {
    let table = [
        (reply::not_found("configmaps", "config"), 404, "configmaps \"config\" not found"),
        (reply::already_exists("configmaps", "config"), 409, "configmaps \"config\" already exists"),
        (
            reply::invalid("configmaps", "config", "data", "Invalid value: \"x\""),
            422,
            "configmaps \"config\" is invalid: data: Invalid value: \"x\"",
        ),
    ];
    for (status, code, message) in table {
        let apiserver = MockApiServer::in_order([get(CONFIG).reply(status.clone())]);
        let error = config_maps(&apiserver).get("config").await.unwrap_err();
        let kube::Error::Api(got) = error else { panic!("{error:?}") };
        assert_eq!((got.code, got.message.as_str()), (code, message));
        assert_eq!(got.details, status.details);
    }
}

#[tokio::test]
async fn api_that_is_not_served_is_a_plain_404() {
    let apiserver = MockApiServer::in_order([get(CONFIG).reply(Reply::no_such_api())]);
    let error = config_maps(&apiserver).get("config").await.unwrap_err();
    let kube::Error::Api(status) = error else { panic!("{error:?}") };
    assert_eq!((status.code, status.message.as_str()), (404, "404 page not found"));
}
