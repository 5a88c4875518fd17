//! The metrics of `/metrics`. Label values come from closed sets only: never a tenant, a job type or another free text.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use engine_api::Role;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use tonic::Code;

use crate::grpc::Method;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    method: &'static str,
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MethodLabels {
    method: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct JobLabels {
    event: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConnectionLabels {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    reason: &'static str,
}

/// Why a connection was refused or closed.
#[derive(Debug, Clone, Copy)]
pub enum RefusedConnection {
    /// Its address has too many connections.
    Address,
    /// There are too many connections, and all of them have shown a token.
    Full,
    /// It had shown no token, and was closed in favor of a newer connection.
    Unauthenticated,
    /// Its handshake failed or took too long.
    Handshake,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RoleLabels {
    role: &'static str,
}

/// Cheap to clone: all clones share the same metrics.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    calls: Family<CallLabels, Counter>,
    latency: Family<MethodLabels, Histogram>,
    jobs: Family<JobLabels, Counter>,
    instances: Family<JobLabels, Counter>,
    streams: Family<MethodLabels, Gauge>,
    connections: Family<ConnectionLabels, Gauge<i64>>,
    refused_credentials: Counter<u64, AtomicU64>,
    client_connections: Family<ConnectionLabels, Gauge<i64>>,
    refused_connections: Family<RefusalLabels, Counter>,
    previous_secret_calls: Family<RoleLabels, Counter>,
    ready: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("workflow_engine");
        let calls = Family::default();
        registry.register("calls", "API calls by method and status code", calls.clone());
        let latency = Family::<MethodLabels, Histogram>::new_with_constructor(|| {
            // 1 ms to 32 s: the longest call waits 30 s for jobs.
            Histogram::new(exponential_buckets(0.001, 2.0, 16))
        });
        registry.register("call_duration_seconds", "How long unary API calls took", latency.clone());
        let jobs = Family::default();
        registry.register("jobs", "Jobs by what happened to them", jobs.clone());
        let instances = Family::default();
        registry.register("instances", "Process instances by what happened to them", instances.clone());
        let streams = Family::default();
        registry.register("streams", "Open streams by method", streams.clone());
        let connections = Family::default();
        registry.register("database_connections", "Pooled connections by state", connections.clone());
        let refused_credentials = Counter::default();
        registry.register("refused_credentials", "Calls without a valid token", refused_credentials.clone());
        let client_connections = Family::default();
        registry.register(
            "client_connections",
            "Connections to the API by whether they have shown a valid token",
            client_connections.clone(),
        );
        let refused_connections = Family::default();
        registry.register(
            "refused_connections",
            "Connections that were not taken or closed again, by why",
            refused_connections.clone(),
        );
        let previous_secret_calls = Family::<RoleLabels, Counter>::default();
        for role in ["controller", "monitor", "worker", "client"] {
            // Exported with 0 from the start: people wait for no more calls before they remove a secret.
            drop(previous_secret_calls.get_or_create(&RoleLabels { role }));
        }
        registry.register(
            "previous_secret_calls",
            "Calls with a token of a secret that is being replaced, by role",
            previous_secret_calls.clone(),
        );
        let ready = Gauge::default();
        registry.register("ready", "1 while this node serves", ready.clone());
        Self {
            registry: Arc::new(registry),
            calls,
            latency,
            jobs,
            instances,
            streams,
            connections,
            refused_credentials,
            client_connections,
            refused_connections,
            previous_secret_calls,
            ready,
        }
    }
}

impl Metrics {
    pub fn call_ended(&self, method: Method, code: Code, took: Duration) {
        self.calls.get_or_create(&CallLabels { method: method.name(), code: code_name(code) }).inc();
        self.latency.get_or_create(&MethodLabels { method: method.name() }).observe(took.as_secs_f64());
    }

    pub fn stream_opened(&self, method: Method) {
        self.streams.get_or_create(&MethodLabels { method: method.name() }).inc();
    }

    pub fn stream_ended(&self, method: Method, code: Code) {
        self.streams.get_or_create(&MethodLabels { method: method.name() }).dec();
        self.calls.get_or_create(&CallLabels { method: method.name(), code: code_name(code) }).inc();
    }

    pub fn credential_refused(&self) {
        self.refused_credentials.inc();
    }

    pub fn connection_refused(&self, why: RefusedConnection) {
        let reason = match why {
            RefusedConnection::Address => "address",
            RefusedConnection::Full => "full",
            RefusedConnection::Unauthenticated => "unauthenticated",
            RefusedConnection::Handshake => "handshake",
        };
        self.refused_connections.get_or_create(&RefusalLabels { reason }).inc();
    }

    pub fn set_client_connections(&self, unauthenticated: usize, known: usize) {
        for (state, count) in [("unauthenticated", unauthenticated), ("authenticated", known)] {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.client_connections.get_or_create(&ConnectionLabels { state }).set(count);
        }
    }

    pub fn called_with_previous_secret(&self, role: &Role) {
        let role = match role {
            Role::Controller => "controller",
            Role::Monitor => "monitor",
            Role::Worker(_) => "worker",
            Role::Client(_) => "client",
        };
        self.previous_secret_calls.get_or_create(&RoleLabels { role }).inc();
    }

    pub fn jobs_created(&self, count: usize) {
        self.count_jobs("created", count);
    }

    pub fn jobs_activated(&self, count: usize) {
        self.count_jobs("activated", count);
    }

    pub fn jobs_completed(&self, count: usize) {
        self.count_jobs("completed", count);
    }

    pub fn jobs_failed(&self, incident: bool) {
        self.count_jobs(if incident { "incident" } else { "failed" }, 1);
    }

    pub fn instances_started(&self, count: usize) {
        self.instances.get_or_create(&JobLabels { event: "started" }).inc_by(count as u64);
    }

    pub fn instances_completed(&self, count: usize) {
        self.instances.get_or_create(&JobLabels { event: "completed" }).inc_by(count as u64);
    }

    pub fn instances_canceled(&self, count: usize) {
        self.instances.get_or_create(&JobLabels { event: "canceled" }).inc_by(count as u64);
    }

    /// Counts jobs whose incident was resolved.
    pub fn jobs_resolved(&self, count: usize) {
        self.count_jobs("resolved", count);
    }

    fn count_jobs(&self, event: &'static str, count: usize) {
        self.jobs.get_or_create(&JobLabels { event }).inc_by(count as u64);
    }

    pub fn set_ready(&self, ready: bool) {
        self.ready.set(i64::from(ready));
    }

    pub fn set_connections(&self, open: u32, in_use: u32) {
        self.connections.get_or_create(&ConnectionLabels { state: "open" }).set(i64::from(open));
        self.connections.get_or_create(&ConnectionLabels { state: "in_use" }).set(i64::from(in_use));
    }

    pub fn render(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
