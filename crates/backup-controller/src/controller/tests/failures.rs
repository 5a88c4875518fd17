//! Each reason for which a backup waits or fails.

use api_types::backup::BackupPhase as Phase;
use api_types::backup::BackupReason;
use api_types::reason::Reason as _;
use backup_format::Reason;
use controller_kit::condition::find;
use controller_testing::World as _;
use rstest::rstest;
use serde_json::{Value, json};

use crate::children::Task;
use crate::outcome::{Verdict, judge};
use crate::testing::world::{Answer, BACKUP_JOB, HOME, NAME, World, as_reported, waiting};
use crate::testing::{BACKUP, CLUSTER, VOLUME};

type Change = fn(&mut Value);

#[rstest]
#[case::no_destination(
    |cluster: &mut Value| cluster["spec"]["backup"] = json!(null),
    Phase::Pending,
    BackupReason::DestinationMissing,
    "set spec.destination, or spec.backup.destination of WorkflowCluster dev"
)]
#[case::never_ran(
    |cluster: &mut Value| cluster["status"]["version"] = json!(null),
    Phase::Pending,
    BackupReason::ClusterNotReady,
    "the engine of WorkflowCluster dev has not run yet: there is nothing to back up"
)]
#[case::in_the_middle_of_a_migration(
    |cluster: &mut Value| {
        cluster["status"]["upgrade"] = json!({"stage": "Expanding", "rollbackable": true});
    },
    Phase::Pending,
    BackupReason::ClusterNotReady,
    "the upgrade of WorkflowCluster dev changes the schema (Expanding), and would wait"
)]
#[case::managed_and_not_there(
    |cluster: &mut Value| {
        cluster["spec"]["postgres"] = json!({"managed": {}});
        cluster["status"]["postgresStatus"] = json!("Provisioning");
    },
    Phase::Pending,
    BackupReason::ClusterNotReady,
    "the Postgres of WorkflowCluster dev is not ready"
)]
#[case::odd_destination(
    |cluster: &mut Value| cluster["spec"]["backup"]["destination"]["s3"]["prefix"] = json!("a/../b"),
    Phase::Failed,
    BackupReason::DestinationInvalid,
    "each part of the destination's path must be 1 to 255 characters of A-Z, a-z, 0-9, '.', '_' and '-', and neither '.' nor '..'"
)]
#[tokio::test]
async fn what_the_cluster_lacks(
    #[case] change: Change,
    #[case] phase: Phase,
    #[case] reason: BackupReason,
    #[case] message: &str,
) {
    let world = World::new(CLUSTER, BACKUP);
    world.edit_cluster(change);
    world.settle(NAME).await;
    assert_eq!(world.reported(), as_reported(phase, reason, message));
    assert_eq!(world.jobs(), Vec::<String>::new());
}

#[tokio::test]
async fn a_missing_cluster_is_awaited() {
    let world = World::new(CLUSTER, BACKUP);
    let cluster: api_types::WorkflowCluster = world.apiserver.get(HOME, "dev").unwrap();
    world.apiserver.remove::<api_types::WorkflowCluster>(HOME, "dev");
    world.settle(NAME).await;
    assert_eq!(
        world.reported(),
        as_reported(
            Phase::Pending,
            BackupReason::ClusterMissing,
            "spec.clusterRef: WorkflowCluster acme/dev does not exist"
        )
    );
    world.apiserver.seed(&cluster);
    world.converge(NAME).await;
    assert_eq!(world.reported().0, Some(Phase::Completed));
}

#[tokio::test]
async fn each_failure_of_the_agent_has_its_reason() {
    for reason in Reason::ALL {
        let world = World::new(CLUSTER, BACKUP);
        world.set_answer(Task::Backup, Answer::Failed(reason));
        world.settle(NAME).await;
        let expected = as_reported(Phase::Failed, judge(reason).0, &format!("the agent says {reason:?}"));
        assert_eq!(world.reported(), expected);
        let status = world.status(NAME);
        assert!(find(&status.conditions, "Stalled").is_some() && status.completed_at.is_none());
        assert_eq!(world.jobs(), [BACKUP_JOB], "the Job stays for its log");
        let events = world.event_lines(NAME);
        assert!(events.last().unwrap().starts_with(&format!("Warning {}", judge(reason).0)), "{events:?}");
        world.converge(NAME).await;
        assert_eq!(world.reported(), expected);
    }
}

#[tokio::test]
async fn an_attempt_that_failed_ends_the_backup_or_does_not() {
    for reason in Reason::ALL {
        let world = World::new(CLUSTER, BACKUP);
        world.set_answer(Task::Backup, Answer::FailedAttempt(reason));
        world.settle(NAME).await;
        let (of_backup, verdict) = judge(reason);
        let (phase, message) = match verdict {
            Verdict::TryAgain => (Phase::Running, format!("the agent says {reason:?}; it is tried again")),
            Verdict::GiveUp => (Phase::Failed, format!("the agent says {reason:?}")),
        };
        assert_eq!(world.reported(), as_reported(phase, of_backup, &message));
        assert_eq!(world.jobs().len(), usize::from(verdict == Verdict::TryAgain), "{reason:?}");
    }
}

