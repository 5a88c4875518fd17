//! Which processes a change of something else concerns: pure. Whoever is left out here learns of it at its next resync only.

use std::sync::Arc;

use api_types::reference::{ClusterRef, TenantRef};
use api_types::{WorkflowProcess, WorkflowWorker};
use controller_kit::concern::{ClusterConcern, NamespaceConcern, TenantConcern};
use controller_kit::reference::{Referrer, cluster_homes, meant_tenant, meant_tenant_id};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use kube::api::PartialObjectMeta;
use kube::runtime::reflector::ObjectRef;

type Woken = Vec<ObjectRef<WorkflowProcess>>;

/// What processes read of a worker: which jobs it serves, and whose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerConcern {
    namespace: String,
    cluster: ClusterRef,
    tenant: Option<TenantRef>,
    job_types: Vec<String>,
}

impl WorkerConcern {
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

/// Those that may be deployed to it.
pub fn of_cluster(
    processes: &[Arc<WorkflowProcess>],
    cluster: &ClusterConcern,
    cluster_namespace: &str,
) -> Woken {
    woken(processes, |own, process| cluster.is_meant_by(own, &process.spec.cluster_ref, cluster_namespace))
}

/// Those that may belong to it. `label` tells which tenant a Namespace is labelled with.
pub fn of_tenant(
    processes: &[Arc<WorkflowProcess>],
    tenant: &TenantConcern,
    label: impl Fn(&str) -> Option<String>,
    cluster_namespace: &str,
) -> Woken {
    woken(processes, |own, process| {
        let spec = &process.spec;
        let referrer =
            Referrer { namespace: own, cluster: &spec.cluster_ref, tenant: spec.tenant_ref.as_ref() };
        tenant.is_meant_by(&referrer, label(own).as_deref(), cluster_namespace)
    })
}

/// Those of the same tenant and, as far as references tell, the same cluster that have jobs for it.
pub fn of_worker(
    processes: &[Arc<WorkflowProcess>],
    worker: &WorkerConcern,
    label: impl Fn(&str) -> Option<String>,
    cluster_namespace: &str,
) -> Woken {
    let tenant = meant_tenant_id(worker.tenant.as_ref(), label(&worker.namespace).as_deref());
    let homes = cluster_homes(&worker.cluster, &worker.namespace, cluster_namespace);
    woken(processes, |own, process| {
        let cluster = &process.spec.cluster_ref;
        let needed = process.status.iter().flat_map(|status| &status.job_types);
        needed.into_iter().any(|job_type| worker.job_types.contains(job_type))
            && cluster.name == worker.cluster.name
            && meant_tenant_id(process.spec.tenant_ref.as_ref(), label(own).as_deref()) == tenant
            && cluster_homes(cluster, own, cluster_namespace).iter().any(|home| homes.contains(home))
    })
}

/// Those in it, and those of the tenant that it is granted to: it may have workers of theirs.
pub fn of_namespace(
    processes: &[Arc<WorkflowProcess>],
    namespace: &NamespaceConcern,
    label: impl Fn(&str) -> Option<String>,
) -> Woken {
    woken(processes, |own, process| {
        own == namespace.name
            || meant_tenant(process.spec.tenant_ref.as_ref(), label(own).as_deref())
                .is_some_and(|tenant| namespace.tenant.as_ref() == Some(&tenant.name))
    })
}

/// Those whose document it has.
pub fn of_config_map(processes: &[Arc<WorkflowProcess>], config_map: &PartialObjectMeta<ConfigMap>) -> Woken {
    let name = config_map.name_any();
    woken(processes, |own, process| {
        config_map.metadata.namespace.as_deref() == Some(own)
            && process.spec.source.config_map_ref.as_ref().is_some_and(|source| source.name == name)
    })
}

fn woken(processes: &[Arc<WorkflowProcess>], concerns: impl Fn(&str, &WorkflowProcess) -> bool) -> Woken {
    processes
        .iter()
        .filter(|process| concerns(process.metadata.namespace.as_deref().unwrap_or_default(), process))
        .map(|process| ObjectRef::from_obj(&**process))
        .collect()
}

#[cfg(test)]
mod tests;
