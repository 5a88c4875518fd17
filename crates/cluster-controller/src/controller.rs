//! Watches, and which change begins a pass of which WorkflowCluster.

use std::sync::Arc;

use api_types::labels::{CLUSTER_CONTROLLER, OPERATOR};
use api_types::{WorkflowCluster, WorkflowProcess, WorkflowTenant, WorkflowWorker};
use controller_kit::Service;
use controller_kit::builder::ControllerBuilder;
use engine_access::engine::{EngineConnector, EngineRole};
use engine_client::{EnginePool, Timeouts};
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt as _;

use crate::args::Settings;
use crate::children::ClusterChildren;
use crate::context::Context;
use crate::installation::Installation;
use crate::kind::Clusters;
use crate::observe::backups;
use crate::observe::dependants::{DependantCaches, Referrer};
use crate::observe::postgres::{PostgresProbe, Servers};
use crate::proof::ProofKeeper;
use crate::provider::{PROVIDERS, trigger};

/// Starts watches and controller.
pub fn start(service: &mut Service, settings: Settings) {
    let (client, home) = (service.client.clone(), service.args.cluster_namespace.clone());
    let own_namespace = service.args.pod_namespace.clone();
    let (metrics, metrics_limit) = (service.metrics.clone(), service.args.resource_status_limit);
    let mut controller = ControllerBuilder::<Clusters>::new(service, CLUSTER_CONTROLLER.field_manager);
    let caches = controller.watch_children::<ClusterChildren>(OPERATOR);
    let jobs = controller.watch_owned::<Job>(OPERATOR);
    // They begin no pass: a cluster that is being deleted has one every second, and a replacement of keys is not
    // urgent.
    let dependants = DependantCaches {
        clusters: controller.objects(),
        tenants: controller.watch_referenced(|_: &Referrer<WorkflowTenant>| (), |_, ()| false),
        processes: controller.watch_referenced(|_: &Referrer<WorkflowProcess>| (), |_, ()| false),
        workers: controller.watch_referenced(|_: &Referrer<WorkflowWorker>| (), |_, ()| false),
    };
    let backups = controller.watch_referenced(backups::shown, |cluster, (namespace, name, ..)| {
        cluster.namespace().as_ref() == Some(namespace) && cluster.name_any() == *name
    });
    for provider in PROVIDERS {
        controller.watch_optional(
            trigger::watched(provider),
            |live| provider.fingerprint(live),
            trigger::cluster_of,
        );
    }
    let provider = Arc::new(EnginePool::new(Timeouts::default()));
    let context = Context {
        writer: controller.writer(),
        caches,
        jobs,
        backups,
        dependants,
        cluster_namespace: home,
        installation: Installation::new(client.clone()),
        postgres: PostgresProbe::new(Arc::new(Servers::default())),
        engines: EngineConnector::new(client.clone(), provider, EngineRole::Controller),
        proof: ProofKeeper::new(client.clone(), &own_namespace, &settings.proof_secret),
        client,
        settings,
    };
    let clusters = controller.objects();
    metrics.register_stages(
        "workflow_cluster_upgrade_stage",
        "Stage of each WorkflowCluster's upgrade, or of its last one",
        metrics_limit,
        move || clusters.state().iter().filter_map(|cluster| stage_row(cluster)).collect(),
    );
    controller.run(Clusters { context });
}

/// Namespace, name and stage; `None` before the first upgrade.
fn stage_row(cluster: &WorkflowCluster) -> Option<(String, String, String)> {
    let stage = cluster.status.as_ref()?.upgrade.as_ref()?.stage;
    Some((cluster.namespace().unwrap_or_default(), cluster.name_any(), stage.as_str().to_owned()))
}

#[cfg(test)]
mod tests;
