//! The plan of this repository on a real API server. No controller runs: the test writes the status.

use std::time::Duration;

use api_types::{WorkflowBackup, WorkflowCluster, WorkflowTenant};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::ListParams;
use serde_json::json;
use test_support::TestApiServer;
use test_support::wait::eventually;

use super::*;

const INSTANCE: &str = "instance-1";
const SNAPSHOT: &str = "snapshot-1";
const PATIENCE: Duration = Duration::from_secs(30);

/// As a platform fills them in.
fn values(namespace: &str) -> Values {
    [
        ("$sys.namespace", namespace),
        ("$sys.instanceId", INSTANCE),
        ("$sys.targetInstanceId", "instance-2"),
        ("$sys.snapshot.id", SNAPSHOT),
        ("$sys.network.externalClusterEndpoint", "engine.instance-1.example.com"),
        ("$sys.deploymentCell.publicSubnetIDs[*].id", "subnet-1,subnet-2"),
        ("$sys.deploymentCell.region", "eu-central-1"),
        ("$sys.compute.node.instanceType", "m6i.large"),
        ("$sys.deployment.resourceID", "r-1"),
        ("$sys.restore.metadata.backupId", "snapshot-1-1a2b3c4d"),
        ("$sys.restore.metadata.backupBucket", "backups"),
        ("$sys.restore.metadata.backupPrefix", "engines"),
        ("$sys.restore.metadata.backupEndpoint", "https://s3.example.com"),
        ("$sys.restore.metadata.backupRegion", "eu-central-1"),
        ("$var.engineVersion", "1.2.3"),
        ("$var.numberOfEngines", "1"),
        ("$var.numberOfPostgresInstances", "1"),
        ("$var.storageSize", "1Gi"),
        ("$var.backupBucket", "backups"),
        ("$var.backupPrefix", "engines"),
        ("$var.backupEndpoint", "https://s3.example.com"),
        ("$var.backupRegion", "eu-central-1"),
        ("$secret.backupAccessKeyId", "key"),
        ("$secret.backupSecretAccessKey", "s3cr:t\"\n#"),
        ("$secret.backupAuthority", "-----BEGIN CERTIFICATE-----\n"),
    ]
    .into_iter()
    .collect()
}

struct Home {
    client: Client,
    namespace: String,
    runner: Runner,
}

impl Home {
    async fn new(apiserver: &TestApiServer, prefix: &str) -> Self {
        Box::pin(apiserver.apply_crds(&api_types::crds())).await;
        let (client, namespace) = (apiserver.client().await, apiserver.namespace(prefix).await);
        let plan = ServicePlan::of_repository().unwrap();
        let runner = Runner::new(client.clone(), plan, Progress::default());
        Self { client, namespace, runner }
    }

    fn clusters(&self) -> Api<WorkflowCluster> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// As a controller would, once the object is as `is_due` says.
    async fn report<K>(&self, name: &str, is_due: impl Fn(&K) -> bool, status: Value)
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), &self.namespace);
        eventually("the object is due", PATIENCE, async || {
            let live = api.get_opt(name).await.map_err(|error| error.to_string())?;
            live.filter(&is_due).map(drop).ok_or_else(|| "not yet".to_owned())
        })
        .await;
        let status = Patch::Merge(json!({ "status": status }));
        api.patch_status(name, &PatchParams::default(), &status).await.unwrap();
    }

    async fn create(&self) -> Outputs {
        let values = self.values();
        let workflow = self.runner.run(Verb::Create, &values, PATIENCE);
        let controllers = async {
            self.report::<WorkflowCluster>(INSTANCE, |_| true, running("create", 1)).await;
            self.report::<WorkflowTenant>("main", |_| true, json!({"phase": "Active", "ready": true})).await;
        };
        futures::join!(workflow, controllers).0.unwrap()
    }

    fn values(&self) -> Values {
        values(&self.namespace)
    }
}

fn running(request: &str, replicas: i32) -> Value {
    json!({
        "phase": "Running", "ready": true, "stalled": false, "observedRequest": request, "version": "1.2.3",
        "replicas": replicas, "readyReplicas": replicas, "postgresStatus": "Healthy",
        "endpoint": {"host": "h", "port": 26500, "url": "https://h:26500",
            "externalHost": "engine.example.com", "externalUrl": "https://engine.example.com:26500"},
    })
}

fn has_request(cluster: &WorkflowCluster, request: &str) -> bool {
    cluster.annotations().get(api_types::labels::REQUEST).is_some_and(|found| found == request)
}

#[test]
fn a_workflow_for_each_part_of_a_life() {
    let plan = ServicePlan::of_repository().unwrap();
    let verbs: Vec<_> = plan.service().unwrap().system_workflows.keys().copied().collect();
    assert_eq!(
        verbs,
        [
            Verb::Create,
            Verb::Modify,
            Verb::Delete,
            Verb::Start,
            Verb::Stop,
            Verb::AddCapacity,
            Verb::RemoveCapacity,
            Verb::Backup,
            Verb::Restore,
            Verb::DeleteBackup
        ]
    );
}

