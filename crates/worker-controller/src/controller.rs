//! Watches and the pass.

use std::sync::Arc;

use api_types::WorkflowWorker;
use api_types::labels::{OPERATOR, WORKER_CONTROLLER};
use controller_kit::Service;
use controller_kit::apply::Writer;
use controller_kit::concern::{ClusterConcern, NamespaceConcern, TenantConcern};
use controller_kit::controller::{Pass, Queue, Reconciler};
use controller_kit::engine::{EngineConnector, EngineRole};
use controller_kit::outcome::Next;
use controller_kit::reference::{CachedDirectory, Referrer, namespace_tenant};
use controller_kit::watch::{
    watch_children, watch_children_by, watch_metadata_store, watch_own, watch_referenced,
};
use engine_client::{EnginePool, Timeouts};
use k8s_openapi::api::core::v1::Namespace;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Resource as _, ResourceExt as _};

use crate::context::Context;
use crate::execute::execute;
use crate::observe::children::{Caches, autoscaler_concern};
use crate::observe::observe;
use crate::plan::plan;
use crate::status::{Assessment, assess, assess_unread, build_events, build_status, plan_next};
use crate::validate::validate;

/// Starts watches and controller.
pub fn start(service: &mut Service) {
    let context = service.watch_context();
    let (queue, end) = Queue::new();
    let (workers, own) = watch_own::<WorkflowWorker>(&context, "WorkflowWorker", queue.clone());

    let (known, home) = (workers.clone(), service.args.cluster_namespace.clone());
    let (clusters, cluster_watch) =
        watch_referenced(&context, "WorkflowCluster", queue.clone(), ClusterConcern::of, move |cluster| {
            dependants(&known, |own, worker| cluster.is_meant_by(own, &worker.spec.cluster_ref, &home))
        });
    let known = workers.clone();
    let (namespaces, namespace_watch) = watch_metadata_store::<Namespace, _, _>(
        &context,
        "Namespace",
        queue.clone(),
        NamespaceConcern::of,
        move |namespace, _| dependants(&known, |own, _| own == namespace.name),
    );
    let (known, home) = (workers.clone(), service.args.cluster_namespace.clone());
    let labelled = namespaces.clone();
    let (tenants, tenant_watch) =
        watch_referenced(&context, "WorkflowTenant", queue.clone(), TenantConcern::of, move |tenant| {
            dependants(&known, |own, worker| {
                let label = namespace_tenant(&labelled, own);
                tenant.is_meant_by(&referrer(own, worker), label.as_deref(), &home)
            })
        });
    let (deployments, deployment_watch) = watch_children(&context, "Deployment", OPERATOR, queue.clone());
    let (autoscalers, autoscaler_watch) =
        watch_children_by(&context, "HorizontalPodAutoscaler", OPERATOR, queue.clone(), autoscaler_concern);
    let (disruption_budgets, disruption_budget_watch) =
        watch_children(&context, "PodDisruptionBudget", OPERATOR, queue);
    service.watch([
        own,
        cluster_watch,
        tenant_watch,
        namespace_watch,
        deployment_watch,
        autoscaler_watch,
        disruption_budget_watch,
    ]);

    let listed = workers.clone();
    service.metrics.register_resource_status(
        "WorkflowWorker",
        service.args.resource_status_limit,
        move || listed.state().iter().map(|worker| phase_row(worker)).collect(),
    );
    let directory = CachedDirectory { clusters, tenants, namespaces };
    let context = Context {
        client: service.client.clone(),
        writer: Writer::new(service.client.clone(), WORKER_CONTROLLER.field_manager),
        publisher: service.publisher.clone(),
        clock: service.clock.clone(),
        directory: Arc::new(directory),
        cluster_namespace: service.args.cluster_namespace.clone(),
        engines: EngineConnector::new(
            service.client.clone(),
            Arc::new(EnginePool::new(Timeouts::default())),
            EngineRole::Monitor,
        ),
        caches: Caches { deployments, autoscalers, disruption_budgets },
    };
    service.control(WorkerReconciler { context }, workers, end);
}

/// Reconciles WorkflowWorkers.
pub struct WorkerReconciler {
    /// What it works with.
    pub context: Context,
}

impl Reconciler for WorkerReconciler {
    type Object = WorkflowWorker;

    /// 1. observe (reads) 2. validate (pure) 3. plan (pure) 4. execute (writes) 5. status (pure, then one write)
    /// 6. when to look again (pure). A worker that goes is left to the garbage collector, which takes its children along.
    async fn reconcile(&self, worker: Arc<WorkflowWorker>) -> Pass<WorkflowWorker> {
        let context = &self.context;
        if worker.meta().deletion_timestamp.is_some() {
            return Pass::unwritten(Next::Gone);
        }
        let observed = match observe(context, &worker).await {
            Ok(observed) => observed,
            Err(unread) => {
                tracing::warn!(problem = unread.problem, "the world could not be read");
                return self.report(&worker, assess_unread(&worker, &unread)).await;
            }
        };
        let verdict = validate(&worker);
        let plan = plan(&worker, &observed, &verdict);
        let applied = execute(context, &plan).await;
        for contest in &applied.reverted {
            context.publisher.publish(&*worker, contest.event()).await;
        }
        self.report(&worker, assess(&worker, &observed, &verdict, &plan, &applied)).await
    }
}

impl WorkerReconciler {
    /// One status write, if anything changed, and the news in it.
    async fn report(&self, worker: &WorkflowWorker, assessment: Assessment) -> Pass<WorkflowWorker> {
        let context = &self.context;
        let now = context.clock.now();
        let status = build_status(worker, &assessment, now);
        match context.writer.apply_status(worker, worker.status.as_ref(), &status).await {
            Ok(written) => {
                if let Some(event) = build_events(worker, &status) {
                    context.publisher.publish(worker, event).await;
                }
                Pass { next: plan_next(worker, &assessment, &status, now), written }
            }
            Err(error) => {
                tracing::warn!(error = error.message(), "status not written");
                Pass::unwritten(Next::Failed(error.class()))
            }
        }
    }
}

fn dependants(
    workers: &Store<WorkflowWorker>,
    depends: impl Fn(&str, &WorkflowWorker) -> bool,
) -> Vec<ObjectRef<WorkflowWorker>> {
    workers
        .state()
        .iter()
        .filter(|worker| depends(worker.metadata.namespace.as_deref().unwrap_or_default(), worker))
        .map(|worker| ObjectRef::from_obj(&**worker))
        .collect()
}

fn referrer<'a>(own: &'a str, worker: &'a WorkflowWorker) -> Referrer<'a> {
    Referrer { namespace: own, cluster: &worker.spec.cluster_ref, tenant: worker.spec.tenant_ref.as_ref() }
}

fn phase_row(worker: &WorkflowWorker) -> (String, String, String) {
    let phase = worker.status.as_ref().and_then(|status| status.phase).unwrap_or_default();
    (worker.namespace().unwrap_or_default(), worker.name_any(), format!("{phase:?}"))
}
