//! Watches and the pass.

use std::sync::Arc;

use api_types::labels::{CLUSTER_CONTROLLER, OPERATOR};
use api_types::{WorkflowCluster, WorkflowProcess, WorkflowTenant, WorkflowWorker};
use controller_kit::Service;
use controller_kit::apply::Writer;
use controller_kit::controller::{Pass, Queue, Reconciler};
use controller_kit::engine::{EngineConnector, EngineRole};
use controller_kit::outcome::Next;
use controller_kit::watch::{watch_children, watch_own, watch_referenced};
use engine_client::{EnginePool, Timeouts};
use kube::ResourceExt as _;

use crate::args::Settings;
use crate::cleanup::plan_cleanup;
use crate::context::Context;
use crate::execute::{Cleaned, execute, execute_cleanup, withdraw_jobs};
use crate::observe::children::{Caches, observe_jobs};
use crate::observe::dependants::{DependantCaches, Referrer, observe_remains};
use crate::observe::observe;
use crate::observe::postgres::{PostgresProbe, Servers};
use crate::plan::plan;
use crate::plan::withdrawal::unwanted_by_refused;
use crate::proof::ProofKeeper;
use crate::status::{
    Assessment, assess, assess_cleanup, assess_deletion, assess_refusal, assess_stuck_deletion,
    assess_unread, build_events, build_status,
};
use crate::validate::validate;

/// Starts watches and controller.
pub fn start(service: &mut Service, settings: Settings) {
    let context = service.watch_context();
    let (queue, end) = Queue::new();
    let (clusters, own) = watch_own::<WorkflowCluster>(&context, "WorkflowCluster", queue.clone());
    let (stateful_sets, stateful_set_watch) =
        watch_children(&context, "StatefulSet", OPERATOR, queue.clone());
    let (services, service_watch) = watch_children(&context, "Service", OPERATOR, queue.clone());
    let (config_maps, config_map_watch) = watch_children(&context, "ConfigMap", OPERATOR, queue.clone());
    let (budgets, budget_watch) = watch_children(&context, "PodDisruptionBudget", OPERATOR, queue.clone());
    let (network_policies, network_policy_watch) =
        watch_children(&context, "NetworkPolicy", OPERATOR, queue.clone());
    let (ingresses, ingress_watch) = watch_children(&context, "Ingress", OPERATOR, queue.clone());
    let (jobs, job_watch) = watch_children(&context, "Job", OPERATOR, queue.clone());
    // They wake no cluster: one that is being deleted looks every second, and one whose keys are replaced has time.
    let (tenants, tenant_watch) = watch_referenced(
        &context,
        "WorkflowTenant",
        queue.clone(),
        |_: &Referrer<WorkflowTenant>| (),
        |()| Vec::new(),
    );
    let (processes, process_watch) = watch_referenced(
        &context,
        "WorkflowProcess",
        queue.clone(),
        |_: &Referrer<WorkflowProcess>| (),
        |()| Vec::new(),
    );
    let (workers, worker_watch) = watch_referenced(
        &context,
        "WorkflowWorker",
        queue,
        |_: &Referrer<WorkflowWorker>| (),
        |()| Vec::new(),
    );
    service.watch([
        own,
        stateful_set_watch,
        service_watch,
        config_map_watch,
        budget_watch,
        network_policy_watch,
        ingress_watch,
        job_watch,
        tenant_watch,
        process_watch,
        worker_watch,
    ]);

    let listed = clusters.clone();
    service.metrics.register_resource_status(
        "WorkflowCluster",
        service.args.resource_status_limit,
        move || listed.state().iter().map(|cluster| phase_row(cluster)).collect(),
    );
    let provider = Arc::new(EnginePool::new(Timeouts::default()));
    let context = Context {
        client: service.client.clone(),
        writer: Writer::new(service.client.clone(), CLUSTER_CONTROLLER.field_manager),
        publisher: service.publisher.clone(),
        clock: service.clock.clone(),
        caches: Caches { stateful_sets, services, config_maps, budgets, network_policies, ingresses, jobs },
        dependants: DependantCaches { clusters: clusters.clone(), tenants, processes, workers },
        cluster_namespace: service.args.cluster_namespace.clone(),
        postgres: PostgresProbe::new(Arc::new(Servers::default())),
        engines: EngineConnector::new(service.client.clone(), provider, EngineRole::Controller),
        proof: ProofKeeper::new(service.client.clone(), &service.args.pod_namespace, &settings.proof_secret),
        settings,
    };
    service.control(ClusterReconciler { context }, clusters, end);
}

