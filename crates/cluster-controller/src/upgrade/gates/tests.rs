use api_types::WorkflowCluster;
use api_types::cluster::{Finalize, MaintenanceWindow, Upgrade, UpgradeGateName as Name};
use api_types::labels::{BACKUP_BEFORE_UPGRADE, BACKUP_COMPLETED, FINALIZE_UPGRADE};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use rstest::rstest;
use serde_json::json;

use super::*;
use crate::observe::backups::Backups;
use crate::observe::obstacles::{FailedCreate, PodOwner};
use crate::observe::pods::PodHealth;
use crate::testing::{days, minimal, nothing, pod, settled_set, today, unreachable, with_input, with_set};

const HASH: &str = "0123456789abcdef";

type Change = fn(&mut WorkflowCluster, &mut Observed);

fn untouched(_: &mut WorkflowCluster, _: &mut Observed) {}

fn window_at(start: &str) -> Upgrade {
    let window =
        MaintenanceWindow { start: start.to_owned(), duration_minutes: 60, ..MaintenanceWindow::default() };
    Upgrade { maintenance_windows: vec![window], ..Upgrade::default() }
}

fn outside_of_its_window(cluster: &mut WorkflowCluster, _: &mut Observed) {
    cluster.spec.upgrade = Some(window_at("02:00"));
}

fn inside_of_its_window(cluster: &mut WorkflowCluster, _: &mut Observed) {
    cluster.spec.upgrade = Some(window_at("12:00"));
}

fn without_database(_: &mut WorkflowCluster, observed: &mut Observed) {
    observed.postgres = unreachable();
}

fn pod_starts(_: &mut WorkflowCluster, observed: &mut Observed) {
    observed.pods = vec![pod(0, "old", true), pod(1, "old", false)];
}

fn pod_ends(_: &mut WorkflowCluster, observed: &mut Observed) {
    observed.pods = vec![pod(0, "old", true)];
    observed.pods[0].terminating = true;
}

fn stopped_while_pods_end(cluster: &mut WorkflowCluster, observed: &mut Observed) {
    cluster.spec.stopped = Some(true);
    pod_ends(cluster, observed);
}

fn pod_is_broken(_: &mut WorkflowCluster, observed: &mut Observed) {
    observed.pods = vec![pod(0, "old", false)];
    observed.pods[0].problem = Some("CrashLoopBackOff".to_owned());
}

fn pod_fits_on_no_node(_: &mut WorkflowCluster, observed: &mut Observed) {
    observed.pods = vec![pod(0, "old", false)];
    observed.pods[0].problem = Some("Unschedulable".to_owned());
}

fn pod_fits_on_no_node_for_long(cluster: &mut WorkflowCluster, observed: &mut Observed) {
    pod_fits_on_no_node(cluster, observed);
    observed.pods[0].health = PodHealth::Unready { since: Some(today() - days(1)) };
}

fn pod_is_missing(_: &mut WorkflowCluster, observed: &mut Observed) {
    let three = minimal(|cluster| cluster.spec.replicas = 3);
    observed.children = with_set(settled_set(&three, "1.2.3"));
    observed.pods = vec![pod(0, "new", true), pod(2, "new", true)];
}

fn pod_is_refused(cluster: &mut WorkflowCluster, observed: &mut Observed) {
    pod_is_missing(cluster, observed);
    let [namespace, name, cause] = ["acme", "dev-engine", "quota pods is exhausted"].map(str::to_owned);
    observed.obstacles.failed_creates =
        vec![FailedCreate { owner: PodOwner::StatefulSet, namespace, name, cause }];
}

fn pod_is_unready_for_long(_: &mut WorkflowCluster, observed: &mut Observed) {
    observed.pods = vec![pod(0, "old", false)];
    observed.pods[0].health = PodHealth::Unready { since: Some(today() - days(1)) };
}

