//! What engines tell of all processes of a tenant at once: open incidents, and whether the deployed definitions are still there.
//!
//! They are asked once per tenant and interval, whatever the number of processes. A process gets a pass only when its own figure moved, or
//! when the engine has not what its status says: a database that was restored, for instance. The pass looks for itself and deploys again.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use api_types::{WorkflowCluster, WorkflowProcess};
use controller_kit::controller::Queue;
use controller_kit::pass::is_deleting;
use engine_access::engine::{EngineConnector, is_callable};
use engine_access::reference::{Directory, Referrer, resolve, tenant_label};
use engine_client::model::{DefinitionFilter, ProcessDefinition};
use engine_client::{Engine, EngineError, ErrorClass};
use futures::future::join_all;
use kube::ResourceExt as _;
use kube::runtime::reflector::{ObjectRef, Store};

use crate::incidents::{Counts, OpenIncidents, by_process, reported_incidents};
use crate::tenancy::Tenancy;

/// Time between two surveys: a status is written no more often for a figure, and what an engine lost comes back after it.
const INTERVAL: Duration = Duration::from_secs(30);

/// Uid of a cluster, and a tenant on it.
pub(crate) type TenantKey = (String, String);

/// Who is asked, and about whom.
pub struct Survey {
    /// Where clusters and tenants are found.
    pub directory: Arc<dyn Directory>,
    /// Where clusters are looked up beside the own namespace.
    pub cluster_namespace: String,
    /// Engines.
    pub engines: EngineConnector,
    /// What they said of incidents.
    pub incidents: OpenIncidents,
}

/// The processes of one cluster, by tenant.
struct Group<'a> {
    cluster: Arc<WorkflowCluster>,
    tenants: BTreeMap<String, Vec<&'a WorkflowProcess>>,
}

/// What an engine said of a tenant; `None` = nothing.
#[derive(Default)]
struct Answer {
    incidents: Option<Counts>,
    /// The latest version of each process id.
    latest: Option<BTreeMap<String, ProcessDefinition>>,
}

impl Survey {
    /// Asks again and again, and requests a pass of the processes that it concerns.
    pub async fn run(
        self,
        processes: Store<WorkflowProcess>,
        queue: Queue<WorkflowProcess>,
    ) -> Result<(), Infallible> {
        loop {
            tokio::time::sleep(INTERVAL).await;
            queue.push_all(self.ask_all(&processes.state()).await);
        }
    }

    /// Asks every engine about each tenant; the processes whose status is to change, and those that an engine lost. What an
    /// engine does not answer is unknown, and its status stays.
    pub async fn ask_all(&self, processes: &[Arc<WorkflowProcess>]) -> Vec<ObjectRef<WorkflowProcess>> {
        let mut groups: BTreeMap<String, Group<'_>> = BTreeMap::new();
        for process in processes {
            if let Some((cluster, tenant)) = self.place_of(process) {
                let uid = cluster.uid().unwrap_or_default();
                let group = groups.entry(uid).or_insert_with(|| Group { cluster, tenants: BTreeMap::new() });
                group.tenants.entry(tenant).or_default().push(process);
            }
        }
        let asked = groups.iter().map(async |(uid, group)| (uid, self.ask(group).await));
        let (mut known, mut lost) = (HashMap::new(), Vec::new());
        for (uid, answers) in join_all(asked).await {
            for (tenant, Answer { incidents, latest }) in answers {
                let of_tenant = groups.get(uid).and_then(|group| group.tenants.get(&tenant));
                if let (Some(latest), Some(of_tenant)) = (latest, of_tenant) {
                    lost.extend(of_tenant.iter().copied().filter(|process| is_lost(process, &latest)));
                }
                if let Some(incidents) = incidents {
                    known.insert((uid.clone(), tenant), incidents);
                }
            }
        }
        self.incidents.replace(known);
        let moved = groups.iter().flat_map(|(uid, group)| {
            group.tenants.iter().flat_map(move |(tenant, processes)| {
                processes.iter().copied().filter(move |process| self.has_moved(process, uid, tenant))
            })
        });
        moved.chain(lost).map(ObjectRef::from_obj).collect()
    }

    /// `None` = there is nobody to ask, or nothing to ask about.
    fn place_of(&self, process: &WorkflowProcess) -> Option<(Arc<WorkflowCluster>, String)> {
        let namespace = process.namespace().unwrap_or_default();
        let referrer = Referrer {
            namespace: &namespace,
            cluster: &process.spec.cluster_ref,
            tenant: process.spec.tenant_ref.as_ref(),
        };
        process.status.as_ref()?.bpmn_process_id.as_ref()?;
        let resolved = resolve(&*self.directory, &self.cluster_namespace, referrer).ok()?;
        let tenancy = Tenancy::of(process, tenant_label(&*self.directory, &namespace).as_deref());
        let is_asked =
            !is_deleting(process) && is_callable(&resolved.cluster) && tenancy.conflict().is_none();
        is_asked.then(|| (resolved.cluster, tenancy.id().to_owned()))
    }

    async fn ask(&self, group: &Group<'_>) -> BTreeMap<String, Answer> {
        let mut answers: BTreeMap<String, Answer> = BTreeMap::new();
        let Ok(engine) = self.engines.connect(&group.cluster).await else { return answers };
        for tenant in group.tenants.keys() {
            let answer = answers.entry(tenant.clone()).or_default();
            let latest = observe_latest(&*engine, tenant).await;
            let incidents = engine.count_incidents(tenant).await.map(by_process);
            let (latest, incidents) =
                (self.heard(group, tenant, latest), self.heard(group, tenant, incidents));
            // An engine that does not answer is not asked once per tenant: each call would take its whole time.
            let is_away = latest.is_none();
            *answer = Answer { incidents, latest };
            if is_away {
                break;
            }
        }
        answers
    }

    fn heard<T>(&self, group: &Group<'_>, tenant: &str, answer: Result<T, EngineError>) -> Option<T> {
        match answer {
            Ok(answer) => Some(answer),
            Err(error) => {
                tracing::debug!(%error, tenant, "the engine tells nothing of its processes");
                if matches!(error.class(), ErrorClass::Denied | ErrorClass::Unavailable) {
                    self.engines.forget(&group.cluster);
                }
                None
            }
        }
    }

    fn has_moved(&self, process: &WorkflowProcess, cluster_uid: &str, tenant_id: &str) -> bool {
        let Some(status) = &process.status else { return false };
        let Some(process_id) = &status.bpmn_process_id else { return false };
        let counted = self.incidents.of(cluster_uid, tenant_id, process_id);
        reported_incidents(status.open_incidents, counted) != status.open_incidents
    }
}

async fn observe_latest(
    engine: &dyn Engine,
    tenant: &str,
) -> Result<BTreeMap<String, ProcessDefinition>, EngineError> {
    let filter = DefinitionFilter { latest_only: true, owner_id: None };
    let listed = engine.list_process_definitions(tenant, &filter).await?;
    Ok(listed.into_iter().map(|found| (found.process_id.clone(), found)).collect())
}

/// Says the status that it is deployed, and has the engine another version or other bytes, or nothing?
fn is_lost(process: &WorkflowProcess, latest: &BTreeMap<String, ProcessDefinition>) -> bool {
    let Some(status) = process.status.as_ref().filter(|status| status.ready) else { return false };
    let Some(process_id) = &status.bpmn_process_id else { return false };
    !latest.get(process_id).is_some_and(|found| {
        i32::try_from(found.version).ok() == status.version
            && status.source_digest == Some(format!("sha256:{}", found.content_sha256))
    })
}

#[cfg(test)]
mod tests;
