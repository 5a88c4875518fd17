use std::time::Duration;

use tower::ServiceExt as _;

use super::*;

fn stack(
    fence: Fence,
    answer_after: Duration,
) -> impl Service<Request<Body>, Response = Response<()>, Error = BoxError> {
    let inner = tower::service_fn(move |_: Request<Body>| async move {
        tokio::time::sleep(answer_after).await;
        Ok::<_, BoxError>(Response::new(()))
    });
    CallGate { fence, metrics: Metrics::new(), progress: Progress::default() }.layer(inner)
}

fn request(method: Method, uri: &str) -> Request<Body> {
    Request::builder().method(method).uri(uri).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn writes_are_refused_when_the_fence_is_closed_and_reads_are_not() {
    let closed = Fence::closed();
    let write = stack(closed.clone(), Duration::ZERO)
        .oneshot(request(Method::PATCH, "/api/v1/namespaces/a/services/b"));
    assert_eq!(
        write.await.unwrap_err().to_string(),
        "refused to write /api/v1/namespaces/a/services/b: this replica no longer holds its lease"
    );
    stack(closed, Duration::ZERO).oneshot(request(Method::GET, "/api/v1/services")).await.unwrap();
}

#[tokio::test]
async fn the_lease_is_writable_behind_a_closed_fence() {
    let path = "/apis/coordination.k8s.io/v1/namespaces/a/leases/b";
    stack(Fence::closed(), Duration::ZERO).oneshot(request(Method::PUT, path)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_call_without_answer_ends_at_the_deadline() {
    let call =
        stack(Fence::open(), Duration::from_hours(1)).oneshot(request(Method::GET, "/api/v1/services"));
    assert_eq!(
        call.await.unwrap_err().to_string(),
        "the Kubernetes API did not answer GET /api/v1/services within 20 s"
    );
}
