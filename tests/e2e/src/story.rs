//! The main job: custom resources become a running engine, a tenant, a process and a fleet; work makes lag; lag makes
//! the fleet grow; the fleet works it off and shrinks.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use api_types::engine_access::client_secret_name;
use api_types::{WorkflowCluster, WorkflowProcess, WorkflowTenant, WorkflowWorker};
use engine_client::model::{StartInstances, Variables};
use k8s_openapi::NamespaceResourceScope;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::cluster::Cluster;
use crate::engine::{self, ClientCredential, Connection};
use crate::fleet::{Sample, observe_fleet};
use crate::progress::{Look, Progress};
use crate::sample::{ACME_NAMESPACE, CLUSTER, JOB_TYPE, PROCESS, SYSTEM_NAMESPACE, TENANT, WORKER};

/// The first image pull, migration and start take most of it.
const READY_WITHIN: Duration = Duration::from_mins(5);
/// Backlog, scale out, work, the HPA's stabilisation, scale in.
const SCALED_WITHIN: Duration = Duration::from_mins(10);
/// Time between two rows of the table.
const ROW: Duration = Duration::from_secs(3);

/// How much work is started.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Process instances.
    pub instances: usize,
}

impl Default for Load {
    /// At two workers with one second per job and four jobs at a time this is about a minute of work.
    fn default() -> Self {
        Self { instances: 600 }
    }
}

/// What happened.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Each awaited thing, and when it was there.
    pub milestones: Vec<(String, Duration)>,
    /// Replicas before the work began.
    pub replicas_before: i32,
    /// Most replicas that were ready.
    pub replicas_peak: i32,
    /// Replicas at the end.
    pub replicas_after: i32,
    /// Largest lag that was seen, in seconds.
    pub lag_peak: f64,
}

/// Tells the story on what `deploy/gitops` applied. `Err` when anything of it did not happen.
pub async fn tell(cluster: &Cluster, progress: Progress, load: Load) -> anyhow::Result<Summary> {
    let mut summary = Summary::default();
    await_ready(cluster, progress, &mut summary).await?;
    let connection = connect_as_application(cluster, progress, &mut summary).await?;
    let before = await_resting_fleet(cluster, progress, &mut summary).await?;
    summary.replicas_before = before.ready;

    let variables = (0..load.instances).map(build_order).collect::<Vec<_>>();
    for batch in variables.chunks(500) {
        let request = StartInstances {
            request_id: String::new(),
            tenant_id: TENANT.to_owned(),
            process_id: PROCESS.to_owned(),
            version: None,
            variables: batch.to_vec(),
        };
        connection.client.start_instances(&request).await.context("starting instances")?;
    }
    progress.say(&format!("started {} instances of {PROCESS} for tenant {TENANT}", load.instances));
    watch_fleet(cluster, progress, &mut summary).await?;
    Ok(summary)
}

/// One order in five is above the sample worker's limit, so that both ways of the process are taken.
fn build_order(order: usize) -> Variables {
    let fields = json!({"orderId": format!("order-{order}"), "amount": 50 + 50 * (order % 25)});
    Variables(fields.as_object().cloned().unwrap_or_default())
}

/// Waits until every kind of object says that it is ready, in the order in which they depend on each other.
async fn await_ready(cluster: &Cluster, progress: Progress, summary: &mut Summary) -> anyhow::Result<()> {
    let client = &cluster.client;
    await_object(client, progress, summary, SYSTEM_NAMESPACE, CLUSTER, |engine: &WorkflowCluster| {
        let status = engine.status.as_ref()?;
        Some((status.ready && status.accepts_deployments, status.message.clone().unwrap_or_default()))
    })
    .await?;
    await_object(client, progress, summary, SYSTEM_NAMESPACE, TENANT, |tenant: &WorkflowTenant| {
        let status = tenant.status.as_ref()?;
        Some((status.ready, status.message.clone().unwrap_or_default()))
    })
    .await?;
    await_object(client, progress, summary, ACME_NAMESPACE, PROCESS, |process: &WorkflowProcess| {
        let status = process.status.as_ref()?;
        Some((status.ready, status.message.clone().unwrap_or_default()))
    })
    .await?;
    await_object(client, progress, summary, ACME_NAMESPACE, WORKER, |worker: &WorkflowWorker| {
        let status = worker.status.as_ref()?;
        Some((status.ready, status.message.clone().unwrap_or_default()))
    })
    .await?;
    Ok(())
}

