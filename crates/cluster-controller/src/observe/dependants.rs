//! The tenants and processes that refer to a cluster, and whether its engine can still be asked by them. Everything
//! comes from watches: while a namespace is being deleted, rights in it may be gone before the cluster is.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use api_types::engine_access::{Access, engine_name};
use api_types::labels::{Owner, PROCESS_CONTROLLER, TENANT_CONTROLLER};
use api_types::reference::ClusterRef;
use api_types::{WorkflowCluster, WorkflowProcess, WorkflowTenant, WorkflowWorker};
use engine_access::reference::cluster_candidates;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::batch::v1::Job;
use kube::api::ObjectMeta;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Resource, ResourceExt as _};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

use super::backups::{Awaited, observe_backups};
use super::children::observe_jobs;
use super::postgres::Login;
use crate::claim::Identity;
use crate::context::Context;
use crate::provider::ProviderView;

/// A tenant, process or worker as far as this controller reads it: whom it refers to, whether it goes, whose token it
/// has. Their documents would be larger than all else that is kept here.
#[derive(Clone, Debug, Deserialize)]
#[serde(bound = "")]
pub struct Referrer<K> {
    #[serde(deserialize_with = "bare")]
    metadata: ObjectMeta,
    spec: ReferrerSpec,
    #[serde(default)]
    status: ReferrerStatus,
    #[serde(skip)]
    kind: PhantomData<fn() -> K>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReferrerSpec {
    cluster_ref: ClusterRef,
}

/// Of a tenant and of a worker: which key the tokens in its Secrets were minted from. Of a process: which definition it has,
/// and which version of the engine confirmed it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ReferrerStatus {
    access_key_id: Option<String>,
    client_key_id: Option<String>,
    client_namespaces: Vec<IgnoredAny>,
    phase: Option<String>,
    process_definition_key: Option<i64>,
    confirmed_by_version: Option<String>,
}

/// Labels, annotations and bookkeeping are not read.
fn bare<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    let full = ObjectMeta::deserialize(deserializer)?;
    Ok(ObjectMeta {
        name: full.name,
        namespace: full.namespace,
        uid: full.uid,
        resource_version: full.resource_version,
        deletion_timestamp: full.deletion_timestamp,
        finalizers: full.finalizers,
        ..ObjectMeta::default()
    })
}

impl<K: Resource<DynamicType = ()>> Resource for Referrer<K> {
    type DynamicType = ();
    type Scope = K::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        K::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        K::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        K::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        K::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// What is watched to know who refers to a cluster.
pub struct DependantCaches {
    /// All clusters: a reference without namespace means the first of two that exists.
    pub clusters: Store<WorkflowCluster>,
    /// All tenants.
    pub tenants: Store<Referrer<WorkflowTenant>>,
    /// All processes.
    pub processes: Store<Referrer<WorkflowProcess>>,
    /// All workers.
    pub workers: Store<Referrer<WorkflowWorker>>,
}

/// Processes of this cluster that have a definition, as `namespace/name`, in order, which this version of the engine has not
/// confirmed. One that is wrong or blocked says so itself, and is not waited for.
#[must_use]
pub fn observe_unconfirmed(context: &Context, cluster: &WorkflowCluster, version: &str) -> Vec<String> {
    let is_live = |process: &Referrer<WorkflowProcess>| {
        let status = &process.status;
        process.metadata.deletion_timestamp.is_none()
            && status.process_definition_key.is_some()
            && !matches!(status.phase.as_deref(), Some("Failed" | "Blocked"))
    };
    let processes = context.dependants.processes.state();
    let mut unconfirmed: Vec<String> = processes
        .iter()
        .filter(|process| process.status.confirmed_by_version.as_deref() != Some(version))
        .filter(|process| is_live(process) && refers_to(context, process, cluster))
        .map(|process| format!("{}/{}", process.namespace().unwrap_or_default(), process.name_any()))
        .collect();
    unconfirmed.sort();
    unconfirmed
}

/// An object for which tokens were minted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holder {
    /// `Kind namespace/name`.
    pub object: String,
    /// The key of its tokens; `None` when they are not all of the newest key.
    pub key_id: Option<String>,
}

/// Who has tokens that were minted from the worker key, and from the client key, by name. An object that refers to another
/// cluster now may still have a token of this one: the key tells.
#[must_use]
pub fn observe_holders(context: &Context, cluster: &WorkflowCluster) -> BTreeMap<Access, Vec<Holder>> {
    let caches = &context.dependants;
    let workers = caches.workers.state();
    let workers = workers.iter().filter(|worker| worker.status.access_key_id.is_some());
    let workers =
        workers.map(|worker| build_holder("WorkflowWorker", worker, worker.status.access_key_id.as_ref()));
    let tenants = caches.tenants.state();
    let tenants = tenants.iter().filter(|tenant| {
        let status = &tenant.status;
        status.client_key_id.is_some()
            || !status.client_namespaces.is_empty() && refers_to(context, tenant, cluster)
    });
    let tenants =
        tenants.map(|tenant| build_holder("WorkflowTenant", tenant, tenant.status.client_key_id.as_ref()));
    let mut holders = BTreeMap::from([
        (Access::WorkerKey, workers.collect::<Vec<_>>()),
        (Access::ClientKey, tenants.collect()),
    ]);
    for of_key in holders.values_mut() {
        of_key.sort();
    }
    holders
}

