//! Objects and a whole world for this crate's tests.

pub(crate) mod world;

use agent_jobs::pod::AgentImage;
use api_types::{WorkflowBackup, WorkflowCluster};
use backup_format::{BackupReport, BaseReport, DrillReport, Totals};
use jiff::Timestamp;

use crate::args::Settings;

pub(crate) const CLUSTER: &str = include_str!("../testdata/cluster.yaml");
pub(crate) const MANAGED: &str = include_str!("../testdata/managed.yaml");
pub(crate) const ARCHIVED: &str = include_str!("../testdata/archived.yaml");
pub(crate) const BACKUP: &str = include_str!("../testdata/backup.yaml");
pub(crate) const VOLUME: &str = include_str!("../testdata/volume.yaml");

/// The day on which the tests happen.
pub(crate) fn today() -> Timestamp {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

pub(crate) fn cluster(yaml: &str) -> WorkflowCluster {
    serde_saphyr::from_str(yaml).unwrap()
}

pub(crate) fn backup(yaml: &str) -> WorkflowBackup {
    serde_saphyr::from_str(yaml).unwrap()
}

pub(crate) fn settings() -> Settings {
    Settings {
        agent: AgentImage {
            reference: "registry.example/backup-agent:1.0.0".to_owned(),
            pull_policy: "IfNotPresent".to_owned(),
            pull_secrets: Vec::new(),
        },
    }
}

fn totals() -> Totals {
    Totals { definitions: 2, active_instances: 30, jobs: 12, leased_jobs: 3, rows: 400 }
}

/// What the agent says of a backup that it made.
pub(crate) fn report(id: &str, now: Timestamp) -> BackupReport {
    BackupReport {
        backup_id: id.parse().unwrap(),
        location: format!("s3://backups/prod/{id}"),
        size_bytes: 123_456,
        started_at: now,
        snapshot_at: now,
        completed_at: now,
        engine_version: "1.2.3".to_owned(),
        schema_version: 7,
        digest: "ab".repeat(32),
        totals: totals(),
        encrypted: false,
        existed: false,
    }
}

/// What the agent says of a base backup that it found.
pub(crate) fn base_report(id: &str, now: Timestamp) -> BaseReport {
    BaseReport {
        backup_id: id.parse().unwrap(),
        location: format!("s3://backups/prod/{id}"),
        size_bytes: 654_321,
        started_at: now,
        completed_at: now,
        engine_version: "1.2.3".to_owned(),
    }
}

/// What the agent says of a drill.
pub(crate) fn drill_report(id: &str, now: Timestamp) -> DrillReport {
    DrillReport {
        backup_id: id.parse().unwrap(),
        drilled_at: now,
        seconds: 42,
        digest: "ab".repeat(32),
        totals: totals(),
    }
}
