//! Watches, and which change begins a pass of which WorkflowWorker.

use std::sync::Arc;

use api_types::WorkflowWorker;
use api_types::labels::{OPERATOR, WORKER_CONTROLLER};
use controller_kit::Service;
use controller_kit::builder::ControllerBuilder;
use engine_access::engine::{EngineConnector, EngineRole};
use engine_access::fields::{ClusterFields, NamespaceFields, TenantFields};
use engine_access::reference::{CachedDirectory, Referrer, namespace_tenant};
use engine_client::{EnginePool, Timeouts};
use k8s_openapi::api::core::v1::Namespace;

use crate::children::WorkerChildren;
use crate::context::Context;
use crate::kind::Workers;

/// Starts watches and controller.
pub fn start(service: &mut Service) {
    let home = service.args.cluster_namespace.clone();
    let (client, clock) = (service.client.clone(), service.clock.clone());
    let mut controller = ControllerBuilder::<Workers>::new(service, WORKER_CONTROLLER.field_manager);
    let cluster_namespace = home.clone();
    let clusters = controller.watch_referenced(ClusterFields::of, move |worker: &WorkflowWorker, cluster| {
        cluster.is_meant_by(namespace_of(worker), &worker.spec.cluster_ref, &cluster_namespace)
    });
    let namespaces = controller
        .watch_metadata_store::<Namespace, _>(NamespaceFields::of, |worker, namespace, _| {
            namespace_of(worker) == namespace.name
        });
    let (cluster_namespace, labelled) = (home.clone(), namespaces.clone());
    let tenants = controller.watch_referenced(TenantFields::of, move |worker, tenant| {
        let label = namespace_tenant(&labelled, namespace_of(worker));
        tenant.is_meant_by(&referrer(worker), label.as_deref(), &cluster_namespace)
    });
    let caches = controller.watch_children::<WorkerChildren>(OPERATOR);
    let engines = Arc::new(EnginePool::new(Timeouts::default()));
    let context = Context {
        directory: Arc::new(CachedDirectory { clusters, tenants, namespaces }),
        cluster_namespace: home,
        engines: EngineConnector::new(client.clone(), engines, EngineRole::Monitor),
        client,
        clock,
        caches,
    };
    controller.run(Workers { context });
}

fn namespace_of(worker: &WorkflowWorker) -> &str {
    worker.metadata.namespace.as_deref().unwrap_or_default()
}

fn referrer(worker: &WorkflowWorker) -> Referrer<'_> {
    Referrer {
        namespace: namespace_of(worker),
        cluster: &worker.spec.cluster_ref,
        tenant: worker.spec.tenant_ref.as_ref(),
    }
}

#[cfg(test)]
mod tests;
