use std::time::Duration;

use http::{Request, Response};
use kube::client::Body;
use serde_json::{Value, json};

use super::*;

const PATH: &str = "/api/v1/namespaces/kube-system/configmaps";

/// A Kubernetes API that answers each read and opens one endless watch.
fn client(answer: impl Fn(&Request<Body>) -> (u16, Value) + Clone + Send + Sync + 'static) -> Client {
    let service = tower::service_fn(move |request: Request<Body>| {
        let (code, body) = answer(&request);
        async move {
            if request.uri().query().is_some_and(|query| query.contains("watch=true")) {
                std::future::pending::<()>().await;
            }
            let response = Response::builder().status(code).body(Body::from(body.to_string().into_bytes()));
            Ok::<_, std::io::Error>(response.expect("the answer should be well-formed"))
        }
    });
    Client::new(service, "default")
}

fn config_map(allowed_names: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "resourceVersion": "1"},
        "data": {"requestheader-allowed-names": allowed_names},
    })
}

fn list(items: &[Value]) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMapList", "metadata": {"resourceVersion": "1"}, "items": items})
}

#[tokio::test]
async fn conformance_38_missing_role_ends_with_the_role_binding_to_create() {
    let refused = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403,
        "message": "configmaps \"extension-apiserver-authentication\" is forbidden",
    });
    let (follower, current) = AuthConfigFollower::new(client(move |_| (403, refused.clone())));
    let error = follower.follow().await;
    assert!(matches!(error, FollowError::NotPermitted(_)));
    let reported = error.to_string();
    assert!(reported.contains("kubectl create rolebinding"), "{reported}");
    assert!(reported.contains("--role=extension-apiserver-authentication-reader"), "{reported}");
    assert!(current.borrow().is_none());
}

#[tokio::test]
async fn readable_configuration_is_published_and_only_that_object_is_read() {
    let (follower, mut current) = AuthConfigFollower::new(client(|request| {
        let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
        assert!(path == PATH && query.contains("fieldSelector=metadata.name"), "{path}?{query}");
        (200, list(&[config_map("[]")]))
    }));
    let following = tokio::spawn(follower.follow());
    tokio::time::timeout(Duration::from_secs(5), current.wait_for(Option::is_some))
        .await
        .expect("it should be published")
        .expect("the follower should live");
    following.abort();
}

#[tokio::test]
async fn unreadable_configuration_trusts_nobody() {
    let (follower, mut current) = AuthConfigFollower::new(client(|_| (404, json!({}))));
    follower.apply(serde_json::from_value(config_map("[]")).expect("a ConfigMap"));
    assert!(current.borrow_and_update().is_some());
    follower.apply(serde_json::from_value(config_map("not JSON")).expect("a ConfigMap"));
    assert!(current.borrow_and_update().is_none());
}

#[tokio::test]
async fn missing_config_map_changes_nothing() {
    let (follower, current) = AuthConfigFollower::new(client(|_| (404, json!({}))));
    follower.apply(serde_json::from_value(config_map("[]")).expect("a ConfigMap"));
    follower.apply(None);
    assert!(current.borrow().is_some());
}
