//! What Jobs hand to the agent, read by the agent's own command line.

use std::collections::BTreeMap;

use api_types::backup::{BackupArtefact, WorkflowBackupStatus};
use backup_agent::args::{Cli, Command};
use clap::{CommandFactory as _, Parser as _};
use k8s_openapi::api::batch::v1::Job;
use rstest::rstest;

use super::{Order, Task, backup_job, delete_job, drill_job, inspect_job};
use crate::testing::{self, BACKUP, CLUSTER, MANAGED, VOLUME, settings, today};
use agent_jobs::destination::{backup_id, destination_of, encryption_of};

/// The Jobs of a backup, in the order of [`Task::ALL`].
fn jobs(cluster: &str, backup: &str) -> [Job; 3] {
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
    let settings = settings();
    let order = Order::of(&backup, None, &settings).unwrap();
    let postgres = cluster.spec.postgres.connection("dev", "acme").unwrap();
    let source = backup_job::Source {
        postgres: &postgres,
        engine_version: "1.2.3",
        owner: "installation/acme/dev",
        max_seconds: 600,
    };
    [
        backup_job::build(&order, &source),
        delete_job::build(&order, cluster.spec.backup.is_none()),
        drill_job::build(&order, today(), Some("identity"), 600),
    ]
}

/// The Job that looks whether a base backup is complete, and the one that deletes the last one of a cluster that is gone.
#[test]
fn the_agent_takes_what_jobs_of_base_backups_hand_over() {
    let mut backup = testing::backup(BACKUP);
    backup.status = Some(WorkflowBackupStatus {
        backup_id: Some("dev-c1c2c3c4-20261128t034314".to_owned()),
        artefact: Some(BackupArtefact {
            destination: destination_of(&backup, &testing::cluster(CLUSTER)).unwrap(),
            ..BackupArtefact::default()
        }),
        ..WorkflowBackupStatus::default()
    });
    let settings = settings();
    let order = Order::of(&backup, None, &settings).unwrap();
    let inspect = as_flags("inspect", &inspect_job::build(&order, "1.2.3"));
    match Cli::try_parse_from(inspect).unwrap().command {
        Command::Inspect(args) => assert_eq!(
            (args.storage.backup_id.as_str(), args.engine_version.as_str()),
            ("dev-c1c2c3c4-20261128t034314", "1.2.3")
        ),
        command => panic!("{command:?}"),
    }
    for is_gone in [false, true] {
        match Cli::try_parse_from(as_flags("delete", &delete_job::build(&order, is_gone))).unwrap().command {
            Command::Delete(args) => assert_eq!(args.server_is_gone, is_gone),
            command => panic!("{command:?}"),
        }
    }
}

/// The variables of a Job as the flags that the agent reads them into; each must be one that its command has.
fn as_flags(command: &str, job: &Job) -> Vec<String> {
    let cli = Cli::command();
    let known: BTreeMap<_, _> = cli
        .find_subcommand(command)
        .unwrap()
        .get_arguments()
        .chain(cli.get_arguments())
        .filter_map(|argument| Some((argument.get_env()?.to_str()?.to_owned(), argument)))
        .collect();
    let pod = job.spec.clone().unwrap().template.spec.unwrap();
    let mut flags = vec!["backup-agent".to_owned(), command.to_owned()];
    for variable in pod.containers[0].env.clone().unwrap() {
        let argument = known.get(&variable.name).unwrap_or_else(|| panic!("{command}: {}", variable.name));
        let flag = format!("--{}", argument.get_long().unwrap());
        let takes_value = argument.get_action().takes_values();
        let value = variable.value.unwrap_or_else(|| "from-the-secret".to_owned());
        if takes_value {
            flags.extend([flag, value]);
        } else {
            assert_eq!(value, "true");
            flags.push(flag);
        }
    }
    flags
}

#[rstest]
#[case::s3(CLUSTER, BACKUP)]
#[case::volume(MANAGED, VOLUME)]
fn the_agent_takes_what_jobs_hand_over(#[case] cluster: &str, #[case] backup: &str) {
    for (task, job) in Task::ALL.into_iter().zip(jobs(cluster, backup)) {
        let cli = Cli::try_parse_from(as_flags(task.as_str(), &job))
            .unwrap_or_else(|error| panic!("{task:?}: {error}"));
        assert!(cli.result_file.is_some());
        match (task, cli.command) {
            (Task::Backup, Command::Backup(args)) => {
                assert_eq!((args.max_seconds, args.owner.as_str()), (600, "installation/acme/dev"));
                assert_eq!(args.database.ssl_mode.as_str(), "verify-full");
                assert_eq!(args.recipient_file.is_some(), cluster == CLUSTER);
            }
            (Task::Delete, Command::Delete(args)) => {
                assert_eq!(args.storage.backup_id, "nightly-b1b2b3b4");
            }
            (Task::Drill, Command::Drill(args)) => {
                assert_eq!((args.max_seconds, args.identity_file.is_some()), (600, cluster == CLUSTER));
            }
            (task, command) => panic!("{task:?} runs {command:?}"),
        }
    }
}
