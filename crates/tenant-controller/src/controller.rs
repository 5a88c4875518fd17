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
use crate::execute::clients::execute_clients;
use crate::execute::{Applied, execute};
use crate::looks::Looks;
use crate::observe::clients::{ClientsView, observe_clients, remembered};
use crate::observe::{Observed, is_deleting, observe};
use crate::plan::clients::{left_behind, plan_clients, plan_departure};
use crate::plan::plan;
use crate::status::clients::{ClientsAssessment, assess_clients, build_left, with_clients};
use crate::status::{assess, build_events, build_last_events, build_status, plan_next};
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
        move |namespace, _| dependants(&known, |tenant| is_concerned(tenant, namespace)),
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
        directory: Arc::new(CachedDirectory {
            clusters,
            tenants: tenants.clone(),
            namespaces: namespaces.clone(),
        }),
        namespaces: Arc::new(namespaces),
        cluster_namespace: service.args.cluster_namespace.clone(),
        engines: EngineConnector::new(service.client.clone(), engines, EngineRole::Controller),
        censuses: Censuses::default(),
        looks: Looks::default(),
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
    ///
    /// The Secrets of clients are planned and written after the tenant itself, and no fault of theirs is one of the tenant.
    async fn reconcile(&self, tenant: Arc<WorkflowTenant>) -> Pass<WorkflowTenant> {
        let context = &self.context;
        let deleting = is_deleting(&tenant);
        if deleting && !tenant.finalizers().iter().any(|finalizer| finalizer == TENANT_CONTROLLER.finalizer) {
            return Pass::unwritten(Next::Gone);
        }
        let observed = observe(context, &tenant).await;
        let verdict = validate(&tenant);
        let clients = observe_clients(context, &tenant, &observed, &verdict).await;
        let plan = if deleting {
            plan_departure(&tenant, plan_cleanup(&tenant, &observed), clients.as_ref())
        } else {
            plan(&tenant, &observed, &verdict)
        };
        let mut applied = execute(context, &tenant, &observed, &plan).await;
        if applied.gone {
            let last_event = build_last_events(&tenant, &observed, &applied);
            let mut left = left_behind(clients.as_ref());
            left.extend(applied.left_secrets.iter().map(String::as_str));
            for event in last_event.into_iter().chain(build_left(&tenant, &left)) {
                context.publisher.publish(&*tenant, event).await;
            }
            return Pass::unwritten(Next::Gone);
        }
        let clients = match clients.filter(|_| !deleting) {
            Some(view) => Some(self.serve_clients(&tenant, &observed, view, &mut applied).await),
            None => None,
        };
        let assessment = assess(&tenant, &observed, &verdict, &plan, &applied);
        let now = context.clock.now();
        let status = build_status(&tenant, &observed, &assessment, now);
        let status = with_clients(&tenant, status, clients.as_ref(), now);
        let next = plan_next(&assessment, &status);
        let current = applied.written.as_ref().unwrap_or(&tenant);
        match context.writer.apply_status(current, current.status.as_ref(), &status).await {
            Ok(written) => {
                for event in build_events(&tenant, &status, &applied) {
                    context.publisher.publish(&*tenant, event).await;
                }
                Pass { next, written: written.or(applied.written) }
            }
            Err(error) => {
                tracing::warn!(error = error.message(), "status not written");
                Pass { next: Next::Failed(error.class()), written: applied.written }
            }
        }
    }
}

impl TenantReconciler {
    /// Makes, corrects and deletes the Secrets of clients.
    async fn serve_clients(
        &self,
        tenant: &WorkflowTenant,
        observed: &Observed,
        mut view: ClientsView,
        applied: &mut Applied,
    ) -> ClientsAssessment {
        let context = &self.context;
        if applied.failure.is_some() {
            // What the engine does not hold as this tenant gets no credential.
            view.under.access = None;
        }
        let plan = plan_clients(tenant, &view);
        let current = applied.written.as_ref().unwrap_or(tenant);
        let done = execute_clients(context, current, &plan).await;
        let cluster = observed.cluster.as_deref().ok();
        let assessment = assess_clients(cluster, &view, &plan, &done);
        let uid = tenant.uid().unwrap_or_default();
        if assessment.is_unfinished {
            context.looks.forget(&uid);
        } else {
            context.looks.remember(&uid, view.under, !assessment.problems.is_empty());
        }
        applied.written = done.written.or(applied.written.take());
        assessment
    }
}

/// May the namespace be one where a Secret of the tenant's clients is, or shall be, or the tenant's own?
fn is_concerned(tenant: &WorkflowTenant, namespace: &NamespaceConcern) -> bool {
    let is_it = |name: &String| *name == namespace.name;
    tenant.namespace().as_ref().is_some_and(is_it)
        || namespace.tenant.as_ref() == Some(&tenant.name_any())
        || tenant.spec.namespaces.iter().any(is_it)
        || remembered(tenant).iter().any(is_it)
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
