//! Whether each pod can run a process, and how long it takes, while an upgrade watches the pods with a new template. Readiness
//! and health are what a pod reports about itself; this is the result of a small process that the pod was asked to run. Those
//! with the former template are what the new ones are compared with.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use api_types::WorkflowCluster;
use api_types::cluster::UpgradeStage;
use engine_client::ErrorClass;
use futures::future::join_all;

use super::children::Children;
use super::pods::PodView;
use crate::context::Context;
use crate::upgrade::revisions::wanted_revision;

/// Longest wait for CA, token and answer of one pod. The engine gives up after 10 s, and then deletes what it left.
const DEADLINE: Duration = Duration::from_secs(16);

/// The result of one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CanaryView {
    /// It ran the process, from the deployment to the completed instance, in this time.
    Worked(Duration),
    /// Its version has no RunCanary.
    Unsupported,
    /// A step failed: which one, and why.
    Failed(String),
    /// It did not answer, or it could not be called.
    Silent(String),
}

/// Asks each pod that is ready, while an upgrade watches some. By name of the pod.
pub async fn observe_canaries(
    context: &Context,
    cluster: &WorkflowCluster,
    children: &Children,
    pods: &[PodView],
) -> BTreeMap<String, CanaryView> {
    let stage =
        cluster.status.as_ref().and_then(|status| status.upgrade.as_ref()).map(|upgrade| upgrade.stage);
    let is_watched =
        matches!(stage, Some(UpgradeStage::Canary | UpgradeStage::Rolling | UpgradeStage::Soaking));
    let Some(wanted) = children.stateful_set().and_then(wanted_revision).filter(|_| is_watched) else {
        return BTreeMap::new();
    };
    let is_new = |pod: &&PodView| pod.revision.as_deref() == Some(wanted);
    if !pods.iter().any(|pod| is_new(&pod)) {
        return BTreeMap::new();
    }
    let asked = pods.iter().filter(|pod| pod.ordinal.is_some() && pod.health.is_ready() && !pod.terminating);
    join_all(asked.map(|pod| observe_canary(context, cluster, &pod.name))).await.into_iter().collect()
}

async fn observe_canary(context: &Context, cluster: &WorkflowCluster, pod: &str) -> (String, CanaryView) {
    let view = tokio::time::timeout(DEADLINE, ask(context, cluster, pod)).await;
    let silent = || CanaryView::Silent(format!("no answer within {} s", DEADLINE.as_secs()));
    (pod.to_owned(), view.unwrap_or_else(|_| silent()))
}

async fn ask(context: &Context, cluster: &WorkflowCluster, pod: &str) -> CanaryView {
    let engine = match context.engines.connect_pod(cluster, pod).await {
        Ok(engine) => engine,
        Err(error) => return CanaryView::Silent(error.to_string()),
    };
    let began = Instant::now();
    match engine.run_canary().await {
        Ok(report) => report.failure.map_or(CanaryView::Worked(began.elapsed()), |failure| {
            CanaryView::Failed(format!("it fails to {}: {}", failure.step.as_str(), failure.message))
        }),
        Err(error) if *error.class() == ErrorClass::Unsupported => CanaryView::Unsupported,
        Err(error) => CanaryView::Silent(error.to_string()),
    }
}