fn annotate(cluster: &mut WorkflowCluster, annotations: &[(&str, &str)]) {
    let known = cluster.metadata.annotations.get_or_insert_default();
    known.extend(annotations.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
}

fn backup_asked_for(cluster: &mut WorkflowCluster, _: &mut Observed) {
    annotate(cluster, &[(BACKUP_BEFORE_UPGRADE, "true")]);
}

fn backup_of_another_plan(cluster: &mut WorkflowCluster, _: &mut Observed) {
    annotate(cluster, &[(BACKUP_BEFORE_UPGRADE, "true"), (BACKUP_COMPLETED, "fedcba9876543210")]);
}

fn backup_made(cluster: &mut WorkflowCluster, _: &mut Observed) {
    annotate(cluster, &[(BACKUP_BEFORE_UPGRADE, "true"), (BACKUP_COMPLETED, HASH)]);
}

fn by_hand(cluster: &mut WorkflowCluster, _: &mut Observed) {
    cluster.spec.upgrade = Some(Upgrade { finalize: Some(Finalize::Manual), ..Upgrade::default() });
}

fn by_hand_and_agreed(cluster: &mut WorkflowCluster, observed: &mut Observed) {
    by_hand(cluster, observed);
    annotate(cluster, &[(FINALIZE_UPGRADE, "1.2.3")]);
}

fn unconfirmed(_: &mut WorkflowCluster, observed: &mut Observed) {
    observed.unconfirmed = vec!["acme/order-flow".to_owned(), "acme/refund".to_owned()];
}

fn unconfirmed_and_stopped(cluster: &mut WorkflowCluster, observed: &mut Observed) {
    cluster.spec.stopped = Some(true);
    unconfirmed(cluster, observed);
}

fn gate(stage: UpgradeStage, change: Change, minutes: i64) -> Option<(Name, String)> {
    let mut observed = nothing();
    let cluster = minimal(|cluster| change(cluster, &mut observed));
    let since = today() - jiff::SignedDuration::from_mins(minutes);
    let record = UpgradeStatus {
        stage,
        from: Some("1.2.2".to_owned()),
        to: Some("1.2.3".to_owned()),
        stage_since: Some(Time(since)),
        ..UpgradeStatus::default()
    };
    let migration = Migration::Unknown;
    let closed = with_input(&cluster, |input| {
        closed_gate(&Scene {
            input,
            observed: &observed,
            migration: &migration,
            record: &record,
            plan_hash: HASH,
            now: today(),
        })
    });
    closed.map(|gate| (gate.name, gate.opens_when))
}

const WINDOW: &str = "the maintenance window opens at 2026-06-02T02:00:00Z";
/// Its own backups, where the cluster has a destination for them.
fn backups(cluster: &mut WorkflowCluster, observed: &mut Observed, phase: Option<&str>) {
    annotate(cluster, &[(BACKUP_BEFORE_UPGRADE, "true")]);
    cluster.spec.backup =
        serde_json::from_value(json!({"destination": {"volume": {"claimName": "backups"}}})).unwrap();
    let backup = phase.map(|phase| {
        serde_json::from_value(json!({
            "metadata": {"name": "dev-before", "annotations": {"workflow.example.com/plan-hash": HASH}},
            "spec": {"clusterRef": {"name": "dev"}},
            "status": {"phase": phase, "message": "the bucket does not exist"},
        }))
        .unwrap()
    });
    observed.backups = Backups::of(backup.into_iter().collect());
}

fn own_backup_missing(cluster: &mut WorkflowCluster, observed: &mut Observed) {
    backups(cluster, observed, None);
}

fn own_backup_running(cluster: &mut WorkflowCluster, observed: &mut Observed) {
    backups(cluster, observed, Some("Running"));
}

/// One of the schedule, of no plan.
fn backup_at_work(cluster: &mut WorkflowCluster, observed: &mut Observed) {
    backups(cluster, observed, Some("Running"));
    cluster.metadata.annotations = None;
}

fn own_backup_failed(cluster: &mut WorkflowCluster, observed: &mut Observed) {
    backups(cluster, observed, Some("Failed"));
}

fn own_backup_complete(cluster: &mut WorkflowCluster, observed: &mut Observed) {
    backups(cluster, observed, Some("Completed"));
}

const OWN_BACKUP_FAILED: &str = "WorkflowBackup dev-before is deleted, which makes another one, or the upgrade is called off; it failed: the bucket does not exist";
const BACKUP: &str = "a backup is made and the WorkflowCluster is annotated with workflow.example.com/backup-completed=0123456789abcdef";

#[rstest]
#[case(UpgradeStage::Preflight, untouched, None)]
#[case(UpgradeStage::Preflight, without_database,
    Some((Name::Database, "the database can be used: connection refused (postgres:5432)")))]
