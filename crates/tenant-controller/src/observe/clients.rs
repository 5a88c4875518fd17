//! The Secrets of clients: where they may be, what goes into them, and what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use api_types::engine_access::client_secret_name;
use api_types::tenant::TenantReason;
use api_types::{WorkflowCluster, WorkflowTenant};
use controller_kit::apply::WriteError;
use controller_kit::outcome::ErrorClass;
use controller_kit::pass::is_deleting;
use controller_kit::plan::Desired;
use controller_kit::problem::Problem;
use engine_access::engine::TenantAccess;
use engine_access::grant::{NamespaceRole, missing_permission};
use engine_access::reference::{Refused, Unasked, granted_namespaces};
use engine_client::{Credential, TenantEpoch, TokenRole};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt as _};

use crate::context::Context;
use crate::observe::{EngineView, observe_cluster_past_cache};
use crate::plan::client_secret;

/// Namespaces that are read at the same time.
const AT_ONCE: usize = 8;

/// What is known without reading a Secret, and decides what the Secrets have to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Circumstances {
    /// The tenant's.
    pub generation: Option<i64>,
    /// Where the Secret shall be, in the order in which namespaces are served; empty once the tenant's own grant ended.
    pub granted: Vec<String>,
    /// Those of them that do not exist.
    pub missing: BTreeSet<String>,
    /// What goes into it; `None` while nothing may be made or changed.
    pub access: Option<Result<Access, String>>,
}

/// How clients reach the engine.
#[derive(Clone, Debug, PartialEq)]
pub struct Access {
    /// The cluster.
    pub cluster: String,
    /// DNS name of the engine's Service.
    pub host: String,
    /// Its port.
    pub port: i32,
    /// Both as a URL.
    pub uri: String,
    /// CA bundle, PEM.
    pub ca_pem: String,
    /// Holds for this life of this tenant only.
    pub token: Credential,
    /// Names the key that the token was made with.
    pub key_id: String,
}

/// What one read of all Secrets showed.
#[derive(Clone, Debug)]
pub struct ClientsView {
    /// Under which circumstances.
    pub under: Circumstances,
    /// What was found, by namespace: where the Secret shall be, and where it was before.
    pub places: BTreeMap<String, Place>,
}

/// What has the Secret's name in one namespace.
#[derive(Clone)]
pub enum Place {
    /// The namespace does not exist.
    NoNamespace,
    /// Nothing. Where the Secret is wanted, the API server would take it.
    Free,
    /// Nothing, and the API server would not take it.
    Closed(NamespaceProblem),
    /// A Secret, ours or not.
    Held(Box<Secret>),
    /// It cannot be read.
    Unread(NamespaceProblem),
}

/// Bodies of Secrets never reach a log.
impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNamespace => f.write_str("NoNamespace"),
            Self::Free => f.write_str("Free"),
            Self::Closed(problem) => f.debug_tuple("Closed").field(problem).finish(),
            Self::Held(secret) => f.debug_tuple("Held").field(&secret.metadata.name).finish(),
            Self::Unread(problem) => f.debug_tuple("Unread").field(problem).finish(),
        }
    }
}

/// Why a namespace does not have the Secret as it shall be.
#[derive(Clone, Debug, PartialEq)]
pub struct NamespaceProblem {
    /// The namespace; empty for what concerns all.
    pub namespace: String,
    /// What is wrong there.
    pub problem: Problem<TenantReason>,
}

impl NamespaceProblem {
    /// A problem that a person ends.
    #[must_use]
    pub fn new(namespace: &str, reason: TenantReason, message: String) -> Self {
        Self { namespace: namespace.to_owned(), problem: Problem::new(reason, ErrorClass::Denied, message) }
    }

    /// What the Kubernetes API answered. Another version than the one that was seen is looked at again.
    #[must_use]
    pub fn of(namespace: &str, error: &WriteError) -> Self {
        let problem = match missing_permission(&error.source, NamespaceRole::Workload) {
            Some(missing) => Problem {
                reason: TenantReason::ClientSecretNotPermitted,
                ..missing.into_problem(ErrorClass::Denied)
            },
            None => Problem::new(TenantReason::ClientSecretNotWritten, error.class(), error.message()),
        };
        Self { namespace: namespace.to_owned(), problem }
    }

    /// Does it end by itself?
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self.problem.class, ErrorClass::Transient | ErrorClass::Conflict)
    }
}

