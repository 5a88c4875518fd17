//! All reads. What is absent is a value; what the Kubernetes API does not give ends the pass.

pub mod pods;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use api_types::reference::SecretRef;
use api_types::worker::WorkerReason;
use api_types::{WorkflowCluster, WorkflowTenant, WorkflowWorker};
use controller_kit::children::{ReadError, observe_children};
use controller_kit::problem::Problem;
use engine_access::engine::{AccessError, TenantAccess, has_engine};
use engine_access::grant::{NamespaceRole, missing_permission};
use engine_access::reference::{Referrer, Resolved, meant_tenant, resolve, tenant_label};
use engine_client::{Credential, TenantEpoch, TokenRole, join_host_port};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::{Api, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;

use crate::children::Children;
use crate::children::deployment::WorkerPods;
use crate::context::Context;
use pods::{StuckPod, is_complete, observe_stuck_pod};

/// Types of Secrets that the kubelet pulls images with.
const REGISTRY_LOGINS: [&str; 2] = ["kubernetes.io/dockerconfigjson", "kubernetes.io/dockercfg"];

/// The world as one pass sees it.
pub struct Observed {
    /// Cluster and tenant.
    pub references: References,
    /// How pods reach the engine.
    pub access: AccessView,
    /// What exists of the fleet.
    pub children: Children,
    /// What pods need, is named in the spec, and does not exist.
    pub missing: Vec<Missing>,
    /// A pod that does not start, if the fleet lacks pods.
    pub stuck: Option<StuckPod>,
}

/// Where the references lead.
#[derive(Clone, Debug, PartialEq)]
pub enum References {
    /// There, and permitted.
    Resolved(Resolved),
    /// Nowhere, or not for this namespace.
    Refused(String),
    /// An object that is not in the directory does exist. Most likely it is of a newer version than this controller and
    /// cannot be read; that is no reason to take a fleet down.
    Unreadable,
}

/// What pods need to reach the engine.
pub enum AccessView {
    /// There is nobody to ask for it.
    NotAsked,
    /// The cluster's CA or worker key cannot be read.
    NotReady(AccessError),
    /// It is there.
    Known(Access),
}

/// How pods reach the engine.
#[derive(Clone, Debug, PartialEq)]
pub struct Access {
    /// `host:port`.
    pub address: String,
    /// CA bundle, PEM.
    pub ca_pem: String,
    /// Holds for the jobs of one tenant.
    pub token: Credential,
}

/// Something that the spec names and that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// `spec.authentication.serviceAccount`.
    ServiceAccount {
        /// Its name.
        name: String,
    },
    /// `spec.imagePullSecrets`.
    PullSecret {
        /// Name of the Secret.
        name: String,
        /// Its type, if it exists and holds no login to a registry.
        found: Option<String>,
    },
    /// `spec.env[].valueFrom.secretKeyRef`.
    SecretKey {
        /// Name of the Secret.
        name: String,
        /// Key in it.
        key: String,
    },
}

/// A read that the Kubernetes API did not answer as hoped. `object` is `Kind namespace/name`.
fn unread(object: &str, error: &kube::Error) -> Problem<WorkerReason> {
    Problem::unread(object, error, missing_permission(error, NamespaceRole::Workload))
}

/// Reads everything that the plan depends on.
pub async fn observe(context: &Context, worker: &WorkflowWorker) -> Result<Observed, Problem<WorkerReason>> {
    let namespace = worker.namespace().unwrap_or_default();
    let (references, children) =
        futures::try_join!(observe_references(context, worker, &namespace), async {
            observe_children(&context.client, &context.caches, worker)
                .await
                .map_err(|ReadError { object, source }| unread(&object, &source))
        },)?;
    let fleet = children.get(&WorkerPods);
    let (access, missing, stuck) = futures::try_join!(
        async { Ok(observe_access(context, &references).await) },
        observe_missing(context, worker, &namespace, fleet),
        observe_stuck_pod(context, worker, &namespace, fleet),
    )?;
    Ok(Observed { references, access, children, missing, stuck })
}

async fn observe_references(
    context: &Context,
    worker: &WorkflowWorker,
    namespace: &str,
) -> Result<References, Problem<WorkerReason>> {
    let spec = &worker.spec;
    let referrer = Referrer { namespace, cluster: &spec.cluster_ref, tenant: spec.tenant_ref.as_ref() };
    let refused = match resolve(&*context.directory, &context.cluster_namespace, referrer) {
        Ok(resolved) => return Ok(References::Resolved(resolved)),
        Err(refused) => refused.to_string(),
    };
    if is_unreadable(context, worker, namespace).await? {
        tracing::warn!(
            refused,
            "a cluster or tenant exists and cannot be read, see the warnings of its watch"
        );
        return Ok(References::Unreadable);
    }
    Ok(References::Refused(refused))
}