#[case(UpgradeStage::Preflight, pod_starts, Some((Name::EnginePods, "engine pod dev-engine-1 is ready")))]
#[case(UpgradeStage::Preflight, pod_ends, Some((Name::EnginePods, "engine pod dev-engine-0 has ended")))]
#[case(UpgradeStage::Preflight, pod_is_broken, None)]
#[case(UpgradeStage::Preflight, pod_is_unready_for_long, None)]
#[case(UpgradeStage::Preflight, pod_fits_on_no_node, Some((Name::EnginePods, "engine pod dev-engine-0 is ready")))]
#[case(UpgradeStage::Preflight, pod_fits_on_no_node_for_long, None)]
#[case(UpgradeStage::Rolling, pod_is_missing, Some((Name::EnginePods, "engine pod dev-engine-1 is made")))]
#[case(UpgradeStage::Rolling, pod_is_refused, None)]
#[case(UpgradeStage::Preflight, outside_of_its_window, None)]
#[case(UpgradeStage::Planned, outside_of_its_window, Some((Name::MaintenanceWindow, WINDOW)))]
#[case(UpgradeStage::Planned, inside_of_its_window, None)]
#[case(UpgradeStage::BackingUp, backup_asked_for, Some((Name::Backup, BACKUP)))]
#[case(UpgradeStage::BackingUp, backup_of_another_plan, Some((Name::Backup, BACKUP)))]
#[case(UpgradeStage::BackingUp, backup_made, None)]
#[case(UpgradeStage::BackingUp, own_backup_missing, Some((Name::Backup, "a WorkflowBackup is complete")))]
#[case(UpgradeStage::BackingUp, own_backup_running, Some((Name::Backup, "WorkflowBackup dev-before is complete")))]
#[case(UpgradeStage::BackingUp, own_backup_failed, Some((Name::Backup, OWN_BACKUP_FAILED)))]
#[case(UpgradeStage::BackingUp, own_backup_complete, None)]
#[case(UpgradeStage::Planned, backup_at_work, Some((Name::Backup, "WorkflowBackup dev-before has ended")))]
#[case(UpgradeStage::BackingUp, backup_at_work, Some((Name::Backup, "WorkflowBackup dev-before has ended")))]
#[case(UpgradeStage::Soaking, backup_at_work, Some((Name::Backup, "WorkflowBackup dev-before has ended")))]
#[case(UpgradeStage::Canary, backup_at_work, None)]
#[case(UpgradeStage::BackingUp, untouched, None)]
#[case(UpgradeStage::Expanding, outside_of_its_window, None)]
#[case(UpgradeStage::Canary, outside_of_its_window, Some((Name::MaintenanceWindow, WINDOW)))]
#[case(UpgradeStage::Rolling, outside_of_its_window, Some((Name::MaintenanceWindow, WINDOW)))]
#[case(UpgradeStage::Rolling, pod_starts, Some((Name::EnginePods, "engine pod dev-engine-1 is ready")))]
#[case(UpgradeStage::Preflight, stopped_while_pods_end, None)]
#[case(UpgradeStage::Canary, stopped_while_pods_end, Some((Name::EnginePods, "the engine is started")))]
#[case(UpgradeStage::Soaking, outside_of_its_window, Some((Name::MaintenanceWindow, WINDOW)))]
#[case(UpgradeStage::Soaking, by_hand,
    Some((Name::Finalize, "a person annotates the WorkflowCluster with workflow.example.com/finalize-upgrade=1.2.3")))]
#[case(UpgradeStage::Soaking, by_hand_and_agreed, None)]
#[case(UpgradeStage::Contracting, outside_of_its_window, None)]
#[case(UpgradeStage::Verifying, unconfirmed,
    Some((Name::Definitions, "WorkflowProcesses confirmed their definitions: acme/order-flow, acme/refund")))]
#[case(UpgradeStage::Verifying, unconfirmed_and_stopped, None)]
#[case(UpgradeStage::RollingBack, outside_of_its_window, None)]
#[case(UpgradeStage::RollingBack, pod_ends, None)]
fn a_stage_is_held_by(
    #[case] stage: UpgradeStage,
    #[case] change: Change,
    #[case] expected: Option<(Name, &str)>,
) {
    assert_eq!(gate(stage, change, 1), expected.map(|(name, opens_when)| (name, opens_when.to_owned())));
}

/// One that cannot be confirmed says itself why; the upgrade does not wait for it for ever.
#[test]
fn definitions_are_waited_for_five_minutes() {
    assert!(gate(UpgradeStage::Verifying, unconfirmed, 4).is_some());
    assert_eq!(gate(UpgradeStage::Verifying, unconfirmed, 5), None);
}
