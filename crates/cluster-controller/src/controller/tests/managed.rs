//! A Postgres that a provider makes, through its life.

use api_types::cluster::ClusterPhase::{Degraded, Provisioning, Running, Stopped};
use api_types::cluster::{ClusterReason as Reason, PostgresStatus};
use api_types::{WorkflowBackup, WorkflowCluster};
use controller_testing::World as _;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt as _;
use serde_json::json;

use crate::provider::cloud_native_pg::Cluster;
use crate::testing::MANAGED;
use crate::testing::world::{World, as_reported};

fn postgres(world: &World) -> Cluster {
    world.apiserver.get::<Cluster>("acme", "dev-postgres").unwrap()
}

fn is_asleep(world: &World) -> bool {
    postgres(world).annotations()["cnpg.io/hibernation"] == "on"
}

/// The provider and Kubernetes make no step meanwhile.
async fn pass_unanswered(world: &World) {
    for _ in 0..4 {
        world.pass("dev").await;
    }
}

#[tokio::test]
async fn an_engine_begins_when_its_managed_postgres_is_complete() {
    let world = World::new(MANAGED);
    pass_unanswered(&world).await;
    assert_eq!(
        world.reported(),
        as_reported(
            Provisioning,
            Reason::PostgresProvisioning,
            "Cluster dev-postgres is on its way; 0 of 3 instances are ready"
        )
    );
    assert_eq!(world.status("dev").postgres_status, Some(PostgresStatus::Provisioning));
    assert_eq!(world.pods_reported(), []);

    world.settle("dev").await;
    assert_eq!(
        world.reported(),
        as_reported(Running, Reason::Running, "1 engine pod serves at version 1.2.3")
    );
    assert_eq!(world.status("dev").postgres_status, Some(PostgresStatus::Healthy));
}

#[tokio::test]
async fn a_stopped_engine_takes_its_managed_postgres_to_sleep_and_wakes_it_first() {
    let world = World::running(MANAGED).await;
    let edit = |stopped: bool| {
        world.apiserver.edit::<WorkflowCluster>("acme", "dev", |it| it["spec"]["stopped"] = json!(stopped));
    };
    edit(true);
    world.settle("dev").await;
    assert!(is_asleep(&world));
    assert_eq!(world.pods_reported(), []);
    assert_eq!(
        world.reported(),
        as_reported(
            Stopped,
            Reason::Stopped,
            "spec.stopped is true: no engine pod runs and Postgres sleeps, the data is kept"
        )
    );
    assert_eq!(world.status("dev").postgres_status, Some(PostgresStatus::Hibernated));

    edit(false);
    pass_unanswered(&world).await;
    assert!(!is_asleep(&world));
    assert_eq!(world.pods_reported(), [], "no engine pod before Postgres is awake");
    assert_eq!(
        world.reported(),
        as_reported(Provisioning, Reason::PostgresProvisioning, "Cluster dev-postgres wakes up")
    );
    world.settle("dev").await;
    assert_eq!(
        world.reported(),
        as_reported(Running, Reason::Running, "1 engine pod serves at version 1.2.3")
    );
}

#[tokio::test]
async fn more_instances_and_storage_are_followed_and_less_storage_is_refused() {
    let world = World::running(MANAGED).await;
    world.apiserver.seed(&storage_class(true));
    let edit = |size: &str, replicas: i32| {
        world.apiserver.edit::<WorkflowCluster>("acme", "dev", |it| {
            it["spec"]["postgres"]["managed"]["storageSize"] = json!(size);
            it["spec"]["postgres"]["managed"]["replicas"] = json!(replicas);
        });
    };
    edit("200Gi", 5);
    pass_unanswered(&world).await;
    assert_eq!(
        world.reported(),
        as_reported(
            Running,
            Reason::PostgresProvisioning,
            "the managed Postgres is on its way; 3 of 5 instances are ready"
        )
    );
    assert!(!world.status("dev").ready, "the spec is not reached");
    world.settle("dev").await;
    assert!(world.status("dev").ready);
    assert_eq!((postgres(&world).spec.instances, world.pods_reported().len()), (5, 1));

    edit("50Gi", 5);
    world.settle("dev").await;
    assert_eq!(
        world.reported(),
        as_reported(
            Degraded,
            Reason::StorageShrinkRefused,
            "spec.postgres.managed.storageSize is less than the 200Gi that the volumes have: they cannot shrink"
        )
    );
    let live = serde_json::to_value(postgres(&world)).unwrap();
    assert_eq!(live["spec"]["storage"], json!({"size": "200Gi", "storageClass": "fast-ssd"}));
}

