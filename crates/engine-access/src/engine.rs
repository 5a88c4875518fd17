//! From a WorkflowCluster to its engine: the address from its status, the CA and the token by name from its namespace.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use api_types::WorkflowCluster;
use api_types::cluster::AccessKeyIds;
use api_types::engine_access::{
    Access, CA_CERT_KEY, CURRENT_KEY, access_secret_name, ca_config_map_name, engine_pod_host,
};
use engine_client::model::Owner;
use engine_client::{
    Credential, Engine, EngineAccess, EngineAddress, EngineError, EnginePool, EngineProvider, EngineTls,
    TenantKey, Timeouts, TokenRole, Writer,
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, Client, Resource, ResourceExt as _};

use crate::error::class_of_engine;
use crate::grant::{NamespaceRole, missing_grant};
use controller_kit::outcome::ErrorClass;
use controller_kit::run::Service;

/// How long a CA and a token are used before they are read again. They change once in months, and an engine that
/// refuses one of them makes both be read at once: see [`EngineConnector::forget`].
const FRESH: Duration = Duration::from_mins(10);
/// The same for a key. It is shorter, because no engine is called with the key here, so none can refuse it.
const FRESH_KEY: Duration = Duration::from_mins(1);

/// Role in which an engine is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineRole {
    /// May do everything.
    Controller,
    /// May read health, usage and job lag.
    Monitor,
}

impl EngineRole {
    const fn access(self) -> Access {
        match self {
            Self::Controller => Access::ControllerToken,
            Self::Monitor => Access::MonitorToken,
        }
    }
}

/// Why a cluster's engine cannot be called at all.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The cluster-controller has not published an endpoint yet.
    #[error("WorkflowCluster {cluster} has no status.endpoint yet")]
    NoEndpoint {
        /// `namespace/name`.
        cluster: String,
    },
    /// An object that the cluster-controller makes is missing or has another content.
    #[error(
        "{object} of WorkflowCluster {cluster}: {problem}; the cluster-controller writes it anew when it is deleted"
    )]
    Malformed {
        /// `namespace/name`.
        cluster: String,
        /// Kind and name.
        object: String,
        /// What is wrong, without contents.
        problem: String,
    },
    /// The Kubernetes API refused the read or did not answer.
    #[error("failed to read {object} of WorkflowCluster {cluster}")]
    Read {
        /// `namespace/name`.
        cluster: String,
        /// Kind and name.
        object: String,
        /// Its answer.
        #[source]
        source: kube::Error,
    },
    /// The Kubernetes API refused to read a Secret. The cluster-controller grants this by name; a person cannot help.
    #[error(
        "no permission yet to read {object} of WorkflowCluster {cluster}: the cluster-controller makes a Role and a \
         RoleBinding of that name; if this lasts, look at the WorkflowCluster"
    )]
    NotPermitted {
        /// `namespace/name`.
        cluster: String,
        /// Kind and name.
        object: String,
        /// The API's answer.
        #[source]
        source: kube::Error,
    },
    /// The engine client refuses the address or the credential.
    #[error(transparent)]
    Connect(#[from] EngineError),
}

impl AccessError {
    /// For status and event: what is wrong, or which permission is missing.
    #[must_use]
    pub fn message(&self) -> String {
        let missing = match self {
            Self::Read { source, .. } => missing_grant(source, NamespaceRole::Cluster),
            _ => None,
        };
        missing.unwrap_or_else(|| self.to_string())
    }

    /// What it means for the next attempt.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::NoEndpoint { .. } | Self::Malformed { .. } => ErrorClass::Transient,
            Self::Read { source, .. } | Self::NotPermitted { source, .. } => ErrorClass::of_kube(source),
            Self::Connect(error) => class_of_engine(error),
        }
    }
}

/// Connects to engines in one role. Cheap to clone.
#[derive(Clone)]
pub struct EngineConnector {
    client: Client,
    provider: Arc<dyn EngineProvider>,
    role: EngineRole,
    known: Arc<Mutex<HashMap<(String, Access), Known>>>,
}

/// What was read about a cluster's engine.
#[derive(Clone)]
struct Known {
    read_at: Instant,
    endpoint: (String, u16),
    /// The key ids in the cluster's status when this was read.
    key_ids: Option<AccessKeyIds>,
    ca_pem: String,
    /// The token or the key.
    current: Option<String>,
}

/// What workers or clients of a cluster's tenants need to reach its engine.
pub struct TenantAccess {
    /// The public CA bundle, PEM.
    pub ca_pem: String,
    /// The secret from which their tokens are minted.
    pub key: TenantKey,
}