fn build_holder<K>(kind: &str, referrer: &Referrer<K>, key_id: Option<&String>) -> Holder
where
    K: Resource<DynamicType = ()>,
{
    let (namespace, name) = (referrer.metadata.namespace.as_deref(), referrer.metadata.name.as_deref());
    let object = format!("{kind} {}/{}", namespace.unwrap_or_default(), name.unwrap_or_default());
    Holder { object, key_id: key_id.cloned() }
}

/// An object that may have something in the engine of the cluster that it refers to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dependant {
    /// `WorkflowTenant` or `WorkflowProcess`.
    pub kind: &'static str,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// It is being deleted, too.
    pub deleting: bool,
}

impl fmt::Display for Dependant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// Whether the engine of a cluster that is being deleted can still be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineLife {
    /// It runs, or will run again.
    Lives,
    /// There is no StatefulSet, or it is being deleted: with the namespace, or by the garbage collector in the foreground.
    Gone,
    /// It has no pods, and none will be created.
    Stopped,
}

/// The claim that a cluster gives up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// How to log in to the database.
    pub login: Login,
    /// Whose claim it is.
    pub identity: Identity,
    /// uid of the WorkflowCluster.
    pub uid: String,
}

/// What is left of a cluster that is being deleted.
#[derive(Clone, Debug, PartialEq)]
pub struct Remains {
    /// Its engine.
    pub engine: EngineLife,
    /// Who may have something in it, by name.
    pub dependants: Vec<Dependant>,
    /// Its migration Jobs.
    pub jobs: Vec<Arc<Job>>,
    /// Its claim, if it is known how to give it up.
    pub release: Option<Box<Release>>,
    /// The backup that is made before it goes.
    pub last_backup: Awaited,
    /// The provider's object, if that backup needs its database.
    pub provider: Option<ProviderView>,
}

/// Reads the caches; nothing is asked of the API server.
#[must_use]
pub fn observe_remains(context: &Context, cluster: &WorkflowCluster, release: Option<Release>) -> Remains {
    let caches = &context.dependants;
    let mut dependants =
        dependants_of(context, cluster, &caches.tenants, "WorkflowTenant", TENANT_CONTROLLER);
    dependants.extend(dependants_of(
        context,
        cluster,
        &caches.processes,
        "WorkflowProcess",
        PROCESS_CONTROLLER,
    ));
    dependants.sort();
    let (engine, jobs) = (observe_life(context, cluster), observe_jobs(context, cluster));
    let last_backup = observe_backups(context, cluster).for_deletion(&cluster.uid().unwrap_or_default());
    Remains { engine, dependants, jobs, release: release.map(Box::new), last_backup, provider: None }
}

/// Those that carry their controller's finalizer, which is there before anything of them is in an engine.
fn dependants_of<K>(
    context: &Context,
    cluster: &WorkflowCluster,
    store: &Store<Referrer<K>>,
    kind: &'static str,
    controller: Owner,
) -> Vec<Dependant>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let has_finalizer = |referrer: &Referrer<K>| {
        referrer.finalizers().iter().any(|finalizer| finalizer == controller.finalizer)
    };
    let dependant = |referrer: &Referrer<K>| Dependant {
        kind,
        namespace: referrer.namespace().unwrap_or_default(),
        name: referrer.name_any(),
        deleting: referrer.metadata.deletion_timestamp.is_some(),
    };
    let all = store.state();
    all.iter()
        .filter(|referrer| has_finalizer(referrer) && refers_to(context, referrer, cluster))
        .map(|referrer| dependant(referrer))
        .collect()
}

fn refers_to<K>(context: &Context, referrer: &Referrer<K>, cluster: &WorkflowCluster) -> bool
where
    K: Resource<DynamicType = ()> + Clone,
{
    let own = referrer.namespace().unwrap_or_default();
    let this = ObjectRef::from_obj(cluster);
    let is_there = |candidate: &ObjectRef<WorkflowCluster>| {
        *candidate == this || context.dependants.clusters.get(candidate).is_some()
    };
    cluster_candidates(&context.cluster_namespace, &own, &referrer.spec.cluster_ref)
        .into_iter()
        .find(is_there)
        .is_some_and(|found| found == this)
}

fn observe_life(context: &Context, cluster: &WorkflowCluster) -> EngineLife {
    let (name, namespace) = (engine_name(&cluster.name_any()), cluster.namespace().unwrap_or_default());
    let has_endpoint = cluster.status.as_ref().is_some_and(|status| status.endpoint.is_some());
    let cached = context.caches.get::<StatefulSet>(&namespace, &name);
    let Some(set) = cached.filter(|_| has_endpoint) else {
        return EngineLife::Gone;
    };
    let wanted = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let found = set.status.as_ref().map_or(0, |status| status.replicas);
    match set.metadata.deletion_timestamp {
        Some(_) => EngineLife::Gone,
        None if wanted == 0 && found == 0 => EngineLife::Stopped,
        None => EngineLife::Lives,
    }
}

#[cfg(test)]
mod tests;
