//! All reads. What is absent or cannot be reached is a value.

pub mod backups;
pub mod canaries;
pub mod children;
pub mod dependants;
pub mod engine;
pub mod obstacles;
pub mod pods;
pub mod postgres;
pub mod secrets;
pub mod stable_template;

use std::collections::BTreeMap;
use std::sync::Arc;

use api_types::WorkflowCluster;
use api_types::cluster::{ClusterDeletionPolicy, ClusterReason, DEFAULT_DATABASE, UpgradeStage};
use controller_kit::pass::is_deleting;
use controller_kit::problem::Problem;
use engine_access::grant::{NamespaceRole, missing_permission};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use kube::ResourceExt as _;

use crate::children::BuildInput;
use crate::children::service_monitor::{ServiceMonitorView, observe_service_monitor};
use crate::claim::{Identity, Ownership, judge_ownership};
use crate::context::Context;
use crate::provider::{
    Managed, ProviderView, explain_absence, judge_managed, may_answer, observe_managed, observe_provider,
};
use crate::recovery::{RecoveryView, is_at_work, judge_beginning, observe_recovery};
use crate::upgrade::revisions::is_rolled_out;
use crate::validate::Target;
use backups::{Backups, observe_backups};
use canaries::{CanaryView, observe_canaries};
use children::{Children, is_finished, observe_children, observe_jobs};
use dependants::{Release, Remains, observe_remains, observe_unconfirmed};
use engine::{EngineView, observe_engine};
use obstacles::{Obstacles, observe_obstacles};
use pods::{PodView, observe_pods};
use postgres::{Login, PostgresProblem, PostgresView};
use secrets::{AccessView, observe_access, observe_login};
use stable_template::observe_stable_template;

/// The world as one pass sees it.
#[derive(Debug)]
pub struct Observed {
    /// The database.
    pub postgres: PostgresView,
    /// Who makes it, if a provider does.
    pub managed: Option<Managed>,
    /// Its WorkflowBackups.
    pub backups: Backups,
    /// What a cluster begins with, until it has.
    pub recovery: Option<RecoveryView>,
    /// Whose the database is.
    pub ownership: Ownership,
    /// How to log in to it, if that can be known.
    pub login: Option<Login>,
    /// The Secrets of the engine's TLS and credentials.
    pub access: AccessView,
    /// All other children.
    pub children: Children,
    /// The pods of the engine, and those of a migration that is not finished.
    pub pods: Vec<PodView>,
    /// The pod template that every pod had last, while another one is wanted or live.
    pub stable_template: Option<PodTemplateSpec>,
    /// What pods with a new template did, by name, while an upgrade watches them.
    pub canaries: BTreeMap<String, CanaryView>,
    /// Processes whose definition the new version has not confirmed, while an upgrade waits for them.
    pub unconfirmed: Vec<String>,
    /// What keeps pods from being made or started.
    pub obstacles: Obstacles,
    /// What an engine pod says of itself.
    pub engine: EngineView,
    /// The ServiceMonitor.
    pub service_monitor: ServiceMonitorView,
}

impl Observed {
    /// Why this pod cannot start, in one phrase.
    #[must_use]
    pub fn problem_message(&self, pod: &PodView) -> Option<String> {
        let problem = pod.problem.clone()?;
        let missing = &self.obstacles.missing_pull_secrets;
        if problem != "ImagePullBackOff" || missing.is_empty() {
            return Some(problem);
        }
        Some(format!("{problem}; namespace {} has no pull Secret {}", pod.namespace, missing.join(", ")))
    }
}

/// What a pass reads, by what the cluster is.
#[derive(Debug)]
pub enum View {
    /// Its spec can be acted on: everything.
    World(Box<Observed>),
    /// Its spec cannot be acted on: the migration Jobs that it may not ask for any more.
    Jobs(Vec<Arc<Job>>),
    /// It is being deleted: who still depends on it.
    Remains(Remains),
}

/// A read that the Kubernetes API did not answer as hoped. `object` is `Kind namespace/name`.
fn unread(object: &str, error: &kube::Error) -> Problem<ClusterReason> {
    Problem::unread(object, error, missing_permission(error, NamespaceRole::Cluster))
}

/// Reads what a pass over this cluster needs.
pub async fn observe(
    context: &Context,
    cluster: &WorkflowCluster,
    spec: &Result<Target, Problem<ClusterReason>>,
) -> Result<View, Problem<ClusterReason>> {
    if is_deleting(cluster) {
        let release = observe_release(context, cluster, spec).await;
        let provider = observe_needed_provider(context, cluster).await;
        return Ok(View::Remains(Remains { provider, ..observe_remains(context, cluster, release) }));
    }
    match spec {
        Ok(target) => {
            let world = Box::pin(observe_world(context, cluster, target)).await?;
            Ok(View::World(Box::new(world)))
        }
        Err(_) => Ok(View::Jobs(observe_jobs(context, cluster))),
    }
}

fn observe_verification(context: &Context, cluster: &WorkflowCluster) -> Vec<String> {
    let upgrade = cluster.status.as_ref().and_then(|status| status.upgrade.as_ref());
    match upgrade {
        Some(upgrade) if upgrade.stage == UpgradeStage::Verifying => {
            observe_unconfirmed(context, cluster, &cluster.spec.version)
        }
        _ => Vec::new(),
    }
}

