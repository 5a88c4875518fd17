//! Where a backup goes, in the words of the agent and in those of a status. Pure.

use api_types::backup::{BackupDestination, BackupEncryption, BackupMethod};
use api_types::{WorkflowBackup, WorkflowCluster, names};
use backup_format::{BackupId, Destination, MAX_SERVER_CHARS, PhysicalId};
use kube::ResourceExt as _;

/// Where the agent sees a volume.
pub const BACKUP_DIR: &str = "/backup";

/// Where a backup goes: its own destination, else the cluster's.
#[must_use]
pub fn destination_of(backup: &WorkflowBackup, cluster: &WorkflowCluster) -> Option<BackupDestination> {
    let of_cluster = || cluster.spec.backup.as_ref()?.destination.clone();
    backup.spec.destination.clone().or_else(of_cluster)
}

/// How a backup is made: by its own method, else by the cluster's.
#[must_use]
pub fn method_of(backup: &WorkflowBackup, cluster: &WorkflowCluster) -> BackupMethod {
    let of_cluster = || cluster.spec.backup.as_ref()?.method;
    backup.spec.method.or_else(of_cluster).unwrap_or_default()
}

/// How a backup of the cluster is encrypted.
#[must_use]
pub fn encryption_of(cluster: &WorkflowCluster) -> Option<BackupEncryption> {
    cluster.spec.backup.as_ref()?.encryption.clone()
}

/// The first characters of a uid, which distinguish objects of one name.
#[must_use]
pub fn short_uid(object: &impl kube::Resource<DynamicType = ()>) -> String {
    let uid = object.meta().uid.as_deref().unwrap_or_default();
    uid.chars().filter(char::is_ascii_alphanumeric).take(8).collect::<String>().to_lowercase()
}

/// Id of a backup at its destination: another one for another object of the same name.
#[must_use]
pub fn backup_id(backup: &WorkflowBackup) -> String {
    names::child(&backup.name_any(), &short_uid(backup))
}

/// The name under which the managed Postgres of a cluster archives its WAL: a folder at the destination. Another one for
/// another cluster of the same name, so that no archive is mixed with another.
#[must_use]
pub fn server_name(cluster: &WorkflowCluster) -> String {
    let (name, uid) = (cluster.name_any(), short_uid(cluster));
    let room = MAX_SERVER_CHARS.saturating_sub(uid.len() + 1);
    let head = name.get(..room).unwrap_or(&name).trim_end_matches('-');
    format!("{head}-{uid}")
}

/// The destination as the agent takes it. The folder of a volume is part of the mount, because Kubernetes makes that folder.
pub fn agent_destination(destination: &BackupDestination) -> Result<String, String> {
    let url = match (&destination.s3, &destination.volume) {
        (Some(s3), _) => match &s3.prefix {
            Some(prefix) => format!("s3://{}/{prefix}", s3.bucket),
            None => format!("s3://{}", s3.bucket),
        },
        (None, Some(_)) => format!("file://{BACKUP_DIR}"),
        (None, None) => return Err("the destination must have exactly one of s3 and volume".to_owned()),
    };
    url.parse::<Destination>().map(|_| url).map_err(|error| error.to_string())
}

/// The folder of a backup in one word: `s3://bucket/prefix/id` or `volume://claim/path/id`.
#[must_use]
pub fn location(destination: &BackupDestination, id: &str) -> String {
    if let Some(volume) = &destination.volume {
        let path = volume.path.as_ref().map(|path| format!("{path}/")).unwrap_or_default();
        return format!("volume://{}/{path}{id}", volume.claim_name);
    }
    let folder = agent_destination(destination).ok().and_then(|url| url.parse::<Destination>().ok());
    match (folder, id.parse::<PhysicalId>(), id.parse::<BackupId>()) {
        (Some(folder), Ok(id), _) => format!("{}/{}", folder.to_string().trim_end_matches('/'), id.folder()),
        (Some(folder), _, Ok(id)) => folder.of_backup(&id),
        _ => id.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use api_types::backup::{S3Destination, VolumeDestination};
    use rstest::rstest;

    use super::*;

    fn s3(prefix: Option<&str>) -> BackupDestination {
        let s3 = S3Destination {
            bucket: "backups".to_owned(),
            prefix: prefix.map(str::to_owned),
            ..S3Destination::default()
        };
        BackupDestination { s3: Some(s3), volume: None }
    }

    fn volume(path: Option<&str>) -> BackupDestination {
        let volume = VolumeDestination { claim_name: "claim".to_owned(), path: path.map(str::to_owned) };
        BackupDestination { s3: None, volume: Some(volume) }
    }

    #[rstest]
    #[case::bucket(s3(None), "s3://backups", "s3://backups/b1")]
    #[case::prefix(s3(Some("prod/eu")), "s3://backups/prod/eu", "s3://backups/prod/eu/b1")]
    #[case::volume(volume(None), "file:///backup", "volume://claim/b1")]
    #[case::folder(volume(Some("prod/eu")), "file:///backup", "volume://claim/prod/eu/b1")]
    fn destinations(
        #[case] destination: BackupDestination,
        #[case] for_agent: &str,
        #[case] for_status: &str,
    ) {
        assert_eq!(agent_destination(&destination).as_deref(), Ok(for_agent));
        assert_eq!(location(&destination, "b1"), for_status);
    }

    #[test]
    fn a_base_backup_is_in_the_archive_of_its_server() {
        let place = location(&s3(Some("prod")), "orders-1a2b3c4d-20261128t034314");
        assert_eq!(place, "s3://backups/prod/orders-1a2b3c4d/base/20261128T034314");
    }

    #[rstest]
    #[case::short("orders", "orders-1a2b3c4d")]
    #[case::longest(
        "orders-of-the-whole-company-in-the-east-x",
        "orders-of-the-whole-company-in-the-eas-1a2b3c4d"
    )]
    #[case::cut_after_a_dash(
        "orders-of-the-whole-company-in-the-ea-st",
        "orders-of-the-whole-company-in-the-ea-1a2b3c4d"
    )]
    fn a_server_is_named_after_the_cluster_and_its_uid(#[case] name: &str, #[case] expected: &str) {
        let cluster: WorkflowCluster = serde_json::from_value(serde_json::json!({
            "metadata": {"name": name, "uid": "1a2b3c4d-0000-4000-8000-000000000000"},
            "spec": {"version": "1.2.3", "postgres": {"managed": {}}},
        }))
        .unwrap();
        assert_eq!(server_name(&cluster), expected);
        assert!(PhysicalId::new(expected, "20261128T034314").is_some());
    }

    #[rstest]
    #[case::neither(BackupDestination::default(), "exactly one of s3 and volume")]
    #[case::upwards(s3(Some("a/../b")), "neither '.' nor '..'")]
    fn what_is_no_destination_says_why(#[case] destination: BackupDestination, #[case] expected: &str) {
        let why = agent_destination(&destination).unwrap_err();
        assert!(why.contains(expected), "{why}");
    }
}