fn storage_class(grows: bool) -> StorageClass {
    serde_json::from_value(json!({
        "metadata": {"name": "fast-ssd"}, "provisioner": "example.com/ssd", "allowVolumeExpansion": grows,
    }))
    .unwrap()
}

/// CloudNativePG takes a size that the volumes cannot get, and never looks at its object again.
#[tokio::test]
async fn volumes_whose_class_does_not_let_them_grow_keep_their_size() {
    let world = World::running(MANAGED).await;
    world.apiserver.seed(&storage_class(false));
    world.edit("dev", |it| it["spec"]["postgres"]["managed"]["storageSize"] = json!("200Gi"));
    world.settle("dev").await;
    assert_eq!(
        world.reported(),
        as_reported(
            Degraded,
            Reason::StorageCannotGrow,
            "StorageClass fast-ssd does not let volumes grow (allowVolumeExpansion): they keep their 100Gi"
        )
    );
    assert_eq!(serde_json::to_value(postgres(&world)).unwrap()["spec"]["storage"]["size"], json!("100Gi"));

    world.apiserver.edit::<StorageClass>("", "fast-ssd", |it| it["allowVolumeExpansion"] = json!(true));
    world.settle("dev").await;
    assert!(world.status("dev").ready);
    assert_eq!(serde_json::to_value(postgres(&world)).unwrap()["spec"]["storage"]["size"], json!("200Gi"));
}

#[tokio::test]
async fn a_lost_instance_and_a_failed_provider_are_reported_while_the_engine_serves() {
    let world = World::running(MANAGED).await;
    let edit = |change: fn(&mut serde_json::Value)| {
        world.apiserver.edit::<Cluster>("acme", "dev-postgres", change);
    };
    edit(|live| live["status"]["readyInstances"] = json!(2));
    pass_unanswered(&world).await;
    assert_eq!(
        world.reported(),
        as_reported(
            Degraded,
            Reason::PostgresDegraded,
            "the managed Postgres serves, 2 of 3 instances are ready"
        )
    );
    edit(|live| live["status"]["phase"] = json!("Cluster is unrecoverable and needs manual intervention"));
    pass_unanswered(&world).await;
    assert_eq!(
        world.reported(),
        as_reported(
            Degraded,
            Reason::PostgresFailed,
            "the managed Postgres cannot be recovered without a person"
        )
    );
}

#[tokio::test]
async fn a_postgres_of_somebody_else_is_left_alone_and_never_used() {
    let world = World::new(MANAGED);
    let foreign: Cluster = serde_json::from_value(json!({
        "metadata": {"name": "dev-postgres", "namespace": "acme", "labels": {"team": "payments"}},
        "spec": {"instances": 1, "storage": {"size": "1Gi"}, "bootstrap": {"initdb": {"database": "app", "owner": "app",
            "encoding": "UTF8", "localeCollate": "C", "localeCType": "C", "dataChecksums": true}},
            "postgresql": {"parameters": {}}, "affinity": {}},
    }))
    .unwrap();
    world.apiserver.seed(&foreign);
    world.settle("dev").await;
    let (_, reason, message) = world.reported();
    assert_eq!(
        (reason.as_str(), message.as_str()),
        ("NameTaken", "Cluster acme/dev-postgres exists and belongs to something else: delete or rename it")
    );
    assert_eq!(postgres(&world).spec, foreign.spec);
    assert_eq!(world.pods_reported(), []);
}