/// Reconciles WorkflowClusters.
pub struct ClusterReconciler {
    /// What it works with.
    pub context: Context,
}

impl Reconciler for ClusterReconciler {
    type Object = WorkflowCluster;

    /// 1. validate (pure) 2. observe (reads) 3. plan (pure) 4. execute (writes) 5. status (pure, then one write)
    /// 6. when to look again (pure). Validation comes first, because it says which database is to be asked.
    async fn reconcile(&self, cluster: Arc<WorkflowCluster>) -> Pass<WorkflowCluster> {
        let context = &self.context;
        if cluster.metadata.deletion_timestamp.is_some() {
            context.postgres.forget(&cluster.uid().unwrap_or_default());
            return Box::pin(self.clean_up(&cluster)).await;
        }
        let target = match validate(&cluster) {
            Ok(target) => target,
            Err(refusal) => {
                let unwanted = unwanted_by_refused(&cluster, &observe_jobs(context, &cluster));
                let withdrawn = withdraw_jobs(context, &unwanted).await;
                return self.report(&cluster, assess_refusal(&cluster, &refusal, &withdrawn), None).await;
            }
        };
        let observed = match Box::pin(observe(context, &cluster, &target)).await {
            Ok(observed) => observed,
            Err(unread) => {
                tracing::warn!(problem = unread.problem, "the world could not be read");
                return self.report(&cluster, assess_unread(&cluster, &unread), None).await;
            }
        };
        let now = context.clock.now();
        let plan = plan(&cluster, &target, &context.settings, &observed, now);
        let mut applied = Box::pin(execute(context, &cluster, &observed.access, &plan)).await;
        let written = applied.written.take();
        self.report(&cluster, assess(&cluster, &target, &observed, &plan, &applied, now), written).await
    }
}

impl ClusterReconciler {
    /// A cluster that is to go: nothing that it consists of is touched while it stays.
    async fn clean_up(&self, cluster: &WorkflowCluster) -> Pass<WorkflowCluster> {
        let context = &self.context;
        if !cluster.finalizers().iter().any(|finalizer| finalizer == CLUSTER_CONTROLLER.finalizer) {
            return self.report(cluster, assess_deletion(), None).await;
        }
        let remains = observe_remains(context, cluster);
        let plan = plan_cleanup(cluster, &remains, context.clock.now());
        match (execute_cleanup(context, cluster, &plan).await, plan.wait) {
            (Cleaned::Gone(written), _) => {
                Pass { next: Next::Gone, written: written.map(|written| *written) }
            }
            (Cleaned::Failed(error), _) => {
                tracing::warn!(error = error.message(), "the finalizer was not removed");
                self.report(cluster, assess_stuck_deletion(&error), None).await
            }
            (Cleaned::Waiting, Some(wait)) => self.report(cluster, assess_cleanup(wait), None).await,
            (Cleaned::Waiting, None) => self.report(cluster, assess_deletion(), None).await,
        }
    }

    /// One status write, if anything changed, and the news in it. `former`: the cluster after a write of this pass.
    async fn report(
        &self,
        cluster: &WorkflowCluster,
        assessment: Assessment,
        former: Option<WorkflowCluster>,
    ) -> Pass<WorkflowCluster> {
        let context = &self.context;
        let status = build_status(cluster, &assessment, context.clock.now());
        match context.writer.apply_status(cluster, cluster.status.as_ref(), &status).await {
            Ok(written) => {
                for event in build_events(cluster, &status, &assessment) {
                    context.publisher.publish(cluster, event).await;
                }
                Pass { next: assessment.next, written: written.or(former) }
            }
            Err(error) => {
                tracing::warn!(error = error.message(), "status not written");
                Pass { next: Next::Failed(error.class()), written: former }
            }
        }
    }
}

fn phase_row(cluster: &WorkflowCluster) -> (String, String, String) {
    let phase = cluster.status.as_ref().and_then(|status| status.phase).unwrap_or_default();
    (cluster.namespace().unwrap_or_default(), cluster.name_any(), format!("{phase:?}"))
}

#[cfg(test)]
mod tests;
