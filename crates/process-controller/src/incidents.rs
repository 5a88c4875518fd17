//! How many incidents are open, for all processes of a tenant in one call: asked for once per interval, whatever the number
//! of processes, and a process gets a pass only when its own figure moved.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api_types::{WorkflowCluster, WorkflowProcess};
use controller_kit::controller::Queue;
use controller_kit::pass::is_deleting;
use engine_access::engine::{EngineConnector, is_callable};
use engine_access::reference::{Directory, Referrer, resolve, tenant_label};
use engine_client::ErrorClass;
use engine_client::model::IncidentCount;
use futures::future::join_all;
use kube::ResourceExt as _;
use kube::runtime::reflector::{ObjectRef, Store};

use crate::tenancy::Tenancy;

/// Time between two counts: a status is written no more often for this.
const INTERVAL: Duration = Duration::from_secs(30);

/// Uid of a cluster, and a tenant on it.
type TenantKey = (String, String);

/// By process id.
type Counts = BTreeMap<String, u64>;

/// What engines said last. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct OpenIncidents(Arc<Mutex<HashMap<TenantKey, Counts>>>);

impl OpenIncidents {
    /// The newest figure of a process; `None` = its engine was not asked, or did not answer.
    #[must_use]
    pub fn of(&self, cluster_uid: &str, tenant_id: &str, process_id: &str) -> Option<u64> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = known.get(&(cluster_uid.to_owned(), tenant_id.to_owned()))?;
        Some(counts.get(process_id).copied().unwrap_or_default())
    }

    fn replace(&self, known: HashMap<TenantKey, Counts>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = known;
    }
}

/// What the status shows. A figure within five percent of the former one changes nothing: it moves all the time when there are
/// many. Zero is written only where there were some before: else each process would cost one more write.
#[must_use]
pub fn reported_incidents(former: Option<i64>, counted: Option<u64>) -> Option<i64> {
    let Some(counted) = counted.map(|counted| i64::try_from(counted).unwrap_or(i64::MAX)) else {
        return former;
    };
    match former {
        None => (counted > 0).then_some(counted),
        Some(former)
            if former > 0 && counted > 0 && former.abs_diff(counted) <= former.unsigned_abs() / 20 =>
        {
            Some(former)
        }
        Some(_) => Some(counted),
    }
}

/// Who is asked, and about whom.
pub struct Counter {
    /// Where clusters and tenants are found.
    pub directory: Arc<dyn Directory>,
    /// Where clusters are looked up beside the own namespace.
    pub cluster_namespace: String,
    /// Engines.
    pub engines: EngineConnector,
    /// What they said.
    pub incidents: OpenIncidents,
}

/// The processes of one cluster, by tenant.
struct Group<'a> {
    cluster: Arc<WorkflowCluster>,
    tenants: BTreeMap<String, Vec<&'a WorkflowProcess>>,
}

impl Counter {
    /// Counts again and again, and requests a pass of the processes whose status is to change.
    pub async fn run(
        self,
        processes: Store<WorkflowProcess>,
        queue: Queue<WorkflowProcess>,
    ) -> Result<(), Infallible> {
        loop {
            tokio::time::sleep(INTERVAL).await;
            queue.push_all(self.count(&processes.state()).await);
        }
    }

    /// Asks every engine once per tenant; the processes whose status shows another figure. What an engine does not
    /// answer is unknown, and its status stays.
    pub async fn count(&self, processes: &[Arc<WorkflowProcess>]) -> Vec<ObjectRef<WorkflowProcess>> {
        let mut groups: BTreeMap<String, Group<'_>> = BTreeMap::new();
        for process in processes {
            if let Some((cluster, tenant)) = self.place_of(process) {
                let uid = cluster.uid().unwrap_or_default();
                let group = groups.entry(uid).or_insert_with(|| Group { cluster, tenants: BTreeMap::new() });
                group.tenants.entry(tenant).or_default().push(process);
            }
        }
        let asked = groups.iter().map(async |(uid, group)| (uid, self.ask(group).await));
        let mut known = HashMap::new();
        for (uid, counts) in join_all(asked).await {
            known.extend(counts.into_iter().map(|(tenant, counts)| ((uid.clone(), tenant), counts)));
        }
        self.incidents.replace(known);
        let moved = groups.iter().flat_map(|(uid, group)| {
            group.tenants.iter().flat_map(move |(tenant, processes)| {
                processes.iter().filter(move |process| self.has_moved(process, uid, tenant))
            })
        });
        moved.map(|process| ObjectRef::from_obj(*process)).collect()
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

    async fn ask(&self, group: &Group<'_>) -> BTreeMap<String, Counts> {
        let mut answers = BTreeMap::new();
        let Ok(engine) = self.engines.connect(&group.cluster).await else { return answers };
        for tenant in group.tenants.keys() {
            match engine.count_incidents(tenant).await {
                Ok(counts) => drop(answers.insert(tenant.clone(), by_process(counts))),
                Err(error) => {
                    tracing::debug!(%error, tenant, "open incidents are unknown");
                    if matches!(error.class(), ErrorClass::Denied | ErrorClass::Unavailable) {
                        self.engines.forget(&group.cluster);
                    }
                    // An engine that does not answer is not asked once per tenant: each call would take its whole time.
                    if matches!(
                        error.class(),
                        ErrorClass::Denied | ErrorClass::Unavailable | ErrorClass::Unsupported
                    ) {
                        break;
                    }
                }
            }
        }
        answers
    }

    fn has_moved(&self, process: &WorkflowProcess, cluster_uid: &str, tenant_id: &str) -> bool {
        let Some(status) = &process.status else { return false };
        let Some(process_id) = &status.bpmn_process_id else { return false };
        let counted = self.incidents.of(cluster_uid, tenant_id, process_id);
        reported_incidents(status.open_incidents, counted) != status.open_incidents
    }
}

/// All versions together, the retired ones as well.
fn by_process(counts: Vec<IncidentCount>) -> Counts {
    let mut sums = Counts::new();
    for count in counts {
        *sums.entry(count.process_id).or_default() += count.open;
    }
    sums
}

#[cfg(test)]
mod tests;
