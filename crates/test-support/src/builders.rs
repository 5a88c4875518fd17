//! Objects of the four kinds in a good state; a test changes only the field that it tests.
//!
//! ```
//! use test_support::builders;
//!
//! let mut cluster = builders::running_cluster("workflow-system", "orders");
//! cluster.spec.replicas = 0;
//! let worker = builders::worker("acme", "payments", &cluster);
//! assert_eq!(worker.spec.cluster_ref.namespace.as_deref(), Some("workflow-system"));
//! ```
//!
//! `cluster`, `tenant`, `process` and `worker` give what a user applies: accepted by the apiserver, without anything a
//! server or controller adds. `running_…`, `active_…` and `deployed_…` give the same as read back when all is well:
//! with uid, generation 1, and the status that the object's controller reports. Statuses have what other controllers
//! read, and `Ready`. The tests of a controller add what only that controller computes.

use api_types::cluster::{ClusterPhase, ClusterReason, Endpoint, ExternalPostgres, Postgres, PostgresStatus};
use api_types::engine_access::Access;
use api_types::process::{ProcessPhase, ProcessReason, Source};
use api_types::reason::Reason;
use api_types::reference::{ClusterRef, TenantRef};
use api_types::tenant::{TenantPhase, TenantReason};
use api_types::worker::{WorkerPhase, WorkerReason};
use api_types::{
    WorkflowCluster, WorkflowClusterSpec, WorkflowClusterStatus, WorkflowProcess, WorkflowProcessSpec,
    WorkflowProcessStatus, WorkflowTenant, WorkflowTenantSpec, WorkflowTenantStatus, WorkflowWorker,
    WorkflowWorkerSpec, WorkflowWorkerStatus, condition, engine_access, names,
};
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{Resource, ResourceExt as _};

#[cfg(test)]
mod tests;

/// The worker key of [`engine_access`].
pub const WORKER_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
/// The client key of [`engine_access`].
pub const CLIENT_KEY: &str = "IAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

/// The engine version of [`cluster`].
pub const VERSION: &str = "1.0.0";
/// The Secret that [`cluster`] names for its login to Postgres.
pub const DATABASE_SECRET: &str = "orders-postgres";
/// The job type that [`ORDER_BPMN`] creates and [`worker`] serves.
pub const JOB_TYPE: &str = "charge-payment";
/// A small valid process, id `order`: start, one service task of type [`JOB_TYPE`], end.
pub const ORDER_BPMN: &str = include_str!("builders/order.bpmn");

/// A cluster of two engine pods on an existing Postgres `postgres.<namespace>.svc`.
pub fn cluster(namespace: &str, name: &str) -> WorkflowCluster {
    let postgres = ExternalPostgres {
        host: format!("postgres.{namespace}.svc"),
        database_secret: DATABASE_SECRET.to_owned(),
        ..ExternalPostgres::default()
    };
    let spec = WorkflowClusterSpec {
        version: VERSION.to_owned(),
        image: None,
        replicas: 2,
        stopped: None,
        paused: None,
        resources: None,
        postgres: Postgres { external_ref: Some(postgres), managed: None },
        network: None,
        observability: None,
        authentication: None,
        scheduling: None,
        upgrade: None,
        backup: None,
        bootstrap: None,
        deletion_policy: None,
    };
    in_namespace(namespace, WorkflowCluster::new(name, spec))
}

/// [`cluster`], serving and open for deployments.
pub fn running_cluster(namespace: &str, name: &str) -> WorkflowCluster {
    let mut cluster = stored(cluster(namespace, name));
    cluster.status = Some(WorkflowClusterStatus {
        observed_generation: Some(1),
        phase: Some(ClusterPhase::Running),
        ready: true,
        conditions: vec![ready(ClusterReason::Running)],
        replicas: Some(cluster.spec.replicas),
        ready_replicas: Some(cluster.spec.replicas),
        version: Some(VERSION.to_owned()),
        version_key: Some(names::version_key(VERSION)),
        schema_version: Some(1),
        postgres_status: Some(PostgresStatus::Healthy),
        endpoint: Some(Endpoint {
            host: engine_access::engine_host(name, namespace),
            port: engine_access::GRPC_PORT.into(),
            url: engine_access::engine_url(name, namespace),
            external_host: None,
            external_url: None,
        }),
        accepts_deployments: true,
        ..WorkflowClusterStatus::default()
    });
    cluster
}

/// What the cluster-controller makes for the callers of that cluster's engine: the CA, the tokens and the keys. The CA
/// is not valid for a real connection. Tokens and keys are the same for every cluster of the name.
pub fn engine_access(cluster: &WorkflowCluster) -> (ConfigMap, [Secret; 4]) {
    let (namespace, name) = (cluster.namespace().unwrap_or_default(), cluster.name_any());
    let mut ca = ConfigMap::default();
    ca.metadata.name = Some(engine_access::ca_config_map_name(&name));
    ca.data = Some([(engine_access::CA_CERT_KEY.to_owned(), "not a certificate".to_owned())].into());
    let secrets = Access::ALL.map(|access| {
        let mut secret = Secret::default();
        secret.metadata.name = Some(engine_access::access_secret_name(&name, access));
        let current = match access {
            Access::ControllerToken | Access::MonitorToken => format!("{}-of-{name}", access.name()),
            Access::WorkerKey => WORKER_KEY.to_owned(),
            Access::ClientKey => CLIENT_KEY.to_owned(),
        };
        let current = (engine_access::CURRENT_KEY.to_owned(), ByteString(current.into_bytes()));
        secret.data = Some([current].into());
        in_namespace(&namespace, secret)
    });
    (in_namespace(&namespace, ca), secrets)
}