impl EngineConnector {
    /// `provider` is the pool in production and fakes in tests.
    #[must_use]
    pub fn new(client: Client, provider: Arc<dyn EngineProvider>, role: EngineRole) -> Self {
        Self { client, provider, role, known: Arc::default() }
    }

    /// The engine of a cluster. The first call shows whether it answers.
    pub async fn connect(&self, cluster: &WorkflowCluster) -> Result<Arc<dyn Engine>, AccessError> {
        let access = self.access(cluster).await?;
        Ok(self.provider.engine(&access).await?)
    }

    /// One pod of the engine of a cluster, by its own name.
    pub async fn connect_pod(
        &self,
        cluster: &WorkflowCluster,
        pod: &str,
    ) -> Result<Arc<dyn Engine>, AccessError> {
        let mut access = self.access(cluster).await?;
        access.address.host =
            engine_pod_host(&cluster.name_any(), &cluster.namespace().unwrap_or_default(), pod);
        Ok(self.provider.engine(&access).await?)
    }

    /// Address, CA and credential of a cluster's engine.
    pub async fn access(&self, cluster: &WorkflowCluster) -> Result<EngineAccess, AccessError> {
        let access = self.role.access();
        let Known { endpoint: (host, port), ca_pem, current, .. } =
            self.known(cluster, access, FRESH).await?;
        let credential = self.parse(cluster, access, current.as_deref(), "token", Credential::parse)?;
        let address = EngineAddress { host, port, tls: Some(EngineTls { ca_pem, server_name: None }) };
        Ok(EngineAccess { address, credential })
    }

    /// CA and the key that tokens of `role` are minted from. It is read once for all tenants of a cluster.
    pub async fn tenant_access(
        &self,
        cluster: &WorkflowCluster,
        role: TokenRole,
    ) -> Result<TenantAccess, AccessError> {
        let access = match role {
            TokenRole::Worker => Access::WorkerKey,
            TokenRole::Client => Access::ClientKey,
        };
        let Known { ca_pem, current, .. } = self.known(cluster, access, FRESH_KEY).await?;
        let key = self.parse(cluster, access, current.as_deref(), "key", TenantKey::parse)?;
        Ok(TenantAccess { ca_pem, key })
    }

    /// Makes the next call read CA and token again: after the engine refused the credential or its certificate was not
    /// trusted.
    pub fn forget(&self, cluster: &WorkflowCluster) {
        let uid = cluster.uid().unwrap_or_default();
        self.known.lock().unwrap_or_else(PoisonError::into_inner).retain(|(other, _), _| *other != uid);
    }

    async fn known(
        &self,
        cluster: &WorkflowCluster,
        access: Access,
        fresh: Duration,
    ) -> Result<Known, AccessError> {
        let endpoint = endpoint_of(cluster)?;
        let key = (cluster.uid().unwrap_or_default(), access);
        let key_ids = cluster.status.as_ref().and_then(|status| status.access_key_ids.clone());
        if let Some(known) = self.recall(&key, &endpoint, key_ids.as_ref(), fresh) {
            return Ok(known);
        }
        let ca_pem = self.read_ca(cluster).await?;
        let current = self.read_current(cluster, access).await?;
        let known = Known { read_at: Instant::now(), endpoint, key_ids, ca_pem, current };
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(key, known.clone());
        Ok(known)
    }

