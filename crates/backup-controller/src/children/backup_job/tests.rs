//! The Jobs as they are applied.

use api_types::backup::{BackupArtefact, WorkflowBackupStatus};
use api_types::labels::Component;
use serde_json::{Value, json};

use super::*;
use crate::children::{delete_job, drill_job};
use crate::testing::{self, BACKUP, CLUSTER, MANAGED, VOLUME, settings, today};
use agent_jobs::destination::{backup_id, destination_of, encryption_of};

/// A backup that was begun, of this cluster.
fn begun(cluster: &str, backup: &str) -> (api_types::WorkflowCluster, WorkflowBackup) {
    let (cluster, mut backup) = (testing::cluster(cluster), testing::backup(backup));
    backup.status = Some(WorkflowBackupStatus {
        backup_id: Some(backup_id(&backup)),
        artefact: Some(BackupArtefact {
            destination: destination_of(&backup, &cluster).unwrap(),
            encryption: encryption_of(&cluster),
            ..BackupArtefact::default()
        }),
        ..WorkflowBackupStatus::default()
    });
    (cluster, backup)
}

fn built(cluster: &str, backup: &str) -> Value {
    let (cluster, backup) = begun(cluster, backup);
    let settings = settings();
    let order = Order::of(&backup, cluster.spec.scheduling.as_ref(), &settings).unwrap();
    let postgres = cluster.spec.postgres.connection("dev", "acme").unwrap();
    let source = Source {
        postgres: &postgres,
        engine_version: "1.2.3",
        owner: "installation/acme/dev",
        max_seconds: cluster.spec.backup.clone().unwrap_or_default().max_seconds(),
    };
    json!(build(&order, &source))
}

#[test]
fn everything_that_the_agent_needs_is_in_files_and_variables() {
    insta::assert_yaml_snapshot!("s3", built(CLUSTER, BACKUP));
}

#[test]
fn a_managed_database_and_a_volume() {
    insta::assert_yaml_snapshot!("volume", built(MANAGED, VOLUME)["spec"]["template"]["spec"]);
}

#[test]
fn no_secret_is_a_variable_or_an_argument() {
    for job in [built(CLUSTER, BACKUP), built(MANAGED, VOLUME)] {
        let container = &job["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["args"], json!(["backup"]));
        for variable in container["env"].as_array().unwrap() {
            let from_secret = &variable["valueFrom"]["secretKeyRef"]["key"];
            assert!(from_secret.is_null() || from_secret == "dbname", "{variable}");
        }
    }
}

#[test]
fn the_time_of_a_job_is_that_of_the_snapshot_and_some_more() {
    assert_eq!(built(CLUSTER, BACKUP)["spec"]["activeDeadlineSeconds"], json!(1200 + 900));
    assert_eq!(built(MANAGED, VOLUME)["spec"]["activeDeadlineSeconds"], json!(3600 + 900));
}

#[test]
fn what_deletes_needs_no_database_and_no_key() {
    let (_, backup) = begun(CLUSTER, BACKUP);
    let settings = settings();
    let order = Order::of(&backup, None, &settings).unwrap();
    let job = json!(delete_job::build(&order, false));
    let volumes = job["spec"]["template"]["spec"]["volumes"].as_array().unwrap().clone();
    let names: Vec<_> = volumes.iter().map(|volume| volume["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["s3-credentials", "s3-ca", "scratch"]);
    // Also what would fail again is tried again: the Secret may be corrected meanwhile.
    assert_eq!(job["spec"]["podFailurePolicy"]["rules"].as_array().unwrap().len(), 1);
    assert_eq!(job["metadata"]["labels"]["app.kubernetes.io/component"], Component::Backup.as_str());
}

#[test]
fn a_drill_has_the_key_that_decrypts_only_when_there_is_something_to_decrypt() {
    for (cluster, expected) in [(CLUSTER, true), (MANAGED, false)] {
        let (_, backup) = begun(cluster, BACKUP);
        let settings = settings();
        let order = Order::of(&backup, None, &settings).unwrap();
        let job = json!(drill_job::build(&order, today(), Some("identity"), 600));
        let volumes = job["spec"]["template"]["spec"]["volumes"].as_array().unwrap();
        assert_eq!(volumes.iter().any(|volume| volume["name"] == "identity"), expected, "{cluster}");
        assert_eq!(job["metadata"]["name"], "nightly-drill-202606011200");
        assert!(volumes.iter().all(|volume| volume["name"] != "database"));
    }
}

#[test]
fn a_backup_that_was_not_begun_gets_no_job() {
    assert!(Order::of(&testing::backup(BACKUP), None, &settings()).is_none());
}
