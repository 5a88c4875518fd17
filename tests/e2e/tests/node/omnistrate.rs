//! The life of an instance by the workflows of the service plan for Omnistrate, with CloudNativePG and an S3 server. The test
//! is the platform (it makes namespaces and keeps snapshots) and the cloud (it gives load balancers an address).

mod platform;

use std::time::Duration;

use api_types::cluster::{ClusterPhase, PostgresStatus};
use api_types::{WorkflowBackup, WorkflowCluster, WorkflowProcess};
use e2e::engine::{ClientCredential, connect, connect_under};
use e2e::omnistrate::{Outputs, ServicePlan, Verb};
use engine_client::model::{ActivateJobs, InstanceState, StartInstance, Variables};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, ResourceExt as _};
use serde_json::json;
use test_support::wait::{await_condition, eventually};

use crate::fixture::{START, api, apply, await_event, bpmn, named_cluster};
use platform::{Instance, Platform};

/// A Secret of a tenant's clients is made by the next pass after the RoleBinding, which is a minute at most.
const NOTICED: Duration = Duration::from_mins(3);
/// The tenant that the plan makes for the customer.
const TENANT: &str = "main";
const PROCESS: &str = "order";
const JOB_TYPE: &str = "ship";
const ORDERS: usize = 3;

#[tokio::test]
#[ignore = "takes minutes: `./dev nightly`"]
async fn a_platform_drives_the_whole_life_of_an_instance_by_the_service_plan() {
    let Some(cluster) = named_cluster("a_platform_drives_the_whole_life").await else { return };
    let platform = Platform::start(&cluster).await;
    // 1. What the plan depends on is installed.
    assert_dependencies(&platform).await;

    // 2. The namespace of the instance, which the operator does not know; 3. the custom resources.
    let first = platform.instance("omni-first").await;
    let first = first.with("engineVersion", "1.2.3").with("numberOfEngines", "1");
    let created = first.run(Verb::Create).await.expect("should create");
    assert_eq!((created["phase"].as_str(), created["engineVersion"].as_str()), ("Running", "1.2.3"));
    // 4. The endpoint.
    assert_endpoint(&first, &created).await;
    let (definition, orders) = begin_work(&first).await;

    // 7. Another version and size.
    let first = first.with("engineVersion", "1.3.0").with("numberOfEngines", "2");
    let modified = first.run(Verb::Modify).await.expect("should modify");
    assert_eq!(modified["engineVersion"], "1.3.0");
    assert_status(&first, ClusterPhase::Running, 2).await;
    assert_refused_modification(&first).await;
    let first = first.with("numberOfEngines", "1");
    first.run(Verb::RemoveCapacity).await.expect("should remove capacity");
    assert_status(&first, ClusterPhase::Running, 1).await;
    let first = first.with("numberOfEngines", "2");
    first.run(Verb::AddCapacity).await.expect("should add capacity");
    assert_status(&first, ClusterPhase::Running, 2).await;

    // 7. Stop; 5. a backup meanwhile; start.
    first.run(Verb::Stop).await.expect("should stop");
    assert_status(&first, ClusterPhase::Stopped, 0).await;
    first.run(Verb::Stop).await.expect("may be stopped again");
    let snapshot = first.snapshot("omni-while-stopped");
    let metadata = snapshot.run(Verb::Backup).await.expect("should back up while stopped");
    assert_metadata(&metadata, &platform);
    await_sleep(&first).await;
    first.run(Verb::Start).await.expect("should start");
    assert_status(&first, ClusterPhase::Running, 2).await;
    assert_orders(&first, definition, &orders).await;

    // The end of the instance and of its namespace; the backup stays.
    first.run(Verb::Delete).await.expect("should delete");
    first.run(Verb::Delete).await.expect("may be deleted again");
    first.remove_namespace().await;

    // 6. Restore.
    let second = platform.instance("omni-second").await;
    let second = second.with("engineVersion", "1.3.0").with("numberOfEngines", "1").restored(&metadata);
    let restored = second.run(Verb::Restore).await.expect("should restore");
    assert_eq!(restored["restoredBackupId"], metadata["backupId"]);
    assert_endpoint(&second, &restored).await;
    let process = deploy(&second).await;
    assert_eq!(process.status.and_then(|status| status.process_definition_key), Some(definition));
    assert_orders(&second, definition, &orders).await;
    assert_jobs_are_handed_out(&second, &orders).await;
    // What was restored is an instance like any other.
    second.clone().with("numberOfEngines", "2").run(Verb::Modify).await.expect("should modify");
    assert_status(&second, ClusterPhase::Running, 2).await;

    delete_backup(&second).await;
    second.run(Verb::Delete).await.expect("should delete");
    second.remove_namespace().await;
    platform.end().await;
}

