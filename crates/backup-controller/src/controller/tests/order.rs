//! Several backups of one cluster.

use api_types::backup::BackupPhase as Phase;
use controller_testing::World as _;
use serde_json::json;

use crate::children::Task;
use crate::testing::world::{Answer, NAME, World, another};
use crate::testing::{BACKUP, CLUSTER};

fn phase(world: &World, name: &str) -> Option<Phase> {
    world.status(name).phase
}

#[tokio::test]
async fn one_at_a_time_the_oldest_first() {
    let world = World::new(CLUSTER, BACKUP);
    world.apiserver.seed(&another("older", |_| ()));
    world.set_answer(Task::Backup, Answer::Never);
    world.settle(NAME).await;
    assert_eq!(world.reported().1, "BackupAwaited");
    assert_eq!(world.reported().2, "WorkflowBackup older of the same cluster is made first");
    world.settle("older").await;
    assert_eq!((phase(&world, "older"), world.jobs().len()), (Some(Phase::Running), 1));
    world.settle(NAME).await;
    assert_eq!(phase(&world, NAME), Some(Phase::Pending));
    world.set_answer(Task::Backup, Answer::Good);
    world.converge("older").await;
    world.converge(NAME).await;
    assert_eq!(phase(&world, NAME), Some(Phase::Completed));
}

#[tokio::test]
async fn one_that_was_begun_is_not_overtaken() {
    let world = World::new(CLUSTER, BACKUP);
    world.set_answer(Task::Backup, Answer::Never);
    world.settle(NAME).await;
    world.apiserver.seed(&another("older", |_| ()));
    world.settle("older").await;
    assert_eq!((phase(&world, "older"), phase(&world, NAME)), (Some(Phase::Pending), Some(Phase::Running)));
}

#[tokio::test]
async fn one_that_cannot_begin_holds_up_no_other() {
    let world = World::new(CLUSTER, BACKUP);
    world.edit(NAME, |backup| {
        backup["spec"]["destination"] = json!({"volume": {"claimName": "backups"}});
    });
    world.edit_cluster(|cluster| cluster["spec"]["backup"]["destination"] = json!(null));
    world.apiserver.seed(&another("older", |_| ()));
    world.apiserver.seed(&another("paused", |backup| {
        backup["spec"]["paused"] = json!(true);
        backup["spec"]["destination"] = json!({"volume": {"claimName": "backups"}});
    }));
    world.converge(NAME).await;
    assert_eq!(phase(&world, NAME), Some(Phase::Completed));
}

#[tokio::test]
async fn backups_of_other_clusters_and_done_ones_do_not_count() {
    let world = World::new(CLUSTER, BACKUP);
    world.apiserver.seed(&another("of-other", |it| it["spec"]["clusterRef"]["name"] = json!("prod")));
    world.apiserver.seed(&another("failed", |it| it["status"] = json!({"phase": "Failed", "ready": false})));
    world.converge(NAME).await;
    assert_eq!(phase(&world, NAME), Some(Phase::Completed));
}