/// The platform overrides a parameter of that name.
#[test]
fn every_parameter_is_used_and_none_has_a_name_of_the_platform() {
    let plan = ServicePlan::of_repository().unwrap();
    let workflows = &plan.service().unwrap().system_workflows;
    let arguments = workflows.values().flat_map(|workflow| &workflow.workflow.arguments.parameters);
    let used: Vec<&str> = arguments.map(|argument| argument.value.as_str()).collect();
    for parameter in &plan.service().unwrap().api_parameters {
        assert_ne!(parameter.key, "replicaCount");
        let is_used = used.contains(&format!("{{{{ $var.{} }}}}", parameter.key).as_str());
        // The platform takes the type of the machine itself, and gives it as `$sys.compute.node.instanceType`.
        assert!(is_used || parameter.key == "instanceType", "{}", parameter.key);
    }
}

/// The workflows that write the whole cluster do not differ in more than they must.
#[tokio::test]
async fn create_modify_and_restore_ask_for_the_same_cluster() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = kube::Config::new("https://127.0.0.1:1".parse().unwrap());
    let plan = ServicePlan::of_repository().unwrap();
    let runner = Runner::new(Client::try_from(config).unwrap(), plan, Progress::default());
    let cluster = |verb| {
        let found = runner.manifests(verb, &values("n")).unwrap().into_iter();
        let mut found = found.filter(|(task, ..)| task == "applycluster" || task == "patchcluster");
        let mut cluster = found.next().unwrap().2;
        cluster["metadata"] = Value::Null;
        cluster
    };
    let mut restored = cluster(Verb::Restore);
    assert!(restored["spec"].as_object_mut().unwrap().remove("bootstrap").is_some());
    assert_eq!(cluster(Verb::Create), cluster(Verb::Modify));
    assert_eq!(cluster(Verb::Create), restored);
}

