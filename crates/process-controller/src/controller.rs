//! Watches, and which change begins a pass of which WorkflowProcess.

use std::sync::Arc;

use api_types::labels::PROCESS_CONTROLLER;
use controller_kit::Service;
use controller_kit::builder::ControllerBuilder;
use engine_access::engine::{EngineConnector, EngineRole};
use engine_access::fields::{ClusterFields, NamespaceFields, TenantFields};
use engine_access::reference::{CachedDirectory, Directory, namespace_tenant};
use engine_client::EngineProvider;
use k8s_openapi::api::core::v1::Namespace;

use crate::context::{Context, forget_gone};
use crate::dependencies::{
    WorkerFields, depends_on_cluster, depends_on_namespace, depends_on_tenant, depends_on_worker,
};
use crate::document::Linter;
use crate::incidents::OpenIncidents;
use crate::kind::Processes;
use crate::source::flux::FluxFile;
use crate::source::git::GitFile;
use crate::source::{SourceSettings, Sources};
use crate::survey::Survey;

/// Starts watches and controller. `engines` is a pool of connections in production.
pub fn start(service: &mut Service, engines: Arc<dyn EngineProvider>, settings: SourceSettings) {
    let (client, home) = (service.client.clone(), service.args.cluster_namespace.clone());
    let mut controller = ControllerBuilder::<Processes>::new(service, PROCESS_CONTROLLER.field_manager);
    let cluster_namespace = home.clone();
    let clusters = controller.watch_referenced(ClusterFields::of, move |process, cluster| {
        depends_on_cluster(process, cluster, &cluster_namespace)
    });
    let namespaces = controller.watch_metadata_store::<Namespace, _>(
        NamespaceFields::of,
        |process, namespace, labelled| {
            depends_on_namespace(process, namespace, |own| namespace_tenant(labelled, own))
        },
    );
    let (cluster_namespace, labelled) = (home.clone(), namespaces.clone());
    let tenants = controller.watch_referenced(TenantFields::of, move |process, tenant| {
        let label = |own: &str| namespace_tenant(&labelled, own);
        depends_on_tenant(process, tenant, label, &cluster_namespace)
    });
    let (cluster_namespace, labelled) = (home.clone(), namespaces.clone());
    let workers = controller.watch_referenced(WorkerFields::of, move |process, worker| {
        let label = |own: &str| namespace_tenant(&labelled, own);
        depends_on_worker(process, worker, label, &cluster_namespace)
    });
    let flux = FluxFile::new(settings.flux, controller.queue());
    let git =
        GitFile::new(client.clone(), settings.git, controller.queue(), controller.service().clock.clone());
    let sources = Sources::of(git, flux);
    for source in sources.iter() {
        source.watch(&mut controller);
    }

    let directory: Arc<dyn Directory> = Arc::new(CachedDirectory { clusters, tenants, namespaces });
    let engines = EngineConnector::new(client.clone(), engines, EngineRole::Controller);
    let survey = Survey {
        directory: directory.clone(),
        cluster_namespace: home.clone(),
        engines: engines.clone(),
        incidents: OpenIncidents::default(),
    };
    let incidents = survey.incidents.clone();
    let (processes, queue) = (controller.objects(), controller.queue());
    let forgetting = forget_gone(sources.clone(), controller.objects());
    controller.service().supervise("sources of objects that went", forgetting);
    controller.service().supervise("survey of engines", survey.run(processes, queue));
    let context = Context {
        client,
        sources,
        linter: Linter::default(),
        directory,
        cluster_namespace: home,
        engines,
        incidents,
        workers: Arc::new(move || workers.state()),
    };
    controller.run(Processes { context });
}

#[cfg(test)]
mod tests;
