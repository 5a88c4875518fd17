//! The admin server: `/livez`, `/readyz` and `/metrics` on a plain port.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

type Check = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// Named checks behind one probe. All must pass.
#[derive(Clone, Default)]
pub struct Probe(Arc<Mutex<BTreeMap<&'static str, Check>>>);

impl Probe {
    /// Adds a check; `Err` says in a few words what is missing.
    pub fn register(
        &self,
        name: &'static str,
        check: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name, Box::new(check));
    }

    /// `Err` lists the checks that fail.
    pub fn evaluate(&self) -> Result<(), String> {
        let checks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failed: Vec<_> = checks
            .iter()
            .filter_map(|(name, check)| check().err().map(|why| format!("{name}: {why}")))
            .collect();
        if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
    }
}

impl std::fmt::Debug for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Probe")
    }
}

/// What the admin server shows.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Fails only when a restart would help: a stuck loop, a stuck watch.
    pub live: Probe,
    /// Fails until the first data was read.
    pub ready: Probe,
    /// Source of `/metrics`.
    pub metrics: Metrics,
}

impl Admin {
    /// No checks yet.
    #[must_use]
    pub fn new(metrics: Metrics) -> Self {
        Self { live: Probe::default(), ready: Probe::default(), metrics }
    }

    fn router(self) -> Router {
        Router::new()
            .route("/livez", get(|State(admin): State<Self>| async move { probe_response(&admin.live) }))
            .route("/readyz", get(|State(admin): State<Self>| async move { probe_response(&admin.ready) }))
            .route(
                "/metrics",
                get(|State(admin): State<Self>| async move { metrics_response(&admin.metrics) }),
            )
            .with_state(self)
    }

    /// Serves until `stop`.
    pub async fn serve(self, address: SocketAddr, stop: CancellationToken) -> std::io::Result<()> {
        let listener = TcpListener::bind(address).await?;
        axum::serve(listener, self.router()).with_graceful_shutdown(stop.cancelled_owned()).await
    }
}

fn probe_response(probe: &Probe) -> Response {
    match probe.evaluate() {
        Ok(()) => "ok".into_response(),
        Err(failed) => (StatusCode::SERVICE_UNAVAILABLE, failed).into_response(),
    }
}

fn metrics_response(metrics: &Metrics) -> Response {
    match metrics.encode() {
        Ok(text) => {
            ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
                .into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_names_each_failing_check() {
        let probe = Probe::default();
        probe.register("watches", || Err("WorkflowProcess not listed yet".into()));
        probe.register("tls", || Ok(()));
        probe.register("auth", || Err("ConfigMap not read yet".into()));
        assert_eq!(
            probe.evaluate(),
            Err("auth: ConfigMap not read yet\nwatches: WorkflowProcess not listed yet".to_owned())
        );
    }
}