#[tokio::test]
async fn create_makes_everything_in_a_fresh_namespace_and_may_be_repeated() {
    let apiserver = test_support::require_apiserver!();
    let home = Home::new(apiserver, "plan-create").await;
    let outputs = home.create().await;
    let expected = [
        ("endpoint", "engine.example.com"),
        ("engineVersion", "1.2.3"),
        ("phase", "Running"),
        ("url", "https://engine.example.com:26500"),
    ];
    assert_eq!(outputs, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    let bindings: Api<RoleBinding> = Api::namespaced(home.client.clone(), &home.namespace);
    let bindings = bindings.list(&ListParams::default()).await.unwrap();
    let granted: Vec<_> = bindings.iter().map(|binding| binding.role_ref.name.clone()).collect();
    assert_eq!(
        granted,
        [
            "workflow-backup-controller-cluster-namespace",
            "workflow-cluster-controller-cluster-namespace",
            "workflow-job-lag-metrics-adapter-cluster-namespace",
            "workflow-process-controller-cluster-namespace",
            "workflow-tenant-controller-cluster-namespace",
            "workflow-tenant-controller-workload-namespace",
            "workflow-worker-controller-cluster-namespace",
            "workflow-worker-controller-workload-namespace",
        ]
    );
    let secrets: Api<Secret> = Api::namespaced(home.client.clone(), &home.namespace);
    let credentials = secrets.get("backup-credentials").await.unwrap().data.unwrap();
    assert_eq!(credentials["secretAccessKey"].0, b"s3cr:t\"\n#");
    assert_eq!(home.create().await, outputs);
}

#[tokio::test]
async fn modify_does_not_take_the_status_of_the_former_spec_for_that_of_the_new_one() {
    let apiserver = test_support::require_apiserver!();
    let home = Home::new(apiserver, "plan-modify").await;
    home.create().await;
    // A status that says `ready`, also of a former change by this workflow.
    home.report::<WorkflowCluster>(INSTANCE, |_| true, running("modify", 1)).await;
    let values = home.values().with("$var.storageSize", "2Gi").with("$var.engineVersion", "1.3.0");
    let workflow = home.runner.run(Verb::Modify, &values, PATIENCE);
    let controller = async {
        let is_announced = |cluster: &WorkflowCluster| has_request(cluster, "modify-announced");
        home.report(INSTANCE, is_announced, running("modify-announced", 1)).await;
        let is_written = |cluster: &WorkflowCluster| has_request(cluster, "modify");
        home.report(INSTANCE, is_written, running("modify-announced", 1)).await;
        // Longer than the runner takes between two looks.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let mut now = running("modify", 1);
        now["version"] = "1.3.0".into();
        home.report::<WorkflowCluster>(INSTANCE, |_| true, now).await;
    };
    let outputs = futures::join!(workflow, controller).0.unwrap();
    assert_eq!(outputs["engineVersion"], "1.3.0");
    let cluster = home.clusters().get(INSTANCE).await.unwrap();
    assert_eq!(cluster.spec.version, "1.3.0");
    assert_eq!(cluster.spec.postgres.managed.unwrap().storage_size.unwrap().to_string(), "2Gi");
}

#[tokio::test]
async fn modify_fails_soon_when_a_person_must_act() {
    let apiserver = test_support::require_apiserver!();
    let home = Home::new(apiserver, "plan-refused").await;
    home.create().await;
    let values = home.values();
    let workflow = home.runner.run(Verb::Modify, &values, PATIENCE);
    let controller = async {
        let is_announced = |cluster: &WorkflowCluster| has_request(cluster, "modify-announced");
        home.report(INSTANCE, is_announced, running("modify-announced", 1)).await;
        let is_written = |cluster: &WorkflowCluster| has_request(cluster, "modify");
        let stalled = json!({"phase": "Degraded", "ready": false, "stalled": true, "observedRequest": "modify", "message": "a downgrade is never possible"});
        home.report(INSTANCE, is_written, stalled).await;
    };
    let why = format!("{:#}", futures::join!(workflow, controller).0.unwrap_err());
    assert!(why.starts_with("workflow Modify: task patchcluster: failed, because "), "{why}");
    assert!(why.contains("a downgrade is never possible"), "{why}");
}

#[tokio::test]
async fn a_restored_and_stopped_instance_can_be_modified_and_stays_both() {
    let apiserver = test_support::require_apiserver!();
    let home = Home::new(apiserver, "plan-restored").await;
    let values = home.values();
    let workflow = home.runner.run(Verb::Restore, &values, PATIENCE);
    let controllers = async {
        let mut status = running("restore", 1);
        status["recovery"] = json!({"backupId": "snapshot-1-1a2b3c4d"});
        home.report::<WorkflowCluster>("instance-2", |_| true, status).await;
        home.report::<WorkflowTenant>("main", |_| true, json!({"ready": true})).await;
    };
    let outputs = futures::join!(workflow, controllers).0.unwrap();
    assert_eq!(outputs["restoredBackupId"], "snapshot-1-1a2b3c4d");

    let values = values.with("$sys.instanceId", "instance-2");
    let workflow = home.runner.run(Verb::Stop, &values, PATIENCE);
    let mut stopped = running("restore", 0);
    stopped["phase"] = "Stopped".into();
    stopped["postgresStatus"] = "Hibernated".into();
    let is_stopped = |cluster: &WorkflowCluster| cluster.spec.is_stopped();
    futures::join!(workflow, home.report("instance-2", is_stopped, stopped.clone())).0.unwrap();

    let workflow = home.runner.run(Verb::Modify, &values, PATIENCE);
    let controller = async {
        for request in ["modify-announced", "modify"] {
            stopped["observedRequest"] = request.into();
            let is_due = |cluster: &WorkflowCluster| has_request(cluster, request);
            home.report("instance-2", is_due, stopped.clone()).await;
        }
    };
    futures::join!(workflow, controller).0.unwrap();
    let cluster = home.clusters().get("instance-2").await.unwrap();
    assert!(cluster.spec.is_stopped());
    assert_eq!(cluster.spec.recovery().unwrap().backup_id.as_deref(), Some("snapshot-1-1a2b3c4d"));
}

#[tokio::test]
async fn the_number_of_pods_and_nothing_else_is_patched() {
    let apiserver = test_support::require_apiserver!();
    let home = Home::new(apiserver, "plan-scale").await;
    home.create().await;
    for (verb, number) in [(Verb::AddCapacity, 2), (Verb::RemoveCapacity, 1), (Verb::Start, 1)] {
        let before = home.clusters().get(INSTANCE).await.unwrap().spec;
        let values = home.values().with("$var.numberOfEngines", number.to_string());
        let workflow = home.runner.run(verb, &values, PATIENCE);
        let is_scaled = |cluster: &WorkflowCluster| cluster.spec.replicas == number;
        let controller = home.report(INSTANCE, is_scaled, running("create", number));
        futures::join!(workflow, controller).0.unwrap();
        let mut after = home.clusters().get(INSTANCE).await.unwrap().spec;
        if verb == Verb::Start {
            assert_eq!(after.stopped.take(), Some(false));
        }
        assert_eq!(after, api_types::cluster::WorkflowClusterSpec { replicas: number, ..before });
    }
}

#[tokio::test]
async fn a_backup_hands_over_where_it_is_and_is_deleted_once_or_twice() {
    let apiserver = test_support::require_apiserver!();
    let home = Home::new(apiserver, "plan-backup").await;
    let values = home.values();
    let workflow = home.runner.run(Verb::Backup, &values, PATIENCE);
    let status = json!({
        "phase": "Completed", "ready": true, "backupId": "snapshot-1-1a2b3c4d", "backupName": SNAPSHOT,
        "destination": "s3://backups/engines/snapshot-1-1a2b3c4d", "engineVersion": "1.2.3",
        "artefact": {"method": "Logical", "destination": {"s3": {"bucket": "backups", "prefix": "engines",
            "endpoint": "https://s3.example.com", "region": "eu-central-1"}}},
    });
    let controller = home.report::<WorkflowBackup>(SNAPSHOT, |_| true, status);
    let outputs = futures::join!(workflow, controller).0.unwrap();
    // All that the restore asks for.
    let plan = ServicePlan::of_repository().unwrap();
    let arguments = &plan.workflow(Verb::Restore).unwrap().workflow.arguments.parameters;
    let asked = arguments
        .iter()
        .filter_map(|argument| argument.value.strip_prefix("{{ $sys.restore.metadata.")?.strip_suffix(" }}"));
    for name in asked {
        assert!(outputs.contains_key(name), "{name}: {outputs:?}");
    }
    for _ in 0..2 {
        home.runner.run(Verb::DeleteBackup, &values, PATIENCE).await.unwrap();
        let backups: Api<WorkflowBackup> = Api::namespaced(home.client.clone(), &home.namespace);
        assert!(backups.get_opt(SNAPSHOT).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn a_backup_that_fails_ends_its_workflow() {
    let apiserver = test_support::require_apiserver!();
    let home = Home::new(apiserver, "plan-failed").await;
    let values = home.values();
    let workflow = home.runner.run(Verb::Backup, &values, PATIENCE);
    let status = json!({"phase": "Failed", "ready": false, "message": "the bucket is full"});
    let controller = home.report::<WorkflowBackup>(SNAPSHOT, |_| true, status);
    let why = format!("{:#}", futures::join!(workflow, controller).0.unwrap_err());
    assert!(why.contains("the bucket is full"), "{why}");
}

/// A tenant of a stopped cluster goes only with the cluster, and the cluster waits for it: neither is deleted first.
#[tokio::test]
async fn delete_asks_for_the_end_of_cluster_and_tenant_at_once_and_waits_for_both() {
    let apiserver = test_support::require_apiserver!();
    let home = Home::new(apiserver, "plan-delete").await;
    home.create().await;
    let finalizer = |present: bool| {
        let finalizers: &[&str] = if present { &["example.com/cleanup"] } else { &[] };
        Patch::Merge(json!({"metadata": {"finalizers": finalizers}}))
    };
    let tenants: Api<WorkflowTenant> = Api::namespaced(home.client.clone(), &home.namespace);
    let params = PatchParams::default();
    home.clusters().patch(INSTANCE, &params, &finalizer(true)).await.unwrap();
    tenants.patch("main", &params, &finalizer(true)).await.unwrap();
    let values = home.values();
    let workflow = home.runner.run(Verb::Delete, &values, PATIENCE);
    let secrets: Api<Secret> = Api::namespaced(home.client.clone(), &home.namespace);
    let controllers = async {
        eventually("both are being deleted", PATIENCE, async || {
            let cluster = home.clusters().get(INSTANCE).await.map_err(|error| error.to_string())?;
            let tenant = tenants.get("main").await.map_err(|error| error.to_string())?;
            let ends = [cluster.metadata.deletion_timestamp, tenant.metadata.deletion_timestamp];
            ends.iter().all(Option::is_some).then_some(()).ok_or_else(|| "not yet".to_owned())
        })
        .await;
        assert!(secrets.get_opt("backup-credentials").await.unwrap().is_some());
        home.clusters().patch(INSTANCE, &params, &finalizer(false)).await.unwrap();
        tenants.patch("main", &params, &finalizer(false)).await.unwrap();
    };
    futures::join!(workflow, controllers).0.unwrap();
    assert!(secrets.get_opt("backup-credentials").await.unwrap().is_none());
    assert!(secrets.get_opt("backup-authority").await.unwrap().is_none());
    // Again, as a platform does that lost the answer.
    home.runner.run(Verb::Delete, &values, PATIENCE).await.unwrap();
}

#[tokio::test]
async fn what_the_api_server_drops_is_named_instead_of_applied_for_ever() {
    let apiserver = test_support::require_apiserver!();
    let home = Home::new(apiserver, "plan-drift").await;
    let manifest = json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {"name": "written", "namespace": home.namespace}, "stringData": {"a": "b"}});
    let (api, name) = home.runner.api_of(&manifest).await.unwrap();
    let why = apply(&api, &name, &manifest).await.unwrap_err().to_string();
    assert_eq!(why, "stringData is not as it was applied: the platform would apply it again for ever");
}
