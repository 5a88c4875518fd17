//! Start and end of a service: telemetry, client, admin server, lease, supervised tasks, an orderly end.

use std::future::Future;
use std::time::Duration;

use kube::Api;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::admin::Admin;
use crate::args::ServiceArgs;
use crate::client::{CallGate, build_client};
use crate::clock::Clock;
use crate::controller::{Limits, QueueEnd, Reconciler, run_controller};
use crate::events::Publisher;
use crate::lease::{Fence, LeaderLease, LeaseError};
use crate::metrics::Metrics;
use crate::telemetry::{Telemetry, TelemetryError};
use crate::watch::{LOCAL_CLUSTER, Progress, Watch, WatchContext};

/// Time for running passes after SIGTERM. With the release of the lease it stays within ten seconds.
const DRAIN: Duration = Duration::from_secs(7);

/// Why a service ended, other than by SIGTERM.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Logs or traces.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// No usable kubeconfig or ServiceAccount.
    #[error("failed to find a Kubernetes configuration: run in a pod, or set KUBECONFIG")]
    Config(#[source] kube::config::InferConfigError),
    /// The configuration is unusable.
    #[error("failed to build the Kubernetes client")]
    Client(#[source] kube::Error),
    /// Signals.
    #[error("failed to listen for signals")]
    Signal(#[source] std::io::Error),
    /// Two TLS providers in one process.
    #[error("failed to install the TLS provider: another one is installed already")]
    TlsProvider,
    /// Another replica may write now.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// A task that should run for ever ended.
    #[error("the task {0:?} ended unexpectedly{1}")]
    TaskEnded(&'static str, String),
    /// The service itself could not start.
    #[error("failed to start")]
    Start(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Who may run at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leadership {
    /// One replica works, the others stand by.
    Leader,
    /// All replicas work: for services that do not write.
    Everyone,
}

/// A running service. Its `start` function starts controllers in it, see [`run`].
pub struct Service {
    /// Name of the service: field manager, lease, log and trace source.
    pub name: &'static str,
    /// The common arguments.
    pub args: ServiceArgs,
    /// The client, with a deadline on every call, and fenced for a leader.
    pub client: kube::Client,
    /// Whether this replica may write, and the fencing token for receivers other than Kubernetes. [`Service::client`]
    /// checks it by itself.
    pub fence: Fence,
    /// Registry.
    pub metrics: Metrics,
    /// Probes.
    pub admin: Admin,
    /// Time.
    pub clock: Clock,
    /// Events.
    pub publisher: Publisher,
    /// Cancelled when the service shall end.
    pub stop: CancellationToken,
    progress: Progress,
    listed: Vec<tokio::sync::watch::Receiver<bool>>,
    supervised: JoinSet<(&'static str, Result<(), String>)>,
    controllers: JoinSet<()>,
}

impl Service {
    /// A service that nothing runs in yet. Its client writes while `fence` is open.
    pub fn new(
        name: &'static str,
        args: ServiceArgs,
        config: kube::Config,
        fence: Fence,
    ) -> Result<Self, RunError> {
        let (metrics, progress) = (Metrics::new(), Progress::of(LOCAL_CLUSTER));
        let gate = CallGate { fence: fence.clone(), metrics: metrics.clone(), progress: progress.clone() };
        let client = build_client(config, &gate).map_err(RunError::Client)?;
        Ok(Self::assemble(name, args, client, fence, metrics, progress))
    }

    /// The same around a client that asks no fence, for instance one of an API server in memory: for tests.
    #[must_use]
    pub fn with_client(name: &'static str, args: ServiceArgs, client: kube::Client, fence: Fence) -> Self {
        Self::assemble(name, args, client, fence, Metrics::new(), Progress::of(LOCAL_CLUSTER))
    }

    fn assemble(
        name: &'static str,
        args: ServiceArgs,
        client: kube::Client,
        fence: Fence,
        metrics: Metrics,
        progress: Progress,
    ) -> Self {
        let clock = Clock::system();
        Self {
            name,
            publisher: Publisher::new(client.clone(), name, args.pod_name.clone(), clock.clone()),
            admin: Admin::new(metrics.clone()),
            args,
            client,
            fence,
            metrics,
            clock,
            stop: CancellationToken::new(),
            progress,
            listed: Vec::new(),
            supervised: JoinSet::new(),
            controllers: JoinSet::new(),
        }
    }

    /// Waits until [`Service::stop`] is cancelled and gives running passes time to end, or until something ends that
    /// must not.
    pub async fn attend(&mut self) -> Result<(), RunError> {
        tokio::select! {
            // `stop` is polled first: an idle controller ends at the same moment, which must not count as an error.
            biased;
            () = self.stop.cancelled() => tracing::info!("stopping"),
            ended = first_ended(&mut self.supervised) => return Err(ended),
            Some(_) = self.controllers.join_next() => return Err(RunError::TaskEnded("controller", String::new())),
        }
        let drained = async { while self.controllers.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN, drained).await.is_err() {
            tracing::warn!("some passes did not end in time");
        }
        Ok(())
    }

    /// What watches need.
    #[must_use]
    pub fn watch_context(&self) -> WatchContext {
        WatchContext {
            client: self.client.clone(),
            metrics: self.metrics.clone(),
            publisher: self.publisher.clone(),
            progress: self.progress.clone(),
        }
    }

    /// Runs a task that must not end before the service does: the first one that does ends the process.
    pub fn supervise<F, E>(&mut self, name: &'static str, task: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: std::fmt::Display,
    {
        self.supervised.spawn(async move { (name, task.await.map_err(|error| format!(": {error}"))) });
    }

    /// Runs watches and adds them to the probes.
    pub fn watch(&mut self, watches: impl IntoIterator<Item = Watch>) {
        for Watch { name, listed, live, task } in watches {
            self.listed.push(listed.clone());
            self.admin.ready.register(name, move || {
                if *listed.borrow() { Ok(()) } else { Err("not listed yet".to_owned()) }
            });
            self.admin.live.register(name, live);
            self.supervise(name, async move {
                task.await;
                Ok::<_, std::convert::Infallible>(())
            });
        }
    }

    /// Runs a server that ends by itself after `stop`, and is given time to drain until then.
    pub fn drain(&mut self, server: impl Future<Output = ()> + Send + 'static) {
        self.controllers.spawn(server);
    }

    /// Runs a controller until the end; passes that run then get time to end. It begins when every watch that was
    /// started before has its first complete list: what a cache does not show yet must not be taken for missing.
    pub fn control<R: Reconciler>(
        &mut self,
        reconciler: R,
        store: kube::runtime::reflector::Store<R::Object>,
        queue: QueueEnd<R::Object>,
    ) {
        let limits = Limits {
            concurrency: usize::from(self.args.concurrency),
            deadline: self.args.reconcile_deadline,
        };
        let reconciler = std::sync::Arc::new(reconciler);
        let (metrics, stop, listed) = (self.metrics.clone(), self.stop.clone(), self.listed.clone());
        self.controllers.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => return,
                () = all_listed(listed) => {}
            }
            run_controller(reconciler, store, queue, limits, metrics, stop).await;
        });
    }
}

/// Runs a service until SIGTERM or SIGINT (`Ok`), or until something that must not end does.
pub async fn run<S, E>(
    name: &'static str,
    args: ServiceArgs,
    leadership: Leadership,
    start: S,
) -> Result<(), RunError>
where
    S: AsyncFnOnce(&mut Service) -> Result<(), E>,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    rustls::crypto::ring::default_provider().install_default().map_err(|_| RunError::TlsProvider)?;
    let telemetry = Telemetry::install(name, &args.log_filter, &args.otlp_endpoint)?;
    let result = run_installed(name, args, leadership, start).await;
    if let Err(error) = &result {
        tracing::error!(error = %chain(error), "ended");
    }
    telemetry.shutdown();
    result
}

async fn run_installed<S, E>(
    name: &'static str,
    args: ServiceArgs,
    leadership: Leadership,
    start: S,
) -> Result<(), RunError>
where
    S: AsyncFnOnce(&mut Service) -> Result<(), E>,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let config = kube::Config::infer().await.map_err(RunError::Config)?;
    let fence = if leadership == Leadership::Leader { Fence::closed() } else { Fence::open() };
    let mut service = Service::new(name, args, config, fence.clone())?;
    stop_on_signals(service.stop.clone())?;

    // The admin server ends after the drain: probes must not fail while a pod ends in order.
    let admin_stop = CancellationToken::new();
    let admin = service.admin.clone().serve(service.args.admin_address, admin_stop.clone());
    service.supervise("admin server", admin);

    let release = CancellationToken::new();
    if leadership == Leadership::Leader {
        let mut lease = build_lease(&service, fence);
        if !lease.acquire(&service.stop).await {
            return Ok(());
        }
        tracing::info!(lease = name, "this replica leads");
        let release = release.clone();
        service.supervise("lease", async move { lease.hold(release).await });
    }
    start(&mut service).await.map_err(|error| RunError::Start(error.into()))?;

    service.attend().await?;
    release.cancel();
    admin_stop.cancel();
    let released = async {
        while let Some(ended) = service.supervised.join_next().await {
            if matches!(ended, Ok(("lease", _))) {
                break;
            }
        }
    };
    if leadership == Leadership::Leader
        && tokio::time::timeout(Duration::from_secs(3), released).await.is_err()
    {
        tracing::warn!("the lease was not released in time");
    }
    Ok(())
}

async fn all_listed(watches: Vec<tokio::sync::watch::Receiver<bool>>) {
    for mut listed in watches {
        if listed.wait_for(|listed| *listed).await.is_err() {
            // The watch is gone, which ends the process; until then nothing may be decided.
            std::future::pending::<()>().await;
        }
    }
}

fn build_lease(service: &Service, fence: Fence) -> LeaderLease {
    let api = Api::namespaced(service.client.clone(), &service.args.pod_namespace);
    // A restarted container of the same pod must be another holder.
    let identity = format!("{}_{}", service.args.pod_name, uuid::Uuid::new_v4());
    LeaderLease::new(api, service.name, identity, service.args.lease_duration, Clock::precise(), fence)
}

async fn first_ended(supervised: &mut JoinSet<(&'static str, Result<(), String>)>) -> RunError {
    match supervised.join_next().await {
        Some(Ok((name, result))) => RunError::TaskEnded(name, result.err().unwrap_or_default()),
        Some(Err(error)) => RunError::TaskEnded("unknown", format!(": {error}")),
        None => RunError::TaskEnded("unknown", String::new()),
    }
}

fn stop_on_signals(stop: CancellationToken) -> Result<(), RunError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signal)?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    });
    Ok(())
}

/// An error with its causes, on one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
