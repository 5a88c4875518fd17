//! Logs as JSON lines on standard output; traces by OTLP when a collector is named.

use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Failures while setting up logs and traces.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is not in `tracing` syntax.
    #[error(
        "failed to read the log filter {filter:?}: expected for instance \"info\" or \"info,kube=debug\""
    )]
    Filter {
        /// What was given.
        filter: String,
        /// Why it is refused.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// The exporter refuses its endpoint.
    #[error("failed to set up OTLP export to {endpoint:?}: expected for instance \"http://collector:4317\"")]
    Exporter {
        /// What was given.
        endpoint: String,
        /// Why it is refused.
        #[source]
        source: opentelemetry_otlp::ExporterBuildError,
    },
    /// Somebody set up a subscriber before.
    #[error("failed to install the log subscriber")]
    Install(#[source] tracing_subscriber::util::TryInitError),
}

/// Keeps the exporter alive; spans that wait are sent when [`Telemetry::shutdown`] is called.
#[derive(Debug)]
pub struct Telemetry(Option<SdkTracerProvider>);

impl Telemetry {
    /// Installs the global subscriber. `otlp_endpoint` may be empty.
    pub fn install(service: &'static str, filter: &str, otlp_endpoint: &str) -> Result<Self, TelemetryError> {
        let filter = tracing_subscriber::EnvFilter::try_new(filter)
            .map_err(|source| TelemetryError::Filter { filter: filter.to_owned(), source })?;
        let provider = match otlp_endpoint {
            "" => None,
            endpoint => Some(build_provider(service, endpoint)?),
        };
        if provider.is_some() {
            // The engine client injects the trace context into each call, so that one trace shows resource and engine.
            opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
        }
        let traces = provider
            .as_ref()
            .map(|provider| tracing_opentelemetry::layer().with_tracer(provider.tracer(service)));
        tracing_subscriber::registry()
            .with(filter)
            .with(
                tracing_subscriber::fmt::layer()
                    .json()
                    .flatten_event(true)
                    .with_current_span(true)
                    .with_span_list(false),
            )
            .with(traces)
            .try_init()
            .map_err(TelemetryError::Install)?;
        Ok(Self(provider))
    }

    /// Sends what waits; at most two seconds, because a collector that is away must not delay the end of a pod.
    pub fn shutdown(self) {
        if let Some(provider) = self.0
            && let Err(error) = provider.shutdown_with_timeout(Duration::from_secs(2))
        {
            tracing::warn!(%error, "the last spans were not exported");
        }
    }
}

fn build_provider(service: &'static str, endpoint: &str) -> Result<SdkTracerProvider, TelemetryError> {
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .with_timeout(Duration::from_secs(5))
        .build()
        .map_err(|source| TelemetryError::Exporter { endpoint: endpoint.to_owned(), source })?;
    Ok(SdkTracerProvider::builder()
        .with_resource(Resource::builder().with_service_name(service).build())
        .with_batch_exporter(exporter)
        .build())
}