#[tokio::test]
async fn a_retained_postgres_outlives_its_cluster_and_serves_the_next_one_of_the_name() {
    let world = World::running(MANAGED).await;
    assert_eq!(postgres(&world).owner_references().len(), 1);
    world
        .apiserver
        .edit::<WorkflowCluster>("acme", "dev", |it| it["spec"]["deletionPolicy"] = json!("Retain"));
    world.settle("dev").await;
    assert_eq!(postgres(&world).owner_references().len(), 0, "the garbage collector leaves it");

    world.apiserver.edit::<WorkflowCluster>("acme", "dev", |it| {
        it["metadata"]["uid"] = json!("uid-next");
        it["spec"]["deletionPolicy"] = json!("Delete");
    });
    world.settle("dev").await;
    assert_eq!(postgres(&world).owner_references()[0].uid, "uid-next");
}

#[tokio::test]
async fn a_backup_wakes_the_postgres_of_a_stopped_engine_and_is_shown_on_the_cluster() {
    let world = World::running(MANAGED).await;
    world.edit("dev", |it| it["spec"]["stopped"] = json!(true));
    world.settle("dev").await;
    assert!(is_asleep(&world));

    let backup: WorkflowBackup = serde_json::from_value(json!({
        "metadata": {"name": "nightly", "namespace": "acme"},
        "spec": {"clusterRef": {"name": "dev"}},
    }))
    .unwrap();
    world.apiserver.seed(&backup);
    world.settle("dev").await;
    assert!(!is_asleep(&world));
    assert_eq!(world.pods_reported(), [], "the engine stays stopped");
    assert_eq!(world.status("dev").postgres_status, Some(PostgresStatus::Healthy));

    world.apiserver.edit::<WorkflowBackup>("acme", "nightly", |it| {
        it["status"] = json!({
            "phase": "Completed", "ready": true, "backupId": "nightly-1", "completedAt": "2026-06-01T12:00:00Z",
            "lastDrill": {"at": "2026-06-01T13:00:00Z", "succeeded": true, "seconds": 9},
        });
    });
    world.settle("dev").await;
    assert!(is_asleep(&world));
    let status = serde_json::to_value(world.status("dev")).unwrap();
    assert_eq!(
        (&status["lastBackup"], &status["lastDrill"]),
        (
            &json!({"name": "nightly", "id": "nightly-1", "completedAt": "2026-06-01T12:00:00Z"}),
            &json!({"at": "2026-06-01T13:00:00Z", "succeeded": true, "seconds": 9, "backupName": "nightly"}),
        )
    );
}

/// A last backup needs a database that serves.
#[tokio::test]
async fn a_stopped_cluster_that_is_deleted_with_a_last_backup_wakes_its_postgres_for_it() {
    let world = World::running(MANAGED).await;
    world.edit("dev", |it| {
        it["spec"]["stopped"] = json!(true);
        it["spec"]["deletionPolicy"] = json!("Snapshot");
        it["spec"]["backup"] = json!({"destination": {"volume": {"claimName": "backups"}}});
    });
    world.settle("dev").await;
    assert!(is_asleep(&world));

    world.delete("dev").await;
    world.pass("dev").await;
    assert!(!is_asleep(&world));
    let (_, reason, message) = world.reported();
    assert_eq!(
        (reason.as_str(), message.as_str()),
        ("SnapshotAwaited", "the last backup, a WorkflowBackup, is being created")
    );
    let last: WorkflowBackup = serde_json::from_value(json!({
        "metadata": {"name": "dev-final-uid-dev", "namespace": "acme",
            "labels": {"workflow.example.com/backup-cause": "deletion"}},
        "spec": {"clusterRef": {"name": "dev"}},
        "status": {"phase": "Completed"},
    }))
    .unwrap();
    world.apiserver.seed(&last);
    world.pass("dev").await;
    assert!(world.object("dev").is_none());
}
