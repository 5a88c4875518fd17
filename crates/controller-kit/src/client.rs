//! The Kubernetes client of a service: a deadline on every call, no write without the lease, each call measured.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::{Method, Request, Response};
use kube::client::{Body, ClientBuilder};
use tower::{BoxError, Layer, Service};

use crate::lease::Fence;
use crate::metrics::Metrics;
use crate::watch::Progress;

/// Longest wait for the head of an answer. kube sets none since 4.0, and a black-holed call would never return.
/// Half of the shortest interval in which a lease holder notices that it cannot renew.
pub const CALL_DEADLINE: Duration = Duration::from_secs(20);

/// A call that was refused or gave up before the API server answered.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// See [`CALL_DEADLINE`].
    #[error("the Kubernetes API did not answer {method} {path} within {} s", CALL_DEADLINE.as_secs())]
    Deadline {
        /// The verb.
        method: Method,
        /// The path without its query.
        path: String,
    },
    /// The lease could be someone else's by now.
    #[error("refused to write {path}: this replica no longer holds its lease")]
    Fenced {
        /// The path without its query.
        path: String,
    },
}

/// A client for the configured cluster, behind `gate`.
pub fn build_client(config: kube::Config, gate: &CallGate) -> Result<kube::Client, kube::Error> {
    Ok(ClientBuilder::try_from(config)?.with_layer(gate).build())
}

/// What every call passes: a layer around the client's transport.
#[derive(Clone, Debug)]
pub struct CallGate {
    /// Closed: no writes.
    pub fence: Fence,
    /// Calls by verb and code.
    pub metrics: Metrics,
    /// Lists and watches that were answered.
    pub progress: Progress,
}

impl<S> Layer<S> for CallGate {
    type Service = GatedCalls<S>;

    fn layer(&self, inner: S) -> Self::Service {
        GatedCalls { inner, gate: self.clone() }
    }
}

/// A transport behind a [`CallGate`].
#[derive(Debug)]
pub struct GatedCalls<S> {
    inner: S,
    gate: CallGate,
}

impl<S, B> Service<Request<Body>> for GatedCalls<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError>,
    S::Future: Send + 'static,
    B: Send + 'static,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let method = request.method().clone();
        let path = request.uri().path().to_owned();
        let verb = verb_of(&method, request.uri().query());
        if is_write(&method) && !is_lease(&path) && !self.gate.fence.is_open() {
            return Box::pin(async move { Err(CallError::Fenced { path }.into()) });
        }
        let CallGate { metrics, progress, .. } = self.gate.clone();
        let answer = self.inner.call(request);
        Box::pin(async move {
            let began = Instant::now();
            let result = tokio::time::timeout(CALL_DEADLINE, answer).await;
            let code = match &result {
                Ok(Ok(response)) => code_class(response.status().as_u16()),
                Ok(Err(_)) => "error",
                Err(_) => "timeout",
            };
            metrics.observe_api_call(verb, code, began.elapsed());
            if code == "2xx" && matches!(verb, "watch" | "read") {
                progress.note(&path, Instant::now());
            }
            result.unwrap_or_else(|_| Err(CallError::Deadline { method, path }.into()))
        })
    }
}

fn verb_of(method: &Method, query: Option<&str>) -> &'static str {
    let watches =
        query.is_some_and(|query| query.split('&').any(|pair| pair == "watch=true" || pair == "watch=1"));
    match method.as_str() {
        "GET" if watches => "watch",
        "GET" => "read",
        "POST" => "create",
        "PATCH" => "patch",
        "PUT" => "update",
        "DELETE" => "delete",
        _ => "other",
    }
}

fn code_class(code: u16) -> &'static str {
    match code {
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}

fn is_write(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// The lease itself must stay writable: renewing it is what opens the fence.
fn is_lease(path: &str) -> bool {
    path.starts_with("/apis/coordination.k8s.io/")
}

#[cfg(test)]
mod tests;
