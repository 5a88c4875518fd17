//! The Kubernetes External Metrics API for job lag: lets a HorizontalPodAutoscaler scale workers by how long jobs wait.
//!
//! Owns: the aggregated API server (TLS, who asks, what they may see), and one lag stream per WorkflowCluster.
//! Never does: ask an engine while a request waits, write any object but its own certificate Secret and its own
//! APIService, or guess: what is not known, or too old, is an error and never a zero.
//!
//! ```text
//! engine ──WatchJobLag──▶ source ▶ sampler ▶ store ◀ external_metrics ◀ server ◀──HTTPS── kube-apiserver ◀ autoscaler
//!                                              ▲            ▲
//! WorkflowClusters, -Tenants, -Workers, ───────┘ visibility ┘
//! Namespaces
//! ```

use std::{convert::Infallible, sync::Arc, time::Duration};

use api_types::{WorkflowCluster, WorkflowTenant, WorkflowWorker};
use controller_kit::{
    Service,
    run::{Leadership, RunError},
    watch::{Watch, watch_store, watch_stored_metadata},
};
use engine_access::{
    engine::{EngineConnector, EngineRole},
    reference::CachedDirectory,
};
use engine_client::{EnginePool, Timeouts};
use k8s_openapi::api::core::v1::Namespace;
use kube::runtime::reflector::Store;
use prometheus_client::metrics::counter::Counter;
use tokio::{net::TcpListener, sync::watch};
use tokio_rustls::TlsAcceptor;

pub mod args;
pub mod auth;
pub mod certs;
pub mod discovery;
pub mod error;
pub mod external_metrics;
pub mod probes;
pub mod quantity;
pub mod sampler;
pub mod selector;
pub mod server;
pub mod source;
pub mod store;
pub mod visibility;
pub mod wire;

use args::Args;
use auth::{Authenticator, access::AccessReviews, follow::AuthConfigFollower, tokens::TokenReviews};
use certs::{
    ServingCertificate,
    registration::{Registration, ServiceName},
    self_managed::SelfManaged,
};
use probes::Probes;
use server::answer::{MetricsApi, RequestMetrics};

const NAME: &str = "job-lag-metrics-adapter";
/// How often a mounted certificate is read; the kubelet itself takes up to a minute.
const FILES_INTERVAL: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("failed to listen on {address}")]
    Bind { address: std::net::SocketAddr, source: std::io::Error },
    #[error(transparent)]
    Tls(#[from] certs::CertificateError),
}

/// Runs the adapter until SIGTERM.
pub async fn run(args: Args) -> Result<(), RunError> {
    let service_args = args.service.clone();
    controller_kit::run(NAME, service_args, Leadership::Everyone, async |service| start(service, args).await)
        .await
}

async fn start(service: &mut Service, args: Args) -> Result<(), StartError> {
    let certificate = Arc::new(ServingCertificate::default());
    let other_server = start_certificate(service, &args, certificate.clone());

    let (follower, auth) = AuthConfigFollower::new(service.client.clone());
    service.supervise("auth config", async move {
        Err::<Infallible, _>(follower.follow().await).map(|never| match never {})
    });

    let probes = Probes::new(certificate.clone(), auth.clone(), other_server, service.stop.clone());
    let (ready, live) = (probes.clone(), probes.clone());
    service.admin.ready.register("adapter", move || ready.ready());
    service.admin.live.register("adapter", move || live.live());

    let (directory, workers) = start_watches(service);
    let store = Arc::new(store::Store::default());
    start_sampler(service, &directory, store.clone(), probes.clone());

    let access = Arc::new(AccessReviews::new(service.client.clone()));
    let renewed = access.clone();
    supervise_forever(service, "access reviews", async move { renewed.renew().await });

    let api = MetricsApi {
        authenticator: Authenticator::new(auth, TokenReviews::new(service.client.clone())),
        access,
        discovery: discovery::Discovery::new(),
        external_metrics: external_metrics::ExternalMetrics {
            store,
            visibility: visibility::WatchedVisibility::new(
                directory,
                workers,
                args.service.cluster_namespace,
            ),
            max_age: args.max_sample_age,
        },
        probes,
        requests: service.metrics.with_registry(RequestMetrics::register),
    };
    let listener = TcpListener::bind(args.bind)
        .await
        .map_err(|source| StartError::Bind { address: args.bind, source })?;
    let tls = TlsAcceptor::from(Arc::new(certs::server_config(certificate)?));
    let stop = service.stop.clone();
    service.drain(server::serve(listener, tls, Arc::new(api), stop, server::Ending::default()));
    Ok(())
}

/// Gives back why another server has the API, if one has.
fn start_certificate(
    service: &mut Service,
    args: &Args,
    certificate: Arc<ServingCertificate>,
) -> watch::Receiver<Option<String>> {
    if let Some(directory) = args.tls_dir.clone() {
        let followed = certs::mounted::follow(directory, FILES_INTERVAL, certificate);
        supervise_forever(service, "mounted certificate", followed);
        return watch::channel(None).1;
    }
    let own = ServiceName {
        name: args.service_name.clone(),
        namespace: args.service.pod_namespace.clone(),
        port: args.service_port,
    };
    let registration = Registration::new(service.client.clone(), own, args.api_service_owner.clone());
    let other_server = registration.other_server();
    let kept = SelfManaged::new(service.client.clone(), registration, certificate, service.clock.clone());
    supervise_forever(service, "self-managed certificate", async move { kept.keep().await });
    other_server
}

/// None of these is part of readiness: without the CustomResourceDefinitions discovery still has to be served.
fn start_watches(service: &mut Service) -> (CachedDirectory, Store<WorkflowWorker>) {
    let context = service.watch_context();
    let (clusters, cluster_watch) = watch_store::<WorkflowCluster>(&context, "WorkflowCluster");
    let (tenants, tenant_watch) = watch_store::<WorkflowTenant>(&context, "WorkflowTenant");
    let (workers, worker_watch) = watch_store::<WorkflowWorker>(&context, "WorkflowWorker");
    let (namespaces, namespace_watch) = watch_stored_metadata::<Namespace>(&context, "Namespace");
    for Watch { name, live, task, .. } in [cluster_watch, tenant_watch, worker_watch, namespace_watch] {
        service.admin.live.register(name, live);
        supervise_forever(service, name, task);
    }
    (CachedDirectory { clusters, tenants, namespaces }, workers)
}

fn start_sampler(
    service: &mut Service,
    directory: &CachedDirectory,
    store: Arc<store::Store>,
    probes: Probes,
) {
    let pool = Arc::new(EnginePool::new(Timeouts::default()));
    let broken = Counter::default();
    service.metrics.with_registry(|registry| {
        registry.register("adapter_lag_streams_broken", "Job lag streams that ended", broken.clone());
        registry.register_collector(Box::new(sampler::SampleStates(store.clone())));
    });
    let sampler = sampler::Sampler {
        clusters: directory.clusters.clone(),
        source: Arc::new(source::EngineSource::new(EngineConnector::new(
            service.client.clone(),
            pool,
            EngineRole::Monitor,
        ))),
        store,
        probes,
        clock: service.clock.clone(),
        broken,
    };
    supervise_forever(service, "sampler", sampler.sample());
}

fn supervise_forever(
    service: &mut Service,
    name: &'static str,
    task: impl Future<Output = ()> + Send + 'static,
) {
    service.supervise(name, async move {
        task.await;
        Ok::<_, Infallible>(())
    });
}