/// The provider's object of a cluster that makes a last backup before it goes: its database may sleep.
async fn observe_needed_provider(context: &Context, cluster: &WorkflowCluster) -> Option<ProviderView> {
    let managed = cluster.spec.postgres.managed.as_ref()?;
    let wants_snapshot = cluster.spec.deletion_policy() == ClusterDeletionPolicy::Snapshot;
    if wants_snapshot { Some(observe_provider(context, cluster, managed).await) } else { None }
}

/// What a cluster that is being deleted gives up, as far as it can be read: in a namespace that is being deleted the rights may
/// be gone already.
async fn observe_release(
    context: &Context,
    cluster: &WorkflowCluster,
    spec: &Result<Target, Problem<ClusterReason>>,
) -> Option<Release> {
    let target = spec.as_ref().ok()?;
    let (installation, login) =
        futures::try_join!(context.installation.observe(), observe_login(context, cluster, target)).ok()?;
    let identity = Identity::of(&installation, cluster);
    Some(Release { login: login.ok()?, identity, uid: cluster.uid().unwrap_or_default() })
}

async fn observe_world(
    context: &Context,
    cluster: &WorkflowCluster,
    target: &Target,
) -> Result<Observed, Problem<ClusterReason>> {
    let children = observe_children(context, cluster).await?;
    let (
        installation,
        login,
        provider,
        recovery,
        access,
        (pods, obstacles, canaries),
        stable_template,
        engine,
        service_monitor,
    ) = futures::try_join!(
        context.installation.observe(),
        observe_login(context, cluster, target),
        async {
            Ok(match &target.managed {
                Some(managed) => Some(observe_managed(context, cluster, managed).await?),
                None => None,
            })
        },
        observe_recovery(context, cluster),
        observe_access(context, cluster),
        async {
            let pods = observe_pods(context, cluster, &children).await?;
            let (obstacles, canaries) = futures::join!(
                Box::pin(observe_obstacles(context, cluster, &children, &pods)),
                observe_canaries(context, cluster, &children, &pods),
            );
            Ok((pods, obstacles?, canaries))
        },
        observe_stable_template(context, cluster, &children),
        async { Ok(observe_engine(context, cluster, &children).await) },
        async { Ok(observe_service_monitor(context, cluster).await) },
    )?;
    let settings = &context.settings;
    let input = BuildInput { cluster, target, settings, database: DEFAULT_DATABASE, claim: None };
    let is_restoring = is_at_work(recovery.as_ref());
    let runs_nothing = pods.is_empty() && !is_restoring && children.jobs.iter().all(|job| is_finished(job));
    let backups = observe_backups(context, cluster);
    let may_sleep = cluster.spec.is_stopped() && runs_nothing && !backups.need_database();
    let beginning = judge_beginning(&input, recovery.as_ref());
    let managed = provider.and_then(|found| judge_managed(&input, found, beginning, may_sleep));
    let absence = managed.as_ref().and_then(|managed| explain_absence(&input, managed));
    let postgres = match (absence, managed.as_ref()) {
        (Some(absence), Some(managed)) if !may_answer(managed, children.stateful_set().is_some()) => {
            // What it said before it went away does not count when it comes back.
            context.postgres.forget(&cluster.uid().unwrap_or_default());
            PostgresView::Unusable(absence)
        }
        (absence, _) => {
            match (observe_database(context, cluster, &login, &children, &pods, is_restoring).await, absence)
            {
                // What the provider says of its database explains more than a login that fails.
                (PostgresView::Unusable(_), Some(absence)) => PostgresView::Unusable(absence),
                (view, _) => view,
            }
        }
    };
    let is_recovered = match (&managed, &target.managed) {
        (Some(managed), Some(spec)) => recovery.is_some() && managed.is_recovered(spec),
        _ => false,
    };
    let (postgres, ownership) = judge_ownership(postgres, &installation, cluster, is_recovered);
    Ok(Observed {
        postgres,
        managed,
        backups,
        recovery,
        ownership,
        login: login.ok(),
        access,
        children,
        pods,
        stable_template,
        canaries,
        unconfirmed: observe_verification(context, cluster),
        obstacles,
        engine,
        service_monitor,
    })
}

async fn observe_database(
    context: &Context,
    cluster: &WorkflowCluster,
    login: &Result<Login, PostgresProblem>,
    children: &Children,
    pods: &[PodView],
    is_restoring: bool,
) -> PostgresView {
    let login = match login {
        Ok(login) => login,
        Err(problem) => return PostgresView::Unusable(problem.clone()),
    };
    let is_rolled_out = is_rolled_out(children, pods, cluster.spec.engine_pods());
    let freshness = postgres::freshness(cluster, is_rolled_out);
    let uid = cluster.uid().unwrap_or_default();
    let view = context.postgres.observe(&uid, login, freshness).await;
    if is_restoring || !children.jobs.iter().all(|job| is_finished(job)) {
        // A migration or a restore may change what the database just said: it is asked again by the next pass.
        context.postgres.forget(&uid);
    }
    view
}
