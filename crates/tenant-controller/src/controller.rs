//! Watches and the pass.

use std::sync::Arc;

use api_types::WorkflowTenant;
use api_types::labels::TENANT_CONTROLLER;
use controller_kit::Service;
use controller_kit::apply::Writer;
use controller_kit::concern::{ClusterConcern, NamespaceConcern};
use controller_kit::controller::{Pass, Queue, Reconciler};
use controller_kit::engine::{EngineConnector, EngineRole};
use controller_kit::outcome::Next;
use controller_kit::reference::CachedDirectory;
use controller_kit::watch::{watch_metadata_store, watch_own, watch_referenced};
use engine_client::EngineProvider;
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt as _;
use kube::runtime::reflector::{ObjectRef, Store};

use crate::census::Censuses;
use crate::cleanup::plan_cleanup;
use crate::context::Context;
use crate::execute::execute;
use crate::observe::{is_deleting, observe};
use crate::plan::plan;
use crate::status::{assess, build_farewell, build_news, build_status};
use crate::validate::validate;

/// Starts watches and controller. `engines` is a pool of connections in production.
pub fn start(service: &mut Service, engines: Arc<dyn EngineProvider>) {
    let context = service.watch_context();
    let (queue, end) = Queue::new();
    let (tenants, own) = watch_own::<WorkflowTenant>(&context, "WorkflowTenant", queue.clone());
    let (known, home) = (tenants.clone(), service.args.cluster_namespace.clone());
    let (clusters, cluster_watch) =
        watch_referenced(&context, "WorkflowCluster", queue.clone(), ClusterConcern::of, move |cluster| {
            dependants(&known, |tenant| {
                let own = tenant.namespace().unwrap_or_default();
                cluster.is_meant_by(&own, &tenant.spec.cluster_ref, &home)
            })
        });
    let known = tenants.clone();
    let (namespaces, namespace_watch) = watch_metadata_store::<Namespace, _, _>(
        &context,
        "Namespace",
        queue,
        NamespaceConcern::of,
        move |namespace, _| dependants(&known, |tenant| tenant.namespace().as_ref() == Some(&namespace.name)),
    );
    service.watch([own, cluster_watch, namespace_watch]);

    let listed = tenants.clone();
    service.metrics.register_resource_status(
        "WorkflowTenant",
        service.args.resource_status_limit,
        move || listed.state().iter().map(|tenant| phase_row(tenant)).collect(),
    );
    let context = Context {
        client: service.client.clone(),
        writer: Writer::new(service.client.clone(), TENANT_CONTROLLER.field_manager),
        publisher: service.publisher.clone(),
        clock: service.clock.clone(),
        directory: Arc::new(CachedDirectory { clusters, tenants: tenants.clone(), namespaces }),
        cluster_namespace: service.args.cluster_namespace.clone(),
        engines: EngineConnector::new(service.client.clone(), engines, EngineRole::Controller),
        censuses: Censuses::default(),
    };
    service.control(TenantReconciler { context }, tenants, end);
}

/// Reconciles WorkflowTenants.
pub struct TenantReconciler {
    /// What it works with.
    pub context: Context,
}

impl Reconciler for TenantReconciler {
    type Object = WorkflowTenant;

    /// 1. observe (reads) 2. validate (pure) 3. plan (pure) 4. execute (writes) 5. status (pure, then one write)
    /// 6. when to look again (pure).
    async fn reconcile(&self, tenant: Arc<WorkflowTenant>) -> Pass<WorkflowTenant> {
        let context = &self.context;
        let deleting = is_deleting(&tenant);
        if deleting && !tenant.finalizers().iter().any(|finalizer| finalizer == TENANT_CONTROLLER.finalizer) {
            return Pass::unwritten(Next::Gone);
        }
        let observed = observe(context, &tenant).await;
        let verdict = validate(&tenant);
        let plan =
            if deleting { plan_cleanup(&tenant, &observed) } else { plan(&tenant, &observed, &verdict) };
        let applied = execute(context, &tenant, &observed, &plan).await;
        if applied.gone {
            if let Some(farewell) = build_farewell(&tenant, &observed, &applied) {
                context.publisher.publish(&*tenant, farewell).await;
            }
            return Pass::unwritten(Next::Gone);
        }
        let assessment = assess(&tenant, &observed, &verdict, &plan, &applied);
        let status = build_status(&tenant, &observed, &assessment, context.clock.now());
        let current = applied.written.as_ref().unwrap_or(&tenant);
        match context.writer.apply_status(current, tenant.status.as_ref(), &status).await {
            Ok(written) => {
                for news in build_news(&tenant, &status, &applied) {
                    context.publisher.publish(&*tenant, news).await;
                }
                Pass { next: assessment.next, written: written.or(applied.written) }
            }
            Err(error) => {
                tracing::warn!(error = error.told(), "status not written");
                Pass { next: Next::Failed(error.class()), written: applied.written }
            }
        }
    }
}

fn dependants(
    tenants: &Store<WorkflowTenant>,
    depends: impl Fn(&WorkflowTenant) -> bool,
) -> Vec<ObjectRef<WorkflowTenant>> {
    tenants
        .state()
        .iter()
        .filter(|tenant| depends(tenant))
        .map(|tenant| ObjectRef::from_obj(&**tenant))
        .collect()
}

fn phase_row(tenant: &WorkflowTenant) -> (String, String, String) {
    let phase = tenant.status.as_ref().and_then(|status| status.phase).unwrap_or_default();
    (tenant.namespace().unwrap_or_default(), tenant.name_any(), format!("{phase:?}"))
}

#[cfg(test)]
mod tests;