#[tokio::test]
async fn a_job_without_a_result_is_named() {
    let world = World::new(CLUSTER, BACKUP);
    world.set_answer(Task::Backup, Answer::Killed("DeadlineExceeded"));
    world.converge(NAME).await;
    assert_eq!(
        world.reported(),
        as_reported(
            Phase::Failed,
            BackupReason::JobFailed,
            &format!("Job {BACKUP_JOB} ended without a result: DeadlineExceeded")
        )
    );
}

fn unschedulable(message: &str) -> Value {
    json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]})
}

fn creating() -> Value {
    waiting("ContainerCreating")
}

#[rstest]
#[case::no_node(
    Answer::Stuck(unschedulable("0/1 nodes are available"), None),
    BackupReason::PodNotStarting,
    "the pod of Job nightly-backup-b1b2b3b4 does not start: Unschedulable"
)]
#[case::no_claim(
    Answer::Stuck(
        unschedulable("0/1 nodes are available: persistentvolumeclaim \"backups\" not found."),
        None
    ),
    BackupReason::DestinationSecretMissing,
    "PersistentVolumeClaim acme/backups does not exist"
)]
#[case::no_image(
    Answer::Stuck(waiting("ErrImagePull"), None),
    BackupReason::PodNotStarting,
    "the pod of Job nightly-backup-b1b2b3b4 does not start: ImagePullBackOff"
)]
#[case::no_database_secret(
    Answer::Stuck(creating(), Some(("FailedMount", "MountVolume.SetUp failed for volume \"database\" : secret \"db\" not found"))),
    BackupReason::DatabaseUnreachable,
    "Secret acme/db with username and password is needed, and does not exist or lacks a key"
)]
#[case::no_key(
    Answer::Stuck(creating(), Some(("FailedMount", "MountVolume.SetUp failed for volume \"recipient\" : references non-existent secret key: recipient"))),
    BackupReason::DestinationSecretMissing,
    "Secret acme/age with recipient is needed, and does not exist or lacks a key"
)]
#[case::slow_mount(
    Answer::Stuck(creating(), Some(("FailedMount", "MountVolume.SetUp failed for volume \"database\" : timed out"))),
    BackupReason::PodNotStarting,
    "the pod of Job nightly-backup-b1b2b3b4 does not start: volume database cannot be mounted yet"
)]
#[case::refused(
    Answer::NoPod("pods \"x\" is forbidden: exceeded quota: small, requested: cpu=1"),
    BackupReason::FailedCreate,
    "the pods of Job nightly-backup-b1b2b3b4 cannot be created: ResourceQuota small is used up"
)]
#[tokio::test]
async fn what_keeps_the_pod_from_starting(
    #[case] answer: Answer,
    #[case] reason: BackupReason,
    #[case] message: &str,
) {
    let world = World::new(CLUSTER, VOLUME);
    world.set_answer(Task::Backup, answer);
    world.settle(NAME).await;
    assert_eq!(world.reported(), as_reported(Phase::Running, reason, message));
    assert!(find(&world.status(NAME).conditions, "Stalled").is_some());
    // It goes on by itself.
    world.set_answer(Task::Backup, Answer::Good);
    world.converge(NAME).await;
    assert_eq!(world.reported().0, Some(Phase::Completed));
}

#[tokio::test]
async fn missing_credentials_of_s3_are_named() {
    let world = World::new(CLUSTER, BACKUP);
    let text = "MountVolume.SetUp failed for volume \"s3-credentials\" : secret \"s3\" not found";
    world.set_answer(Task::Backup, Answer::Stuck(creating(), Some(("FailedMount", text))));
    world.settle(NAME).await;
    assert_eq!(
        world.reported(),
        as_reported(
            Phase::Running,
            BackupReason::DestinationSecretMissing,
            "Secret acme/s3 with accessKeyId and secretAccessKey is needed, and does not exist or lacks a key"
        )
    );
}

#[tokio::test]
async fn what_is_missing_until_the_time_is_over_is_still_named() {
    let world = World::new(CLUSTER, BACKUP);
    let text = "MountVolume.SetUp failed for volume \"s3-ca\" : secret \"s3-ca\" not found";
    world.set_answer(Task::Backup, Answer::Stuck(creating(), Some(("FailedMount", text))));
    world.settle(NAME).await;
    world.set_answer(Task::Backup, Answer::Killed("DeadlineExceeded"));
    world.converge(NAME).await;
    assert_eq!(
        world.reported(),
        as_reported(
            Phase::Failed,
            BackupReason::DestinationSecretMissing,
            &format!(
                "Secret acme/s3-ca with ca.crt is needed, and does not exist or lacks a key; the time of Job {BACKUP_JOB} is over"
            )
        )
    );
}

#[tokio::test]
async fn a_missing_right_is_named() {
    let world = World::new(CLUSTER, BACKUP);
    world.apiserver.intercept(|request| {
        (request.method == "POST" && request.path.ends_with("/jobs"))
            .then(|| test_support::reply::forbidden("jobs", "x", "no RBAC policy matched").into())
    });
    world.pass(NAME).await;
    world.pass(NAME).await;
    let (phase, reason, message) = world.reported();
    assert_eq!((phase, reason.as_str()), (Some(Phase::Running), BackupReason::Denied.as_str()));
    assert!(message.starts_with("failed to create Job acme/"), "{message}");
}
