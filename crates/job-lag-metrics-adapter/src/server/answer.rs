//! From a request to its answer: who asks, may they, what is it.

use std::time::Instant;

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Bytes;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};
use serde::Serialize;

use super::{
    Respond,
    route::{Health, Route, route},
};
use crate::{
    auth::{Authenticator, Identity, Peer, access::AccessReviews},
    discovery::Discovery,
    error::ApiError,
    external_metrics::{ExternalMetrics, Query},
    probes::Probes,
    visibility::Visibility,
    wire::{Metric, accept},
};

/// The aggregated API.
pub struct MetricsApi<V> {
    pub authenticator: Authenticator,
    pub access: std::sync::Arc<AccessReviews>,
    pub discovery: Discovery,
    pub external_metrics: ExternalMetrics<V>,
    pub probes: Probes,
    pub requests: RequestMetrics,
}

impl<V: Visibility> Respond for MetricsApi<V> {
    async fn respond(&self, peer: &Peer, request: Request<()>) -> Response<Full<Bytes>> {
        let began = Instant::now();
        let route = route(request.uri().path());
        let mut response = match &route {
            Route::Health(health) => self.health(*health),
            _ => self.answer(peer, &request, &route).await.unwrap_or_else(|error| refusal(&error)),
        };
        if request.method() == Method::HEAD {
            *response.body_mut() = Full::default();
        }
        self.requests.observe(&route, response.status(), began);
        response
    }
}

impl<V: Visibility> MetricsApi<V> {
    async fn answer(
        &self,
        peer: &Peer,
        request: &Request<()>,
        route: &Route,
    ) -> Result<Response<Full<Bytes>>, ApiError> {
        let identity = self.authenticator.identify(peer, request.headers()).await?;
        // Nobody has a reason to read anonymously, so nobody may, and it costs no access review to say so.
        let identity = identity.ok_or_else(|| {
            ApiError::Forbidden(format!(
                "User \"system:anonymous\" cannot get path {:?}",
                request.uri().path()
            ))
        })?;
        match route {
            // Answered before a user is asked for.
            Route::Health(_) | Route::Unknown => Err(ApiError::UnknownPath),
            _ if request.method() != Method::GET => Err(ApiError::MethodNotAllowed),
            // The same two names for everybody: nothing to protect from a user.
            Route::Discovery(page) => {
                let answer = self.discovery.answer(*page, request.headers())?;
                let mut response = respond(answer.status, answer.content_type, answer.body);
                let headers = response.headers_mut();
                headers.insert(header::VARY, HeaderValue::from_static("Accept"));
                if let Ok(etag) = HeaderValue::from_str(&answer.etag) {
                    headers.insert(header::ETAG, etag);
                }
                Ok(response)
            }
            Route::Metric { namespace, metric } => self.metric(&identity, request, namespace, metric).await,
        }
    }

    async fn metric(
        &self,
        identity: &Identity,
        request: &Request<()>,
        namespace: &str,
        name: &str,
    ) -> Result<Response<Full<Bytes>>, ApiError> {
        let metric =
            Metric::from_name(name).ok_or_else(|| ApiError::UnknownMetric { name: name.to_owned() })?;
        if !is_namespace(namespace) {
            return Err(ApiError::BadRequest("the namespace is not a DNS label"));
        }
        self.access.check(identity, namespace, metric).await?;
        let query = Query::parse(request.uri().query());
        if query.watch {
            return Err(ApiError::MethodNotAllowed);
        }
        accept::negotiate(accepted(request.headers()), false).ok_or(ApiError::NotAcceptable)?;
        let list = self.external_metrics.read(namespace, metric, &query)?;
        Ok(json(StatusCode::OK, &list))
    }

    fn health(&self, health: Health) -> Response<Full<Bytes>> {
        let (status, text) = match match health {
            Health::Live => self.probes.live(),
            Health::Ready => self.probes.ready(),
        } {
            Ok(()) => (StatusCode::OK, "ok".to_owned()),
            Err(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
        };
        respond(status, "text/plain; charset=utf-8", Bytes::from(text))
    }
}

fn accepted(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::ACCEPT).and_then(|value| value.to_str().ok())
}

/// Checked before the namespace becomes a key of a cache.
fn is_namespace(name: &str) -> bool {
    name.len() <= 63 && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn refusal(error: &ApiError) -> Response<Full<Bytes>> {
    tracing::debug!(%error, code = error.code().as_u16(), "refused a request");
    json(error.code(), &error.status())
}

fn json(status: StatusCode, body: &impl Serialize) -> Response<Full<Bytes>> {
    match serde_json::to_vec(body) {
        Ok(bytes) => respond(status, "application/json", Bytes::from(bytes)),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "failed to render an answer");
            respond(StatusCode::INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", Bytes::new())
        }
    }
}

fn respond(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Counts and times answers.
#[derive(Clone)]
pub struct RequestMetrics {
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabel, Histogram>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    route: &'static str,
    code: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RouteLabel {
    route: &'static str,
}

impl RequestMetrics {
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(|| {
                Histogram::new([0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0])
            }),
        };
        registry.register("adapter_requests", "Requests by route and status code", metrics.requests.clone());
        registry.register(
            "adapter_request_duration_seconds",
            "Time from a request's header to its answer",
            metrics.durations.clone(),
        );
        metrics
    }

    fn observe(&self, route: &Route, status: StatusCode, began: Instant) {
        let route = match route {
            Route::Health(_) => "health",
            Route::Discovery(_) => "discovery",
            Route::Metric { .. } => "metric",
            Route::Unknown => "unknown",
        };
        self.requests.get_or_create(&RequestLabels { route, code: status.as_u16() }).inc();
        self.durations.get_or_create(&RouteLabel { route }).observe(began.elapsed().as_secs_f64());
    }
}
