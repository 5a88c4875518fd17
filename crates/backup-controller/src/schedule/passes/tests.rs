//! Passes over a cluster in the world in memory.

use std::time::Duration;

use controller_testing::World as _;
use controller_testing::caches::store_of;
use jiff::SignedDuration;
use serde_json::json;
use test_support::Faults;
use test_support::crash::survives_crash_at_every_write;

use super::*;
use crate::testing::world::{HOME, World, another};
use crate::testing::{BACKUP, CLUSTER, settings};

/// A world with a schedule, two minutes after a run was due.
fn due() -> World {
    let world = World::new(CLUSTER, BACKUP);
    world.apiserver.remove::<WorkflowBackup>(HOME, "nightly");
    world.edit_cluster(|cluster| {
        cluster["spec"]["backup"]["schedule"] = json!("0 3 * * *");
        cluster["spec"]["backup"]["keepLast"] = json!(2);
        cluster["metadata"]["creationTimestamp"] = json!("2026-06-01T04:00:00Z");
    });
    world.pass_time(SignedDuration::from_mins(15 * 60 + 2));
    world
}

fn schedules(world: &World, faults: &Faults) -> Schedules {
    let context = world.context(faults);
    Schedules {
        client: context.client,
        writer: context.writer,
        publisher: context.publisher,
        clock: Clock::fixed(world.now()),
        clusters: context.clusters,
        backups: context.backups,
        jobs: context.jobs,
        settings: settings(),
        memory: Mutex::default(),
    }
}

async fn pass(world: &World, schedules: &Schedules) -> Next {
    let cluster: WorkflowCluster = world.apiserver.get(HOME, "dev").unwrap();
    schedules.reconcile(Arc::new(cluster)).await.next
}

fn names(world: &World) -> Vec<String> {
    world.apiserver.list::<WorkflowBackup>(HOME).iter().map(kube::ResourceExt::name_any).collect()
}

#[tokio::test]
async fn two_replicas_make_one_backup() {
    let world = due();
    let (first, second) = (schedules(&world, &Faults::none()), schedules(&world, &Faults::none()));
    assert_eq!(pass(&world, &first).await, Next::Wait { recheck: Duration::from_mins(1) });
    pass(&world, &second).await;
    assert_eq!(names(&world), ["dev-202606020300"]);
    assert_eq!(world.event_lines("dev"), Vec::<String>::new());
}

#[tokio::test]
async fn a_cache_that_does_not_show_it_yet_makes_no_second_one() {
    let world = due();
    let schedules = schedules(&world, &Faults::none());
    pass(&world, &schedules).await;
    world.apiserver.forget_requests();
    pass(&world, &schedules).await;
    assert_eq!(world.apiserver.mutations(), []);
}

#[tokio::test]
async fn runs_of_some_days_with_their_retention() {
    let world = due();
    let mut schedules = schedules(&world, &Faults::none());
    for _ in 0..5 {
        schedules.backups = store_of(world.apiserver.list(""));
        schedules.clock = Clock::fixed(world.now());
        pass(&world, &schedules).await;
        for name in names(&world) {
            if world.object(&name).is_some_and(|backup| backup.metadata.deletion_timestamp.is_none()) {
                world.converge(&name).await;
            }
        }
        schedules.backups = store_of(world.apiserver.list(""));
        pass(&world, &schedules).await;
        for name in names(&world) {
            world.settle(&name).await;
        }
        world.pass_time(SignedDuration::from_hours(24));
    }
    assert_eq!(names(&world), ["dev-202606050300", "dev-202606060300"]);
}

#[tokio::test]
async fn a_schedule_survives() {
    let report = survives_crash_at_every_write(
        async || {
            let world = due();
            for (name, day) in [("old-1", 1), ("old-2", 2), ("old-3", 3)] {
                world.apiserver.seed(&another(name, |backup| {
                    backup["metadata"]["labels"] = json!({"workflow.example.com/backup-cause": "schedule"});
                    backup["status"] = json!({
                        "phase": "Completed", "ready": true, "completedAt": format!("2026-05-0{day}T00:00:00Z"),
                    });
                }));
            }
            world
        },
        async |world, faults| {
            let mut schedules = schedules(world, faults);
            for _ in 0..3 {
                schedules.backups = store_of(world.apiserver.list(""));
                if let Next::Failed(class) = pass(world, &schedules).await {
                    return Err(class);
                }
            }
            Ok(())
        },
        async |world| world.end_state(),
    )
    .await;
    assert_eq!(report.writes.len(), 2, "one is made, one is deleted: {:#?}", report.writes);
}

#[tokio::test]
async fn a_name_that_is_taken_is_reported() {
    let world = due();
    world.apiserver.seed(&another("dev-202606020300", |it| it["spec"]["clusterRef"]["name"] = json!("prod")));
    pass(&world, &schedules(&world, &Faults::none())).await;
    assert_eq!(
        world.event_lines("dev"),
        [
            "Warning NameTaken NameTaken: WorkflowBackup dev-202606020300 exists and belongs to something else: delete it"
        ]
    );
}

#[tokio::test]
async fn a_missing_right_is_reported_and_the_run_is_not_forgotten() {
    let world = due();
    world.apiserver.intercept(|request| {
        let text = "workflowbackups is forbidden: User \"system:serviceaccount:workflow-system:workflow-backup-controller\" cannot create resource \"workflowbackups\" in API group \"workflow.example.com\" in the namespace \"acme\"";
        (request.method == "POST" && request.path.ends_with("/workflowbackups"))
            .then(|| test_support::reply::failure(403, "Forbidden", text).into())
    });
    let schedules = schedules(&world, &Faults::none());
    assert_eq!(pass(&world, &schedules).await, Next::Failed(ErrorClass::Denied));
    assert_eq!(pass(&world, &schedules).await, Next::Failed(ErrorClass::Denied));
    let events = world.event_lines("dev");
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(
        events[0].contains(
            "create a RoleBinding there of ClusterRole workflow-backup-controller-cluster-namespace"
        ),
        "{events:?}"
    );
}

#[tokio::test]
async fn a_drill_is_made_as_a_job_of_the_backup() {
    let world = World::complete(CLUSTER, BACKUP).await;
    world.edit_cluster(|cluster| {
        cluster["spec"]["backup"]["drill"] = json!({"schedule": "0 14 * * *"});
        cluster["metadata"]["creationTimestamp"] = json!("2026-06-01T04:00:00Z");
    });
    world.pass_time(SignedDuration::from_mins(122));
    pass(&world, &schedules(&world, &Faults::none())).await;
    assert_eq!(world.jobs(), ["nightly-drill-202606011400"]);
    world.converge("nightly").await;
    let drill = world.status("nightly").last_drill.unwrap();
    assert!(drill.succeeded);
    pass(&world, &schedules(&world, &Faults::none())).await;
    assert_eq!(world.jobs(), Vec::<String>::new());
}