    /// What was read before, unless it is older than `fresh`, or the status had other keys or another endpoint then.
    fn recall(
        &self,
        key: &(String, Access),
        endpoint: &(String, u16),
        key_ids: Option<&AccessKeyIds>,
        fresh: Duration,
    ) -> Option<Known> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_good = |known: &&Known| {
            known.endpoint == *endpoint
                && known.key_ids.as_ref() == key_ids
                && known.read_at.elapsed() < fresh
        };
        known.get(key).filter(is_good).cloned()
    }

    /// A value that cannot be used is not kept: once it is corrected, it must be read at once.
    fn parse<T, E>(
        &self,
        cluster: &WorkflowCluster,
        access: Access,
        current: Option<&str>,
        what: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, AccessError> {
        let parsed = match current {
            None => Err(format!("key {CURRENT_KEY} is missing")),
            Some(text) => parse(text).map_err(|_| format!("key {CURRENT_KEY} is not a {what}")),
        };
        parsed.map_err(|problem| {
            self.forget(cluster);
            malformed(cluster, &secret(cluster, access), &problem)
        })
    }

    async fn read_ca(&self, cluster: &WorkflowCluster) -> Result<String, AccessError> {
        let name = ca_config_map_name(&cluster.name_any());
        let object = format!("ConfigMap {name}");
        let api: Api<ConfigMap> =
            Api::namespaced(self.client.clone(), &cluster.namespace().unwrap_or_default());
        let found = api.get_opt(&name).await.map_err(|source| read_error(cluster, &object, source))?;
        let ca = found.and_then(|map| map.data).and_then(|mut data| data.remove(CA_CERT_KEY));
        ca.ok_or_else(|| malformed(cluster, &object, &format!("key {CA_CERT_KEY} is missing")))
    }

    async fn read_current(
        &self,
        cluster: &WorkflowCluster,
        access: Access,
    ) -> Result<Option<String>, AccessError> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &cluster.namespace().unwrap_or_default());
        let found = api
            .get_opt(&access_secret_name(&cluster.name_any(), access))
            .await
            .map_err(|source| secret_error(cluster, &secret(cluster, access), source))?;
        let current = found.and_then(|secret| secret.data?.remove(CURRENT_KEY));
        Ok(current.and_then(|value| String::from_utf8(value.0).ok()))
    }
}

/// The object as the owner of what it has in the engine. Kind, namespace and name are its identity there. So an object
/// that is deleted and applied again, or restored from a backup, takes over what the former object of that name owned.
#[must_use]
pub fn owner_of<K>(object: &K) -> Owner
where
    K: Resource<DynamicType = ()>,
{
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    Owner {
        id: format!("{}/{namespace}/{name}", K::kind(&())),
        uid: object.uid().unwrap_or_default(),
        created_at: object.creation_timestamp().map_or(Timestamp::UNIX_EPOCH, |time| time.0),
    }
}

/// A connection pool whose calls carry the fencing token of this replica. All replicas of a controller are the same
/// writer.
pub fn leading_pool(service: &Service) -> Result<EnginePool, EngineError> {
    let fence = service.fence.clone();
    let read_fence = move || fence.is_open().then(|| fence.token()).flatten();
    let name = format!("{}/{}", service.args.pod_namespace, service.name);
    let writer = Writer::new(&name, Arc::new(read_fence))?;
    Ok(EnginePool::new(Timeouts::default()).fenced(writer))
}

/// May anything new be written to this cluster's engine, now or as soon as it runs? Not if the cluster is being deleted,
/// nor without an endpoint: then there is no engine yet.
#[must_use]
pub fn has_engine(cluster: &WorkflowCluster) -> bool {
    cluster.metadata.deletion_timestamp.is_none()
        && cluster.status.as_ref().is_some_and(|status| status.endpoint.is_some())
}

/// May this cluster's engine be called now? An engine that is stopped would not answer.
#[must_use]
pub fn is_callable(cluster: &WorkflowCluster) -> bool {
    has_engine(cluster) && cluster.spec.engine_pods() > 0
}

fn endpoint_of(cluster: &WorkflowCluster) -> Result<(String, u16), AccessError> {
    let endpoint = cluster.status.as_ref().and_then(|status| status.endpoint.as_ref());
    endpoint
        .and_then(|endpoint| Some((endpoint.host.clone(), u16::try_from(endpoint.port).ok()?)))
        .ok_or_else(|| AccessError::NoEndpoint { cluster: reported(cluster) })
}

fn secret(cluster: &WorkflowCluster, access: Access) -> String {
    format!("Secret {}", access_secret_name(&cluster.name_any(), access))
}

fn reported(cluster: &WorkflowCluster) -> String {
    format!("{}/{}", cluster.namespace().unwrap_or_default(), cluster.name_any())
}

fn read_error(cluster: &WorkflowCluster, object: &str, source: kube::Error) -> AccessError {
    AccessError::Read { cluster: reported(cluster), object: object.to_owned(), source }
}

fn secret_error(cluster: &WorkflowCluster, object: &str, source: kube::Error) -> AccessError {
    if matches!(&source, kube::Error::Api(status) if status.code == 403) {
        return AccessError::NotPermitted { cluster: reported(cluster), object: object.to_owned(), source };
    }
    read_error(cluster, object, source)
}

fn malformed(cluster: &WorkflowCluster, object: &str, problem: &str) -> AccessError {
    AccessError::Malformed {
        cluster: reported(cluster),
        object: object.to_owned(),
        problem: problem.to_owned(),
    }
}

#[cfg(test)]
mod tests;