/// Reads where the Secret of clients is and decides where it shall be; `None` when that was done a moment ago under the
/// same circumstances, or when it is not known where it shall be.
pub async fn observe_clients(
    context: &Context,
    tenant: &WorkflowTenant,
    cluster: &Result<Arc<WorkflowCluster>, Refused>,
    engine: &EngineView,
    is_valid: bool,
) -> Option<ClientsView> {
    let remembered = remembered(tenant);
    let under = match cluster {
        _ if is_deleting(tenant) => Circumstances::revoked(tenant),
        Ok(_) if !is_valid => return None,
        Ok(cluster) => Circumstances::of(context, tenant, cluster, engine).await,
        Err(_) if remembered.is_empty() || is_unreadable(context, tenant).await => return None,
        Err(_) => Circumstances::revoked(tenant),
    };
    let is_fresh = || context.client_checks.is_fresh(&tenant.uid().unwrap_or_default(), &under);
    if !is_deleting(tenant) && is_fresh() {
        return None;
    }
    let namespaces: BTreeSet<String> = under.granted.iter().chain(remembered).cloned().collect();
    let reads: Vec<_> =
        namespaces.into_iter().map(|namespace| observe_place(context, tenant, &under, namespace)).collect();
    let places = futures::stream::iter(reads).buffer_unordered(AT_ONCE).collect().await;
    Some(ClientsView { under, places })
}

/// Where the Secret is, or may be.
#[must_use]
pub fn remembered(tenant: &WorkflowTenant) -> &[String] {
    tenant.status.as_ref().map(|status| status.client_namespaces.as_slice()).unwrap_or_default()
}

impl Circumstances {
    /// No namespace shall have the Secret.
    fn revoked(tenant: &WorkflowTenant) -> Self {
        let generation = tenant.metadata.generation;
        Self { generation, granted: Vec::new(), missing: BTreeSet::new(), access: None }
    }

    async fn of(
        context: &Context,
        tenant: &WorkflowTenant,
        cluster: &WorkflowCluster,
        engine: &EngineView,
    ) -> Self {
        let granted = granted_namespaces(tenant, &*context.namespaces);
        let does_not_exist = |namespace: &&String| !context.namespaces.contains(namespace);
        let missing = granted.iter().filter(does_not_exist).cloned().collect();
        let may_write = !tenant.spec.is_paused() && matches!(engine, EngineView::Answered { .. });
        let access = if may_write { observe_access(context, tenant, cluster).await } else { None };
        Self { generation: tenant.metadata.generation, granted, missing, access }
    }
}

async fn observe_access(
    context: &Context,
    tenant: &WorkflowTenant,
    cluster: &WorkflowCluster,
) -> Option<Result<Access, String>> {
    let endpoint = cluster.status.as_ref().and_then(|status| status.endpoint.clone())?;
    let life = TenantEpoch { tenant_id: tenant.name_any(), epoch: tenant.uid().unwrap_or_default() };
    let access = context.engines.tenant_access(cluster, TokenRole::Client).await;
    Some(access.map_err(|error| error.message()).map(|TenantAccess { ca_pem, key }| Access {
        cluster: cluster.name_any(),
        host: endpoint.host,
        port: endpoint.port,
        uri: endpoint.url,
        ca_pem,
        token: key.mint(TokenRole::Client, &life),
        key_id: key.id().to_owned(),
    }))
}

/// Does the cluster exist though the cache does not show it? Most likely it is of a newer version than this controller;
/// that is no reason to take the access of applications away.
async fn is_unreadable(context: &Context, tenant: &WorkflowTenant) -> bool {
    matches!(observe_cluster_past_cache(context, tenant).await, Err(Unasked::Unread(_)))
}

async fn observe_place(
    context: &Context,
    tenant: &WorkflowTenant,
    under: &Circumstances,
    namespace: String,
) -> (String, Place) {
    let place = observe_secret(context, tenant, under, &namespace).await;
    (namespace, place)
}

async fn observe_secret(
    context: &Context,
    tenant: &WorkflowTenant,
    under: &Circumstances,
    namespace: &str,
) -> Place {
    // A namespace that is gone took the RoleBinding along: asked for the Secret, the API server would say "forbidden".
    if !context.namespaces.contains(namespace) {
        return Place::NoNamespace;
    }
    let name = client_secret_name(&tenant.name_any());
    let api: Api<Secret> = Api::namespaced(context.client.clone(), namespace);
    match api.get_opt(&name).await {
        Ok(Some(secret)) => Place::Held(Box::new(secret)),
        Ok(None) => match &under.access {
            Some(Ok(_)) if under.granted.iter().any(|granted| granted == namespace) => {
                observe_permission(context, tenant, namespace).await
            }
            _ => Place::Free,
        },
        Err(source) => {
            let error =
                WriteError { operation: "read", object: format!("Secret {namespace}/{name}"), source };
            Place::Unread(NamespaceProblem::of(namespace, &error))
        }
    }
}

/// Asked before the namespace is written into the status: where the Secret may not be made, nothing is written at all.
async fn observe_permission(context: &Context, tenant: &WorkflowTenant, namespace: &str) -> Place {
    let empty = Desired::of(&client_secret::build_empty(tenant, namespace));
    match context.writer.try_create(&empty).await {
        Ok(()) => Place::Free,
        Err(error) => Place::Closed(NamespaceProblem::of(namespace, &error)),
    }
}
