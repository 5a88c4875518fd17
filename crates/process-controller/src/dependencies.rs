//! What a process depends on: a change of that begins a pass. What is left out here is noticed at the next resync only. Pure.

use api_types::reference::{ClusterRef, TenantRef};
use api_types::{WorkflowProcess, WorkflowWorker};
use engine_access::fields::{ClusterFields, NamespaceFields, TenantFields};
use engine_access::reference::{Referrer, cluster_homes, meant_tenant, meant_tenant_id};
use kube::ResourceExt as _;

/// What processes read of a worker: which jobs it serves, and whose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerFields {
    namespace: String,
    cluster: ClusterRef,
    tenant: Option<TenantRef>,
    job_types: Vec<String>,
}

impl WorkerFields {
    /// What `worker` is to processes.
    #[must_use]
    pub fn of(worker: &WorkflowWorker) -> Self {
        Self {
            namespace: worker.namespace().unwrap_or_default(),
            cluster: worker.spec.cluster_ref.clone(),
            tenant: worker.spec.tenant_ref.clone(),
            job_types: worker.spec.job_types.clone(),
        }
    }
}

/// May it be deployed there?
#[must_use]
pub fn depends_on_cluster(
    process: &WorkflowProcess,
    cluster: &ClusterFields,
    cluster_namespace: &str,
) -> bool {
    cluster.is_meant_by(namespace_of(process), &process.spec.cluster_ref, cluster_namespace)
}

/// May it belong to the tenant? `label` gives the tenant that a Namespace is labelled with.
#[must_use]
pub fn depends_on_tenant(
    process: &WorkflowProcess,
    tenant: &TenantFields,
    label: impl Fn(&str) -> Option<String>,
    cluster_namespace: &str,
) -> bool {
    let (own, spec) = (namespace_of(process), &process.spec);
    let referrer = Referrer { namespace: own, cluster: &spec.cluster_ref, tenant: spec.tenant_ref.as_ref() };
    tenant.is_meant_by(&referrer, label(own).as_deref(), cluster_namespace)
}

/// Is it of the same tenant and, as far as references show, the same cluster, and has it jobs for the worker?
#[must_use]
pub fn depends_on_worker(
    process: &WorkflowProcess,
    worker: &WorkerFields,
    label: impl Fn(&str) -> Option<String>,
    cluster_namespace: &str,
) -> bool {
    let (own, cluster) = (namespace_of(process), &process.spec.cluster_ref);
    let mut needed = process.status.iter().flat_map(|status| &status.job_types);
    let tenant = meant_tenant_id(worker.tenant.as_ref(), label(&worker.namespace).as_deref());
    let homes = cluster_homes(&worker.cluster, &worker.namespace, cluster_namespace);
    needed.any(|job_type| worker.job_types.contains(job_type))
        && cluster.name == worker.cluster.name
        && meant_tenant_id(process.spec.tenant_ref.as_ref(), label(own).as_deref()) == tenant
        && cluster_homes(cluster, own, cluster_namespace).iter().any(|home| homes.contains(home))
}

/// Is it in the Namespace, or of the tenant that the Namespace is granted to? That may have workers of the tenant.
#[must_use]
pub fn depends_on_namespace(
    process: &WorkflowProcess,
    namespace: &NamespaceFields,
    label: impl Fn(&str) -> Option<String>,
) -> bool {
    let own = namespace_of(process);
    own == namespace.name
        || meant_tenant(process.spec.tenant_ref.as_ref(), label(own).as_deref())
            .is_some_and(|tenant| namespace.tenant.as_ref() == Some(&tenant.name))
}

fn namespace_of(process: &WorkflowProcess) -> &str {
    process.metadata.namespace.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests;
