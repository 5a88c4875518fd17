//! The `Backup` by which CloudNativePG makes a base backup. It is made once and never changed.

use api_types::WorkflowBackup;
use api_types::cluster::{BARMAN_CLOUD, PostgresProvider};
use api_types::labels::{BACKUP, CLUSTER, Component, recommended};
use controller_kit::plan::build_owner_reference;
use kube::api::ObjectMeta;
use kube::{CustomResource, ResourceExt as _};
use serde::{Deserialize, Serialize};

use agent_jobs::destination::backup_id;

/// The fields of `Backup` that we mean.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "postgresql.cnpg.io",
    version = "v1",
    kind = "Backup",
    plural = "backups",
    namespaced,
    schema = "disabled",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct BackupSpec {
    cluster: Reference,
    method: String,
    plugin_configuration: Plugin,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Reference {
    name: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Plugin {
    name: String,
}

/// Its name.
#[must_use]
pub(crate) fn name(backup: &WorkflowBackup) -> String {
    backup_id(backup)
}

/// Builds it. It has none of the operator's data and goes with the WorkflowBackup.
#[must_use]
pub(crate) fn build(backup: &WorkflowBackup) -> Backup {
    let cluster = &backup.spec.cluster_ref.name;
    let mut labels = recommended(Component::Backup, cluster);
    labels.insert(CLUSTER.to_owned(), cluster.clone());
    labels.insert(BACKUP.to_owned(), backup.name_any());
    Backup {
        metadata: ObjectMeta {
            name: Some(name(backup)),
            namespace: backup.namespace(),
            labels: Some(labels),
            owner_references: Some(vec![build_owner_reference(backup)]),
            ..ObjectMeta::default()
        },
        spec: BackupSpec {
            cluster: Reference { name: PostgresProvider::CloudNativePg.object_name(cluster) },
            method: "plugin".to_owned(),
            plugin_configuration: Plugin { name: BARMAN_CLOUD.to_owned() },
        },
    }
}
