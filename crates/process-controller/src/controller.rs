//! Watches and the pass.

use std::sync::Arc;

use api_types::WorkflowProcess;
use api_types::labels::PROCESS_CONTROLLER;
use controller_kit::Service;
use controller_kit::apply::Writer;
use controller_kit::concern::{ClusterConcern, NamespaceConcern, TenantConcern};
use controller_kit::controller::{Pass, Queue, Reconciler};
use controller_kit::engine::{EngineConnector, EngineRole};
use controller_kit::outcome::Next;
use controller_kit::reference::{CachedDirectory, Directory, namespace_tenant};
use controller_kit::watch::{watch_metadata, watch_metadata_store, watch_own, watch_referenced};
use engine_client::EngineProvider;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::ResourceExt as _;

use crate::cleanup::plan_cleanup;
use crate::context::Context;
use crate::execute::execute;
use crate::incidents::{Counter, OpenIncidents};
use crate::observe::{is_deleting, observe};
use crate::plan::plan;
use crate::status::{assess, build_events, build_last_events, build_status};
use crate::validate::validate;
use crate::wakening::{self, WorkerConcern};

/// Starts watches and controller. `engines` is a pool of connections in production.
pub fn start(service: &mut Service, engines: Arc<dyn EngineProvider>) {
    let context = service.watch_context();
    let (queue, end) = Queue::new();
    let (processes, own) = watch_own::<WorkflowProcess>(&context, "WorkflowProcess", queue.clone());

    let (known, home) = (processes.clone(), service.args.cluster_namespace.clone());
    let (clusters, cluster_watch) =
        watch_referenced(&context, "WorkflowCluster", queue.clone(), ClusterConcern::of, move |cluster| {
            wakening::of_cluster(&known.state(), cluster, &home)
        });
    let known = processes.clone();
    let (namespaces, namespace_watch) = watch_metadata_store::<Namespace, _, _>(
        &context,
        "Namespace",
        queue.clone(),
        NamespaceConcern::of,
        move |namespace, labelled| {
            wakening::of_namespace(&known.state(), namespace, |own| namespace_tenant(labelled, own))
        },
    );
    let (known, home) = (processes.clone(), service.args.cluster_namespace.clone());
    let labelled = namespaces.clone();
    let (tenants, tenant_watch) =
        watch_referenced(&context, "WorkflowTenant", queue.clone(), TenantConcern::of, move |tenant| {
            wakening::of_tenant(&known.state(), tenant, |own| namespace_tenant(&labelled, own), &home)
        });
    let (known, home) = (processes.clone(), service.args.cluster_namespace.clone());
    let labelled = namespaces.clone();
    let (workers, worker_watch) =
        watch_referenced(&context, "WorkflowWorker", queue.clone(), WorkerConcern::of, move |worker| {
            wakening::of_worker(&known.state(), worker, |own| namespace_tenant(&labelled, own), &home)
        });
    let known = processes.clone();
    let config_map_watch =
        watch_metadata::<ConfigMap, _, _>(&context, "ConfigMap", queue.clone(), move |config_map| {
            wakening::of_config_map(&known.state(), config_map)
        });
    service.watch([own, cluster_watch, tenant_watch, worker_watch, namespace_watch, config_map_watch]);

    let listed = processes.clone();
    service.metrics.register_resource_status(
        "WorkflowProcess",
        service.args.resource_status_limit,
        move || listed.state().iter().map(|process| phase_row(process)).collect(),
    );
    let directory: Arc<dyn Directory> = Arc::new(CachedDirectory { clusters, tenants, namespaces });
    let engines = EngineConnector::new(service.client.clone(), engines, EngineRole::Controller);
    let counter = Counter {
        directory: directory.clone(),
        cluster_namespace: service.args.cluster_namespace.clone(),
        engines: engines.clone(),
        incidents: OpenIncidents::default(),
    };
    let incidents = counter.incidents.clone();
    service.supervise("open incidents", counter.run(processes.clone(), queue));
    let context = Context {
        client: service.client.clone(),
        writer: Writer::new(service.client.clone(), PROCESS_CONTROLLER.field_manager),
        publisher: service.publisher.clone(),
        clock: service.clock.clone(),
        directory,
        cluster_namespace: service.args.cluster_namespace.clone(),
        engines,
        incidents,
        workers: Arc::new(move || workers.state()),
    };
    service.control(ProcessReconciler { context }, processes, end);
}

/// Reconciles WorkflowProcesses.
pub struct ProcessReconciler {
    /// What it works with.
    pub context: Context,
}

impl Reconciler for ProcessReconciler {
    type Object = WorkflowProcess;

    /// 1. observe (reads) 2. validate (pure) 3. plan (pure) 4. execute (writes) 5. status (pure, then one write)
    /// 6. when to look again (pure).
    async fn reconcile(&self, process: Arc<WorkflowProcess>) -> Pass<WorkflowProcess> {
        let context = &self.context;
        let deleting = is_deleting(&process);
        if deleting && !process.finalizers().iter().any(|finalizer| finalizer == PROCESS_CONTROLLER.finalizer)
        {
            return Pass::unwritten(Next::Gone);
        }
        let observed = observe(context, &process).await;
        let verdict = validate(&process, &observed);
        let plan =
            if deleting { plan_cleanup(&process, &observed) } else { plan(&process, &observed, &verdict) };
        let applied = execute(context, &process, &observed, &plan).await;
        if applied.gone {
            if let Some(last_event) = build_last_events(&process, &observed, &applied) {
                context.publisher.publish(&*process, last_event).await;
            }
            return Pass::unwritten(Next::Gone);
        }
        let assessment = assess(&process, &observed, &verdict, &plan, &applied);
        let status = build_status(&process, &observed, &verdict, &applied, &assessment, context.clock.now());
        let current = applied.written.as_ref().unwrap_or(&process);
        match context.writer.apply_status(current, process.status.as_ref(), &status).await {
            Ok(written) => {
                for event in build_events(&process, &observed, &status, &applied) {
                    context.publisher.publish(&*process, event).await;
                }
                Pass { next: assessment.next, written: written.or(applied.written) }
            }
            Err(error) => {
                tracing::warn!(error = error.message(), "status not written");
                Pass { next: Next::Failed(error.class()), written: applied.written }
            }
        }
    }
}

fn phase_row(process: &WorkflowProcess) -> (String, String, String) {
    let phase = process.status.as_ref().and_then(|status| status.phase).unwrap_or_default();
    (process.namespace().unwrap_or_default(), process.name_any(), format!("{phase:?}"))
}

#[cfg(test)]
mod tests;