/// Does an object exist that the references could mean and that the directory does not have?
async fn is_unreadable(
    context: &Context,
    worker: &WorkflowWorker,
    namespace: &str,
) -> Result<bool, Problem<WorkerReason>> {
    let cluster = &worker.spec.cluster_ref;
    let cluster_homes: BTreeSet<&str> = match &cluster.namespace {
        Some(given) => [given.as_str()].into(),
        None => [namespace, &context.cluster_namespace].into(),
    };
    for home in &cluster_homes {
        if context.directory.cluster(home, &cluster.name).is_none()
            && exists::<WorkflowCluster>(context, home, &cluster.name).await?
        {
            return Ok(true);
        }
    }
    let label = tenant_label(&*context.directory, namespace);
    let Some(tenant) = meant_tenant(worker.spec.tenant_ref.as_ref(), label.as_deref()) else {
        return Ok(false);
    };
    let tenant_homes: BTreeSet<&str> = match &tenant.namespace {
        Some(given) => [given.as_str()].into(),
        None => cluster_homes.into_iter().chain([namespace]).collect(),
    };
    for home in tenant_homes {
        if context.directory.tenant(home, &tenant.name).is_none()
            && exists::<WorkflowTenant>(context, home, &tenant.name).await?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Metadata can always be read.
async fn exists<K>(context: &Context, namespace: &str, name: &str) -> Result<bool, Problem<WorkerReason>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(context.client.clone(), namespace);
    let found = api.get_metadata_opt(name).await;
    let found = found.map_err(|error| unread(&format!("{} {namespace}/{name}", K::kind(&())), &error))?;
    Ok(found.is_some())
}

/// Only what the grant allows is read.
async fn observe_access(context: &Context, references: &References) -> AccessView {
    let References::Resolved(resolved) = references else { return AccessView::NotAsked };
    let cluster = &resolved.cluster;
    let endpoint = cluster.status.as_ref().and_then(|status| status.endpoint.as_ref());
    let Some(endpoint) = endpoint.filter(|_| has_engine(cluster)) else { return AccessView::NotAsked };
    // Nobody owns the default tenant, so it has one life only.
    let epoch = resolved.tenant.as_ref().and_then(|tenant| tenant.uid()).unwrap_or_default();
    let tenant = TenantEpoch { tenant_id: resolved.tenant_id(), epoch };
    match context.engines.tenant_access(cluster, TokenRole::Worker).await {
        Ok(TenantAccess { ca_pem, key }) => AccessView::Known(Access {
            address: join_host_port(&endpoint.host, endpoint.port),
            ca_pem,
            token: key.mint(TokenRole::Worker, &tenant),
        }),
        Err(error) => AccessView::NotReady(error),
    }
}

/// Pods that run have what they need: it is asked for only while some are missing.
async fn observe_missing(
    context: &Context,
    worker: &WorkflowWorker,
    namespace: &str,
    fleet: Option<&Deployment>,
) -> Result<Vec<Missing>, Problem<WorkerReason>> {
    let mut missing = Vec::new();
    if fleet.is_some_and(is_complete) {
        return Ok(missing);
    }
    if let Some(name) = worker.spec.service_account()
        && !exists::<ServiceAccount>(context, namespace, name).await?
    {
        missing.push(Missing::ServiceAccount { name: name.to_owned() });
    }
    missing.extend(observe_pull_secrets(context, worker, namespace).await?);
    let mut needed: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for source in worker.spec.env.iter().filter_map(|variable| variable.value_from.as_ref()) {
        needed.entry(&source.secret_key_ref.name).or_default().insert(&source.secret_key_ref.key);
    }
    let api: Api<Secret> = Api::namespaced(context.client.clone(), namespace);
    for (name, keys) in needed {
        let secret = api.get_opt(name).await;
        let secret = secret.map_err(|error| unread(&format!("Secret {namespace}/{name}"), &error))?;
        let present = secret.and_then(|secret| secret.data).unwrap_or_default();
        let absent = keys.into_iter().filter(|key| !present.contains_key(*key));
        missing.extend(absent.map(|key| Missing::SecretKey { name: name.to_owned(), key: key.to_owned() }));
    }
    Ok(missing)
}

/// The kubelet passes over what is missing or of another type, and says nothing of it.
async fn observe_pull_secrets(
    context: &Context,
    worker: &WorkflowWorker,
    namespace: &str,
) -> Result<Vec<Missing>, Problem<WorkerReason>> {
    let api: Api<Secret> = Api::namespaced(context.client.clone(), namespace);
    let mut missing = Vec::new();
    for SecretRef { name } in &worker.spec.image_pull_secrets {
        let secret = api.get_opt(name).await;
        let secret = secret.map_err(|error| unread(&format!("Secret {namespace}/{name}"), &error))?;
        let found = secret.map(|secret| secret.type_.unwrap_or_default());
        if !found.as_deref().is_some_and(|type_| REGISTRY_LOGINS.contains(&type_)) {
            missing.push(Missing::PullSecret { name: name.clone(), found });
        }
    }
    Ok(missing)
}
