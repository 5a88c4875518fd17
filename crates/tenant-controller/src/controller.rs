//! Watches, and which change begins a pass of which WorkflowTenant.

use std::sync::Arc;

use api_types::WorkflowTenant;
use api_types::labels::TENANT_CONTROLLER;
use controller_kit::Service;
use controller_kit::builder::ControllerBuilder;
use engine_access::engine::{EngineConnector, EngineRole};
use engine_access::fields::{ClusterFields, NamespaceFields};
use engine_access::reference::CachedDirectory;
use engine_client::EngineProvider;
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt as _;

use crate::client_checks::ClientChecks;
use crate::context::Context;
use crate::kind::Tenants;
use crate::listing::TenantListings;
use crate::observe::clients::remembered;

/// Starts watches and controller. `engines` is a pool of connections in production.
pub fn start(service: &mut Service, engines: Arc<dyn EngineProvider>) {
    let home = service.args.cluster_namespace.clone();
    let client = service.client.clone();
    let mut controller = ControllerBuilder::<Tenants>::new(service, TENANT_CONTROLLER.field_manager);
    let cluster_namespace = home.clone();
    let clusters = controller.watch_referenced(ClusterFields::of, move |tenant: &WorkflowTenant, cluster| {
        let own = tenant.namespace().unwrap_or_default();
        cluster.is_meant_by(&own, &tenant.spec.cluster_ref, &cluster_namespace)
    });
    let namespaces = controller
        .watch_metadata_store::<Namespace, _>(NamespaceFields::of, |tenant, namespace, _| {
            is_concerned(tenant, namespace)
        });
    let directory =
        CachedDirectory { clusters, tenants: controller.objects(), namespaces: namespaces.clone() };
    let context = Context {
        directory: Arc::new(directory),
        namespaces: Arc::new(namespaces),
        cluster_namespace: home,
        engines: EngineConnector::new(client.clone(), engines, EngineRole::Controller),
        client,
        writer: controller.writer(),
        listings: TenantListings::default(),
        client_checks: ClientChecks::default(),
    };
    controller.run(Tenants { context });
}

/// May the namespace be one where a Secret of the tenant's clients is, or shall be, or the tenant's own?
fn is_concerned(tenant: &WorkflowTenant, namespace: &NamespaceFields) -> bool {
    let is_it = |name: &String| *name == namespace.name;
    tenant.namespace().as_ref().is_some_and(is_it)
        || namespace.tenant.as_ref() == Some(&tenant.name_any())
        || tenant.spec.namespaces.iter().any(is_it)
        || remembered(tenant).iter().any(is_it)
}

#[cfg(test)]
mod tests;