async fn assert_dependencies(platform: &Platform) {
    let plan = ServicePlan::of_repository().expect("should be a plan");
    let charts = &plan.service().expect("should have a service").operator.helm_chart_dependencies;
    let names: Vec<_> = charts.iter().map(|chart| chart.chart_name.as_str()).collect();
    assert_eq!(names, ["cloudnative-pg", "workflow-crds", "workflow-operator"]);
    let definitions: Api<CustomResourceDefinition> = Api::all(platform.cluster.client.clone());
    for name in ["clusters.postgresql.cnpg.io", "workflowclusters.workflow.example.com"] {
        let found = definitions.get_opt(name).await.expect("should look for the definition");
        assert!(found.is_some(), "{name} is not installed: `./dev provider` and `./dev install` do that");
    }
    for (namespace, name) in [
        ("cnpg-system", "cnpg-controller-manager"),
        ("workflow-system", "workflow-cluster-controller"),
        ("workflow-system", "workflow-backup-controller"),
    ] {
        let deployments: Api<Deployment> = api(&platform.cluster, namespace);
        await_condition(&deployments, name, START, "is available", |deployment: &Deployment| {
            deployment.status.as_ref().is_some_and(|status| status.available_replicas >= Some(1))
        })
        .await;
    }
}

/// The name that the platform shows is the one that the engine has, and a customer's client that knows only that name and the
/// authority comes in.
async fn assert_endpoint(instance: &Instance, outputs: &Outputs) {
    assert_eq!(outputs["endpoint"], instance.host());
    assert_eq!(outputs["url"], format!("https://{}:26500", instance.host()));
    let engine = connect_under(instance.cluster(), &credential(instance).await, &instance.host()).await;
    let engine = engine.expect("should connect");
    let shown = engine.client.get_instance(TENANT, 1).await.expect("should be let in under its outer name");
    assert!(shown.is_none());
}

async fn credential(instance: &Instance) -> ClientCredential {
    eventually("the customer has a credential", NOTICED, async || {
        let read = ClientCredential::read(instance.cluster(), &instance.namespace(), TENANT).await;
        read.map_err(|error| format!("{error:#}"))
    })
    .await
}

/// As a customer does: a process, and instances that wait for a worker. Gives the key of the definition and of each instance.
async fn begin_work(instance: &Instance) -> (i64, Vec<i64>) {
    let process = deploy(instance).await;
    let key = process.status.and_then(|status| status.process_definition_key).expect("should have a key");
    let engine = connect_under(instance.cluster(), &credential(instance).await, &instance.host()).await;
    let engine = engine.expect("should connect");
    let mut orders = Vec::new();
    for _ in 0..ORDERS {
        let start = StartInstance {
            request_id: String::new(),
            tenant_id: TENANT.to_owned(),
            process_id: PROCESS.to_owned(),
            version: None,
            variables: Variables::default(),
        };
        orders.push(engine.client.start_instance(&start).await.expect("should start").instance_key);
    }
    (key, orders)
}

async fn deploy(instance: &Instance) -> WorkflowProcess {
    let body = json!({
        "apiVersion": "workflow.example.com/v1alpha1", "kind": "WorkflowProcess",
        "metadata": {"name": PROCESS, "namespace": instance.namespace()},
        "spec": {"clusterRef": {"name": instance.id()}, "tenantRef": {"name": TENANT},
            "source": {"bpmn": bpmn(PROCESS, JOB_TYPE)}},
    });
    apply::<WorkflowProcess>(instance.cluster(), &instance.namespace(), PROCESS, &body).await;
    let processes: Api<WorkflowProcess> = api(instance.cluster(), &instance.namespace());
    await_condition(&processes, PROCESS, START, "is deployed", |process: &WorkflowProcess| {
        process.status.as_ref().is_some_and(|status| status.ready)
    })
    .await
}

