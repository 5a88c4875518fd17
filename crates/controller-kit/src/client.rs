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

/// Longest wait for the head of an answer. kube sets none since 4.0, and a call that gets no answer would never return.
/// A write of a leader gets no longer than its lease: [`Fence::time_to_write`].
pub const CALL_DEADLINE: Duration = Duration::from_secs(20);

/// A call that was refused or gave up before the API server answered.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// See [`CALL_DEADLINE`].
    #[error("the Kubernetes API did not answer {method} {path} within {} s", within.as_secs_f64())]
    Deadline {
        /// How long it was given.
        within: Duration,
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

/// A layer around the client's transport that every call passes.
#[derive(Clone, Debug)]
pub struct CallGate {
    /// Closed: no writes.
    pub fence: Fence,
    /// Calls by verb and code.
    pub metrics: Metrics,
    /// Lists and watches of this Kubernetes cluster that were answered.
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

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let method = request.method().clone();
        let path = request.uri().path().to_owned();
        let verb = verb_of(&method, request.uri().query());
        let CallGate { fence, metrics, progress } = self.gate.clone();
        let (mut within, mut under_way) = (CALL_DEADLINE, None);
        if is_write(&method) && !is_lease(&path) {
            let Some(time) = fence.time_to_write(CALL_DEADLINE) else {
                return Box::pin(async move { Err(CallError::Fenced { path }.into()) });
            };
            if fence.is_bounded() {
                limit_on_server(&mut request, time);
            }
            (within, under_way) = (time, Some(fence.begin_write(time)));
        }
        let answer = self.inner.call(request);
        Box::pin(async move {
            let began = Instant::now();
            let result = tokio::time::timeout(within, answer).await;
            let code = match &result {
                Ok(Ok(response)) => code_class(response.status().as_u16()),
                Ok(Err(_)) => "error",
                Err(_) => "timeout",
            };
            // After an internal error or a timeout on the server the write may still be on its way to the storage.
            if let Some(write) = under_way.filter(|_| matches!(code, "2xx" | "3xx" | "4xx")) {
                write.answered();
            }
            metrics.observe_api_call(progress.cluster(), verb, code, began.elapsed());
            if code == "2xx" && matches!(verb, "watch" | "read") {
                progress.note(&path, Instant::now());
            }
            result.unwrap_or_else(|_| Err(CallError::Deadline { method, path, within }.into()))
        })
    }
}

/// The API server gives up a request after the time in its query: a write that the client no longer waits for shall not
/// take effect.
fn limit_on_server(request: &mut Request<Body>, time: Duration) {
    let uri = request.uri();
    let joined = uri.query().map_or('?', |_| '&');
    let limited = format!("{uri}{joined}timeout={}ms", time.as_millis().max(1));
    if let Ok(limited) = limited.parse() {
        *request.uri_mut() = limited;
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
