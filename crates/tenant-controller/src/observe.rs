//! All reads. What is absent or cannot be reached is a value.

pub mod clients;

use std::sync::Arc;

use api_types::tenant::TenantReason;
use api_types::{WorkflowCluster, WorkflowTenant};
use controller_kit::pass::is_deleting;
use engine_access::engine::{AccessError, is_callable};
use engine_access::reference::{Refused, Unasked, observe_cluster_of_deleted, resolve_tenant};
use engine_client::model::{Tenant, TenantUsage};
use engine_client::{Engine, EngineError, ErrorClass};
use kube::ResourceExt as _;

use crate::context::Context;
use clients::{ClientsView, observe_clients};

/// The world as one pass sees it.
#[derive(Debug)]
pub struct Observed {
    /// The cluster.
    pub cluster: Result<Arc<WorkflowCluster>, Refused>,
    /// The engine, as far as the rest allows to ask it.
    pub engine: EngineView,
    /// The Secrets of clients; `None` when they were read a moment ago, or when it is not known where they shall be.
    pub clients: Option<ClientsView>,
}

/// What the engine says of this tenant.
#[derive(Debug)]
pub enum EngineView {
    /// There is nobody to ask.
    NotAsked,
    /// Of an object that is being deleted: nobody could be asked.
    Unasked(Unasked<TenantReason>),
    /// The cluster is not ready to be asked.
    NotReady(AccessError),
    /// It did not answer, or refused.
    Failed(EngineError),
    /// Its answer, and the connection for the steps that follow.
    Answered {
        /// For the execution of the plan.
        engine: Arc<dyn Engine>,
        /// The tenant, if the engine has it.
        tenant: Option<Tenant>,
        /// What it uses, if the engine has it.
        usage: Option<TenantUsage>,
    },
}

/// Reads everything that the plan depends on.
pub async fn observe(context: &Context, tenant: &WorkflowTenant, is_valid: bool) -> Observed {
    let (cluster, engine) = observe_cluster(context, tenant).await;
    let clients = observe_clients(context, tenant, &cluster, &engine, is_valid).await;
    Observed { cluster, engine, clients }
}

async fn observe_cluster(
    context: &Context,
    tenant: &WorkflowTenant,
) -> (Result<Arc<WorkflowCluster>, Refused>, EngineView) {
    let cluster = resolve_tenant(&*context.directory, &context.cluster_namespace, tenant);
    if is_deleting(tenant) {
        // What was written while the grant held is still to be deleted.
        return observe_of_deleted(context, tenant, cluster).await;
    }
    let engine = match &cluster {
        Ok(cluster) if is_callable(cluster) => observe_engine(context, cluster, &tenant.name_any()).await,
        _ => EngineView::NotAsked,
    };
    (cluster, engine)
}

async fn observe_of_deleted(
    context: &Context,
    tenant: &WorkflowTenant,
    cluster: Result<Arc<WorkflowCluster>, Refused>,
) -> (Result<Arc<WorkflowCluster>, Refused>, EngineView) {
    match observe_cluster_past_cache(context, tenant).await {
        Ok(found) => {
            let engine = observe_engine(context, &found, &tenant.name_any()).await;
            (Ok(found), engine)
        }
        Err(unasked) => (cluster, EngineView::Unasked(unasked)),
    }
}

/// The tenant's cluster, asked of the API server where the cache does not show it.
async fn observe_cluster_past_cache(
    context: &Context,
    tenant: &WorkflowTenant,
) -> Result<Arc<WorkflowCluster>, Unasked<TenantReason>> {
    let namespace = tenant.namespace().unwrap_or_default();
    observe_cluster_of_deleted(
        &context.client,
        &*context.directory,
        &context.cluster_namespace,
        &namespace,
        &tenant.spec.cluster_ref,
    )
    .await
}

async fn observe_engine(context: &Context, cluster: &WorkflowCluster, tenant_id: &str) -> EngineView {
    let engine = match context.engines.connect(cluster).await {
        Ok(engine) => engine,
        Err(error) => return EngineView::NotReady(error),
    };
    match context.listings.get(cluster, &*engine).await {
        Ok(listing) => EngineView::Answered {
            engine,
            tenant: listing.tenants.get(tenant_id).cloned(),
            usage: listing.usages.get(tenant_id).cloned(),
        },
        Err(error) => {
            // A refused credential or an untrusted certificate may only be outdated.
            if matches!(error.class(), ErrorClass::Denied | ErrorClass::Unavailable) {
                context.engines.forget(cluster);
            }
            EngineView::Failed(error)
        }
    }
}
