use opentelemetry::trace::{TraceContextExt as _, TracerProvider as _};
use opentelemetry_sdk::{propagation::TraceContextPropagator, trace::SdkTracerProvider};
use tonic::metadata::MetadataMap;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::layer::SubscriberExt as _;

use super::inject;

#[test]
fn request_carries_the_trace_of_its_span() {
    let mut outside = MetadataMap::new();
    inject(&mut outside);
    assert!(outside.is_empty(), "{outside:?}");

    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    let tracer = SdkTracerProvider::builder().build().tracer("test");
    let subscriber = tracing_subscriber::registry().with(tracing_opentelemetry::layer().with_tracer(tracer));
    let mut inside = MetadataMap::new();
    let trace_id = tracing::subscriber::with_default(subscriber, || {
        let span = tracing::info_span!("reconcile");
        let _entered = span.enter();
        inject(&mut inside);
        span.context().span().span_context().trace_id()
    });
    let header = inside.get("traceparent").and_then(|value| value.to_str().ok()).unwrap_or_default();
    assert!(header.starts_with(&format!("00-{trace_id}-")), "{header}");
}