/// With the Secret that the tenant's applications have in their own namespace, and nothing else.
async fn connect_as_application(
    cluster: &Cluster,
    progress: Progress,
    summary: &mut Summary,
) -> anyhow::Result<Connection> {
    progress
        .wait_for(&format!("Secret {}", client_secret_name(TENANT)), READY_WITHIN, || async {
            Ok(match ClientCredential::read(cluster, ACME_NAMESPACE, TENANT).await {
                Ok(_) => Look::Done(format!("in namespace {ACME_NAMESPACE}")),
                Err(error) => Look::Waiting(error.to_string()),
            })
        })
        .await?;
    summary.milestones.push(("applications have their credential".to_owned(), progress.elapsed()));
    let credential = ClientCredential::read(cluster, ACME_NAMESPACE, TENANT).await?;
    engine::connect_with(cluster, &credential).await
}

async fn await_object<K>(
    client: &Client,
    progress: Progress,
    summary: &mut Summary,
    namespace: &str,
    name: &str,
    judge: impl Fn(&K) -> Option<(bool, String)>,
) -> anyhow::Result<()>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let what = format!("{} {name}", K::kind(&()));
    let judge = &judge;
    progress
        .wait_for(&what, READY_WITHIN, || async {
            let object = api.get(name).await?;
            Ok(match judge(&object) {
                Some((true, words)) => Look::Done(words),
                Some((false, words)) => Look::Waiting(words),
                None => Look::Waiting("no status yet".to_owned()),
            })
        })
        .await?;
    summary.milestones.push((format!("{what} ready"), progress.elapsed()));
    Ok(())
}

/// No lag and no more replicas than the autoscaler's minimum: where the story begins, also when it is reported again.
async fn await_resting_fleet(
    cluster: &Cluster,
    progress: Progress,
    summary: &mut Summary,
) -> anyhow::Result<Sample> {
    let workers: Api<WorkflowWorker> = Api::namespaced(cluster.client.clone(), ACME_NAMESPACE);
    let minimum =
        workers.get(WORKER).await?.spec.autoscaling.map_or(1, |autoscaling| autoscaling.min_replicas);
    progress
        .wait_for("fleet at rest", SCALED_WITHIN, || async {
            let sample = observe_fleet(&cluster.client, ACME_NAMESPACE, WORKER, JOB_TYPE).await?;
            let rests =
                sample.lag_seconds == Some(0.0) && sample.desired == minimum && sample.ready == minimum;
            Ok(if rests { Look::Done(describe(&sample)) } else { Look::Waiting(describe(&sample)) })
        })
        .await?;
    summary.milestones.push(("job lag served by the External Metrics API".to_owned(), progress.elapsed()));
    observe_fleet(&cluster.client, ACME_NAMESPACE, WORKER, JOB_TYPE).await
}

async fn watch_fleet(cluster: &Cluster, progress: Progress, summary: &mut Summary) -> anyhow::Result<()> {
    let (began, mut drained) = (Instant::now(), false);
    progress.row("");
    progress.row("  time      lag   backlog   replicas (ready/desired)");
    loop {
        let sample = observe_fleet(&cluster.client, ACME_NAMESPACE, WORKER, JOB_TYPE).await?;
        progress.row(&build_row(progress, &sample));
        summary.lag_peak = summary.lag_peak.max(sample.lag_seconds.unwrap_or_default());
        if sample.ready > summary.replicas_peak {
            summary.replicas_peak = sample.ready;
            if sample.ready > summary.replicas_before {
                summary.milestones.push((format!("scaled out to {}", sample.ready), progress.elapsed()));
            }
        }
        let has_grown = summary.replicas_peak > summary.replicas_before;
        if has_grown && !drained && sample.backlog == Some(0.0) && sample.lag_seconds == Some(0.0) {
            drained = true;
            summary.milestones.push(("backlog worked off".to_owned(), progress.elapsed()));
        }
        if drained && sample.ready == summary.replicas_before && sample.desired == summary.replicas_before {
            summary.replicas_after = sample.ready;
            summary.milestones.push((format!("scaled in to {}", sample.ready), progress.elapsed()));
            return Ok(());
        }
        if began.elapsed() > SCALED_WITHIN {
            let missing = if has_grown { "scale in" } else { "scale out" };
            bail!(
                "the fleet did not {missing} within {} s; last seen: {}",
                SCALED_WITHIN.as_secs(),
                describe(&sample)
            );
        }
        tokio::time::sleep(ROW).await;
    }
}

fn describe(sample: &Sample) -> String {
    let lag = sample.lag_seconds.map_or_else(|| "unknown".to_owned(), |lag| format!("{lag:.0} s"));
    format!("lag {lag}, {}/{} replicas", sample.ready, sample.desired)
}

fn build_row(progress: Progress, sample: &Sample) -> String {
    let shown = |value: Option<f64>| value.map_or_else(|| "?".to_owned(), |value| format!("{value:.0}"));
    format!(
        "{:>5.0}s  {:>5} s  {:>8}   {:>2}/{:<2} {}",
        progress.elapsed().as_secs_f64(),
        shown(sample.lag_seconds),
        shown(sample.backlog),
        sample.ready,
        sample.desired,
        "■".repeat(usize::try_from(sample.ready).unwrap_or_default()),
    )
}