/// A tenant of that cluster without quotas.
pub fn tenant(namespace: &str, name: &str, cluster: &WorkflowCluster) -> WorkflowTenant {
    let spec = WorkflowTenantSpec {
        cluster_ref: reference_to(cluster),
        display_name: None,
        quotas: None,
        isolation: None,
        namespaces: Vec::new(),
        suspended: None,
        paused: None,
        deletion_policy: None,
    };
    in_namespace(namespace, WorkflowTenant::new(name, spec))
}

/// [`tenant`], as after it was written to the engine.
pub fn active_tenant(namespace: &str, name: &str, cluster: &WorkflowCluster) -> WorkflowTenant {
    let mut tenant = stored(tenant(namespace, name, cluster));
    tenant.status = Some(WorkflowTenantStatus {
        observed_generation: Some(1),
        phase: Some(TenantPhase::Active),
        ready: true,
        conditions: vec![ready(TenantReason::Synced)],
        ..WorkflowTenantStatus::default()
    });
    tenant
}

/// [`ORDER_BPMN`], inline, for the engine's default tenant. See [`tenant_reference`].
pub fn process(namespace: &str, name: &str, cluster: &WorkflowCluster) -> WorkflowProcess {
    let spec = WorkflowProcessSpec {
        cluster_ref: reference_to(cluster),
        tenant_ref: None,
        source: Source { bpmn: Some(ORDER_BPMN.to_owned()), ..Source::default() },
        version_tag: None,
        validate: None,
        paused: None,
        deletion_policy: None,
    };
    in_namespace(namespace, WorkflowProcess::new(name, spec))
}

/// [`process`], deployed as version 1 with key 1.
pub fn deployed_process(namespace: &str, name: &str, cluster: &WorkflowCluster) -> WorkflowProcess {
    let mut process = stored(process(namespace, name, cluster));
    process.status = Some(WorkflowProcessStatus {
        observed_generation: Some(1),
        phase: Some(ProcessPhase::Deployed),
        ready: true,
        conditions: vec![ready(ProcessReason::Deployed)],
        process_definition_key: Some(1),
        bpmn_process_id: Some("order".to_owned()),
        version: Some(1),
        deployed_at: Some(Time(created())),
        job_types: vec![JOB_TYPE.to_owned()],
        ..WorkflowProcessStatus::default()
    });
    process
}

/// One worker pod for [`JOB_TYPE`] of the engine's default tenant, not autoscaled. See [`tenant_reference`].
pub fn worker(namespace: &str, name: &str, cluster: &WorkflowCluster) -> WorkflowWorker {
    let spec = WorkflowWorkerSpec {
        cluster_ref: reference_to(cluster),
        tenant_ref: None,
        image: "registry.example.com/payments:1.0.0".to_owned(),
        job_types: vec![JOB_TYPE.to_owned()],
        replicas: 1,
        autoscaling: None,
        resources: None,
        authentication: None,
        image_pull_secrets: Vec::new(),
        env: Vec::new(),
        scheduling: None,
        termination_grace_period_seconds: None,
        paused: None,
    };
    in_namespace(namespace, WorkflowWorker::new(name, spec))
}

/// [`worker`], rolled out.
pub fn running_worker(namespace: &str, name: &str, cluster: &WorkflowCluster) -> WorkflowWorker {
    let mut worker = stored(worker(namespace, name, cluster));
    worker.status = Some(WorkflowWorkerStatus {
        observed_generation: Some(1),
        phase: Some(WorkerPhase::Running),
        ready: true,
        conditions: vec![ready(WorkerReason::Running)],
        replicas: Some(1),
        ready_replicas: Some(1),
        ..WorkflowWorkerStatus::default()
    });
    worker
}

/// For `spec.tenantRef` of a process or worker.
pub fn tenant_reference(tenant: &WorkflowTenant) -> TenantRef {
    TenantRef { name: tenant.name_any(), namespace: tenant.namespace() }
}

/// The object as the apiserver gives it back after its creation: with a uid made of its name, generation 1 and the
/// creation time of a [`FakeApiServer`](crate::FakeApiServer).
pub fn stored<K: Resource>(mut object: K) -> K {
    let uid = format!("uid-of-{}", object.meta().name.as_deref().unwrap_or_default());
    let metadata = object.meta_mut();
    metadata.uid.get_or_insert(uid);
    metadata.generation.get_or_insert(1);
    metadata.creation_timestamp.get_or_insert(Time(created()));
    metadata.resource_version.get_or_insert_with(|| "1".to_owned());
    object
}

fn reference_to(cluster: &WorkflowCluster) -> ClusterRef {
    ClusterRef { name: cluster.name_any(), namespace: cluster.namespace() }
}

fn ready(reason: impl Reason) -> Condition {
    Condition {
        type_: condition::READY.to_owned(),
        status: "True".to_owned(),
        reason: reason.as_str().to_owned(),
        message: String::new(),
        observed_generation: Some(1),
        last_transition_time: Time(created()),
    }
}

fn created() -> Timestamp {
    crate::fake_apiserver::EPOCH.parse().expect("the literal should be a timestamp")
}

fn in_namespace<K: Resource>(namespace: &str, mut object: K) -> K {
    object.meta_mut().namespace = Some(namespace.to_owned());
    object
}
