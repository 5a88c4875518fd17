//! All reads. What is absent or cannot be reached is a value.

pub mod children;
pub mod dependants;
pub mod engine;
pub mod hindrances;
pub mod pods;
pub mod postgres;
pub mod revisions;
pub mod secrets;
pub mod service_monitor;

use api_types::WorkflowCluster;
use controller_kit::grant::{NamespaceRole, missing_grant};
use controller_kit::message::of_kube;
use controller_kit::outcome::ErrorClass;
use kube::ResourceExt as _;

use crate::context::Context;
use crate::validate::Target;
use children::{Children, is_finished, observe_children};
use engine::{EngineView, observe_engine};
use hindrances::{Hindrances, observe_hindrances};
use pods::{PodView, observe_pods};
use postgres::PostgresView;
use revisions::is_rolled_out;
use secrets::{AccessView, observe_access, observe_login};
use service_monitor::{ServiceMonitorView, observe_service_monitor};

/// The world as one pass sees it.
#[derive(Debug)]
pub struct Observed {
    /// The database.
    pub postgres: PostgresView,
    /// Name of the database, if it can be known.
    pub database: Option<String>,
    /// The Secrets of the engine's TLS and credentials.
    pub access: AccessView,
    /// All other children.
    pub children: Children,
    /// The pods of the engine, and those of a migration that is not finished.
    pub pods: Vec<PodView>,
    /// What keeps pods from being made or started.
    pub hindrances: Hindrances,
    /// What an engine pod says of itself.
    pub engine: EngineView,
    /// The ServiceMonitor.
    pub service_monitor: ServiceMonitorView,
}

impl Observed {
    /// Why this pod cannot start, in one phrase.
    #[must_use]
    pub fn trouble_message(&self, pod: &PodView) -> Option<String> {
        let trouble = pod.trouble.clone()?;
        let missing = &self.hindrances.missing_pull_secrets;
        if trouble != "ImagePullBackOff" || missing.is_empty() {
            return Some(trouble);
        }
        Some(format!("{trouble}; namespace {} has no pull Secret {}", pod.namespace, missing.join(", ")))
    }
}

/// The Kubernetes API did not give something without which no plan can be made.
#[derive(Clone, Debug, PartialEq)]
pub struct Unread {
    /// What failed.
    pub problem: String,
    /// The permission that is missing, if that is the cause.
    pub missing_grant: Option<String>,
    /// What that means.
    pub class: ErrorClass,
}

impl Unread {
    /// `object` is `Kind namespace/name`.
    #[must_use]
    pub fn of(object: &str, error: &kube::Error) -> Self {
        Self {
            problem: format!("failed to read {object}: {}", of_kube(error)),
            missing_grant: missing_grant(error, NamespaceRole::Cluster),
            class: ErrorClass::of_kube(error),
        }
    }
}

/// Reads everything that the plan depends on.
pub async fn observe(
    context: &Context,
    cluster: &WorkflowCluster,
    target: &Target,
) -> Result<Observed, Unread> {
    let children = observe_children(context, cluster).await?;
    let (login, access, (pods, hindrances), engine, service_monitor) = futures::try_join!(
        observe_login(context, cluster, target),
        observe_access(context, cluster),
        async {
            let pods = observe_pods(context, cluster, &children).await?;
            let hindrances = Box::pin(observe_hindrances(context, cluster, &children, &pods)).await?;
            Ok((pods, hindrances))
        },
        async { Ok(observe_engine(context, cluster, &children).await) },
        async { Ok(observe_service_monitor(context, cluster).await) },
    )?;
    let database = login.as_ref().ok().map(|login| login.database.clone());
    let postgres = match login {
        Ok(login) => {
            let is_rolled_out = is_rolled_out(&children, &pods, cluster.spec.replicas);
            let freshness = postgres::freshness(cluster, is_rolled_out);
            let uid = cluster.uid().unwrap_or_default();
            let view = context.postgres.observe(&uid, &login, freshness).await;
            if !children.jobs.iter().all(|job| is_finished(job)) {
                // A migration may change what the database just said: it is asked again by the next pass.
                context.postgres.forget(&uid);
            }
            view
        }
        Err(trouble) => PostgresView::Unusable(trouble),
    };
    Ok(Observed { postgres, database, access, children, pods, hindrances, engine, service_monitor })
}
