//! A controller that runs with its watches, in the process of the test.

use std::path::Path;
use std::time::Duration;

use clap::Parser as _;
use controller_kit::Service;
use controller_kit::admin::Admin;
use controller_kit::args::ServiceArgs;
use controller_kit::lease::Fence;
use controller_kit::metrics::Metrics;
use controller_kit::run::RunError;
use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

#[derive(clap::Parser)]
struct Args {
    #[command(flatten)]
    service: ServiceArgs,
}

/// Ends with the value.
pub struct RunningController {
    metrics: Metrics,
    admin: Admin,
    stop: CancellationToken,
    task: JoinHandle<Result<(), RunError>>,
}

impl RunningController {
    /// `name` is the program's name, `cluster_namespace` its `--cluster-namespace`; `start` is its `controller::start`.
    pub async fn start(
        name: &'static str,
        cluster_namespace: &str,
        kubeconfig: &Path,
        start: impl FnOnce(&mut Service),
    ) -> Self {
        // A program does this once. Here more than one controller of the process does it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let kubeconfig = Kubeconfig::read_from(kubeconfig).expect("the kubeconfig should be readable");
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await;
        let config = config.expect("the kubeconfig should be complete");
        let service = Service::new(name, service_args(cluster_namespace), config, Fence::open());
        let mut service = service.expect("a service should be set up");
        start(&mut service);
        Self::attend(service)
    }

    /// Lets a service run that has been set up.
    #[must_use]
    pub fn attend(mut service: Service) -> Self {
        let (metrics, admin, stop) = (service.metrics.clone(), service.admin.clone(), service.stop.clone());
        let task = tokio::spawn(async move { service.attend().await });
        Self { metrics, admin, stop, task }
    }

    /// Passes over objects of this kind that ended settled.
    #[must_use]
    pub fn settled(&self, kind: &str) -> u64 {
        let text = self.metrics();
        let line = format!(r#"operator_reconciliations_total{{kind="{kind}",outcome="settled"}} "#);
        let count = text.lines().find_map(|found| found.strip_prefix(&line));
        count.map_or(0, |count| count.parse().expect("a counter should be a number"))
    }

    /// The text of `/metrics`.
    #[must_use]
    pub fn metrics(&self) -> String {
        self.metrics.encode().expect("metrics should be readable")
    }

    /// What `/readyz` and `/livez` say.
    pub fn probe(&self) -> Result<(), String> {
        self.admin.ready.evaluate().and_then(|()| self.admin.live.evaluate())
    }

    /// Ends it as SIGTERM does.
    pub async fn stop(mut self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(10), &mut self.task).await;
        ended.expect("it should end in time").expect("it should not panic").expect("it should not fail");
    }
}

impl Drop for RunningController {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// As the program takes them from its command line.
#[must_use]
pub fn service_args(cluster_namespace: &str) -> ServiceArgs {
    Args::parse_from(["controller", "--cluster-namespace", cluster_namespace]).service
}