async fn assert_status(instance: &Instance, phase: ClusterPhase, pods: i32) {
    let status = instance.live().await.status.expect("should have a status");
    let seen = (status.phase, status.replicas, status.ready_replicas, status.ready, status.stalled);
    assert_eq!(seen, (Some(phase), Some(pods), Some(pods), true, false), "{status:?}");
}

/// A downgrade is refused, the workflow says so before its time is over, and the next one goes on from there.
async fn assert_refused_modification(instance: &Instance) {
    let refused = instance.clone().with("engineVersion", "1.2.3").run(Verb::Modify).await;
    let why = format!("{:#}", refused.expect_err("should refuse a downgrade"));
    assert!(why.contains("a downgrade is never possible"), "{why}");
    instance.run(Verb::Modify).await.expect("should modify back");
    assert_status(instance, ClusterPhase::Running, 2).await;
}

fn assert_metadata(metadata: &Outputs, platform: &Platform) {
    let expected = format!("s3://backups/{}/{}", platform.prefix(), metadata["backupId"]);
    assert_eq!(metadata["destination"], expected);
    assert_eq!(metadata["backupName"], "omni-while-stopped");
    assert_eq!(metadata["engineVersion"], "1.3.0");
}

/// Postgres was awake for the backup.
async fn await_sleep(instance: &Instance) {
    let clusters: Api<WorkflowCluster> = api(instance.cluster(), &instance.namespace());
    await_condition(&clusters, &instance.id(), START, "sleeps again", |cluster: &WorkflowCluster| {
        cluster.status.as_ref().is_some_and(|status| {
            status.postgres_status == Some(PostgresStatus::Hibernated)
                && status.phase == Some(ClusterPhase::Stopped)
        })
    })
    .await;
}

async fn assert_orders(instance: &Instance, definition: i64, orders: &[i64]) {
    let engine = connect_under(instance.cluster(), &credential(instance).await, &instance.host()).await;
    let engine = engine.expect("should connect");
    for order in orders {
        let found = engine.client.get_instance(TENANT, *order).await.expect("should read");
        let found = found.map(|found| (found.process_definition_key, found.state));
        assert_eq!(found, Some((definition, InstanceState::Active)), "instance {order}");
    }
}

async fn assert_jobs_are_handed_out(instance: &Instance, orders: &[i64]) {
    let engine = connect(instance.cluster(), &instance.live().await).await.expect("should connect");
    let demand = ActivateJobs {
        tenant_id: TENANT.to_owned(),
        job_types: vec![JOB_TYPE.to_owned()],
        worker: "e2e".to_owned(),
        max_jobs: 100,
        lease: Duration::from_mins(1),
        wait: Duration::from_secs(10),
    };
    let jobs = engine.client.activate_jobs(&demand).await.expect("should activate");
    let mut instances: Vec<_> = jobs.iter().map(|job| job.instance_key).collect();
    instances.sort_unstable();
    let mut expected = orders.to_vec();
    expected.sort_unstable();
    assert_eq!(instances, expected);
}

/// Once and once more. What was in the bucket goes with the object.
async fn delete_backup(instance: &Instance) {
    let snapshot = instance.snapshot("omni-deleted");
    snapshot.run(Verb::Backup).await.expect("should back up");
    let backups: Api<WorkflowBackup> = api(instance.cluster(), &instance.namespace());
    let backup = backups.get("omni-deleted").await.expect("should be there");
    for _ in 0..2 {
        snapshot.run(Verb::DeleteBackup).await.expect("should delete the backup");
        assert!(backups.get_opt(&backup.name_any()).await.expect("should look").is_none());
    }
    await_event(instance.cluster(), &instance.namespace(), "omni-deleted", "ArtefactDeleted", "").await;
}
