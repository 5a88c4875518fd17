//! What a pod of the agent mounts, and the variables that say where. Credentials are files, never variables.

use api_types::backup::{
    BackupDestination, IDENTITY_KEY, RECIPIENT_KEY, S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY, S3_SESSION_TOKEN,
    S3Destination,
};
use api_types::cluster::{
    CA_SECRET_KEY, DATABASE_SECRET_DATABASE, DATABASE_SECRET_PASSWORD, DATABASE_SECRET_USERNAME,
    ExternalPostgres,
};
use k8s_openapi::api::core::v1::{
    EnvVar, EnvVarSource, KeyToPath, PersistentVolumeClaimVolumeSource, ProjectedVolumeSource,
    SecretKeySelector, SecretProjection, SecretVolumeSource, Volume, VolumeMount, VolumeProjection,
};

use crate::destination::BACKUP_DIR;

/// Volume of the database's login.
pub const DATABASE: &str = "database";
/// Volume of the authorities that the database's certificate is checked with.
pub const DATABASE_CA: &str = "database-ca";
/// Volume of the access key of S3.
pub const S3_CREDENTIALS: &str = "s3-credentials";
/// Volume of the authorities that are trusted for S3.
pub const S3_CA: &str = "s3-ca";
/// Volume of the key that encrypts.
pub const RECIPIENT: &str = "recipient";
/// Volume of the key that decrypts.
pub const IDENTITY: &str = "identity";
/// Volume that backups are kept in.
pub const BACKUPS: &str = "backups";

const CONFIG_DIR: &str = "/etc/workflow";
/// For the group of the pod alone.
const SECRET_MODE: i32 = 0o440;

/// A part of a pod: variables, and what they point to.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// Variables of the container.
    pub env: Vec<EnvVar>,
    /// Volumes of the pod.
    pub volumes: Vec<Volume>,
    /// Where the container sees them.
    pub mounts: Vec<VolumeMount>,
}

impl Parts {
    /// This part and another one.
    #[must_use]
    pub fn with(mut self, other: Self) -> Self {
        self.env.extend(other.env);
        self.volumes.extend(other.volumes);
        self.mounts.extend(other.mounts);
        self
    }

    /// This part and a variable.
    #[must_use]
    pub fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.env.push(variable(name, value));
        self
    }

    fn add_secret(&mut self, volume: &str, secret: &str, keys: &[(&str, &str)]) {
        let source = SecretVolumeSource {
            secret_name: Some(secret.to_owned()),
            items: Some(keys.iter().map(|(key, _)| item(key)).collect()),
            default_mode: Some(SECRET_MODE),
            optional: Some(false),
        };
        self.volumes.push(Volume { name: volume.to_owned(), secret: Some(source), ..Volume::default() });
        self.add_files(volume, keys);
    }

    /// Mounts the volume, and has each variable name the file of its key.
    fn add_files(&mut self, volume: &str, keys: &[(&str, &str)]) {
        let folder = format!("{CONFIG_DIR}/{volume}");
        for (key, name) in keys {
            self.env.push(variable(name, &format!("{folder}/{key}")));
        }
        self.mounts.push(VolumeMount {
            name: volume.to_owned(),
            mount_path: folder,
            read_only: Some(true),
            ..VolumeMount::default()
        });
    }
}

/// How the agent reaches the database.
#[must_use]
pub fn build_database(postgres: &ExternalPostgres) -> Parts {
    let mut parts = Parts {
        env: vec![
            variable("WORKFLOW_DATABASE_HOST", &postgres.host),
            variable("WORKFLOW_DATABASE_PORT", &postgres.port().to_string()),
            variable("WORKFLOW_DATABASE_SSL_MODE", postgres.ssl_mode().as_str()),
            build_database_name(postgres),
        ],
        ..Parts::default()
    };
    parts.add_secret(
        DATABASE,
        &postgres.database_secret,
        &[
            (DATABASE_SECRET_USERNAME, "WORKFLOW_DATABASE_USER_FILE"),
            (DATABASE_SECRET_PASSWORD, "WORKFLOW_DATABASE_PASSWORD_FILE"),
        ],
    );
    if let Some(ca_secret) = &postgres.ca_secret {
        parts.add_secret(DATABASE_CA, ca_secret, &[(CA_SECRET_KEY, "WORKFLOW_DATABASE_CA_FILE")]);
    }
    parts
}

/// The spec's, else the Secret's. The kubelet leaves the variable out when the Secret has no such key: then the agent takes
/// its default, which is the engine's.
fn build_database_name(postgres: &ExternalPostgres) -> EnvVar {
    let name = "WORKFLOW_DATABASE_NAME";
    if let Some(database) = &postgres.database {
        return variable(name, database);
    }
    let key = SecretKeySelector {
        name: postgres.database_secret.clone(),
        key: DATABASE_SECRET_DATABASE.to_owned(),
        optional: Some(true),
    };
    let source = EnvVarSource { secret_key_ref: Some(key), ..EnvVarSource::default() };
    EnvVar { name: name.to_owned(), value: None, value_from: Some(source) }
}

/// How the agent reaches the destination, and which backup there it is about. `url` is the destination as the agent takes it.
#[must_use]
pub fn build_storage(backup_id: &str, url: &str, destination: &BackupDestination) -> Parts {
    let parts = Parts::default()
        .with_variable("WORKFLOW_BACKUP_ID", backup_id)
        .with_variable("WORKFLOW_BACKUP_DESTINATION", url);
    let BackupDestination { s3, volume } = destination;
    match (s3, volume) {
        (Some(s3), _) => parts.with(build_s3(s3)),
        (None, Some(volume)) => {
            let claim =
                PersistentVolumeClaimVolumeSource { claim_name: volume.claim_name.clone(), read_only: None };
            let source = Volume {
                name: BACKUPS.to_owned(),
                persistent_volume_claim: Some(claim),
                ..Volume::default()
            };
            let mount = VolumeMount {
                name: BACKUPS.to_owned(),
                mount_path: BACKUP_DIR.to_owned(),
                // Kubernetes makes the folder when the volume does not have it.
                sub_path: volume.path.clone(),
                ..VolumeMount::default()
            };
            parts.with(Parts { env: Vec::new(), volumes: vec![source], mounts: vec![mount] })
        }
        (None, None) => parts,
    }
}

fn build_s3(s3: &S3Destination) -> Parts {
    let mut parts = Parts::default();
    if let Some(endpoint) = &s3.endpoint {
        parts = parts.with_variable("WORKFLOW_BACKUP_S3_ENDPOINT", endpoint);
    }
    if let Some(region) = &s3.region {
        parts = parts.with_variable("WORKFLOW_BACKUP_S3_REGION", region);
    }
    if s3.force_path_style == Some(true) {
        parts = parts.with_variable("WORKFLOW_BACKUP_S3_FORCE_PATH_STYLE", "true");
    }
    if let Some(secret) = &s3.credentials_secret {
        parts.volumes.push(build_credentials(secret));
        parts.add_files(
            S3_CREDENTIALS,
            &[
                (S3_ACCESS_KEY_ID, "WORKFLOW_BACKUP_S3_ACCESS_KEY_ID_FILE"),
                (S3_SECRET_ACCESS_KEY, "WORKFLOW_BACKUP_S3_SECRET_ACCESS_KEY_FILE"),
                // The agent does without it when the file is not there.
                (S3_SESSION_TOKEN, "WORKFLOW_BACKUP_S3_SESSION_TOKEN_FILE"),
            ],
        );
    }
    if let Some(secret) = &s3.ca_secret {
        parts.add_secret(S3_CA, secret, &[(CA_SECRET_KEY, "WORKFLOW_BACKUP_S3_CA_FILE")]);
    }
    parts
}

/// Two sources of one Secret: a key of it may be absent only where the whole source may.
fn build_credentials(secret: &str) -> Volume {
    let source = |keys: &[&str], optional| VolumeProjection {
        secret: Some(SecretProjection {
            name: secret.to_owned(),
            items: Some(keys.iter().map(|key| item(key)).collect()),
            optional: Some(optional),
        }),
        ..VolumeProjection::default()
    };
    Volume {
        name: S3_CREDENTIALS.to_owned(),
        projected: Some(ProjectedVolumeSource {
            default_mode: Some(SECRET_MODE),
            sources: Some(vec![
                source(&[S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY], false),
                source(&[S3_SESSION_TOKEN], true),
            ]),
        }),
        ..Volume::default()
    }
}

/// The key that a backup is encrypted with.
#[must_use]
pub fn build_recipient(secret: &str) -> Parts {
    let mut parts = Parts::default();
    parts.add_secret(RECIPIENT, secret, &[(RECIPIENT_KEY, "WORKFLOW_BACKUP_RECIPIENT_FILE")]);
    parts
}

/// The key that a backup is decrypted with.
#[must_use]
pub fn build_identity(secret: &str) -> Parts {
    let mut parts = Parts::default();
    parts.add_secret(IDENTITY, secret, &[(IDENTITY_KEY, "WORKFLOW_BACKUP_IDENTITY_FILE")]);
    parts
}

/// A plain variable.
#[must_use]
pub fn variable(name: &str, value: &str) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value.to_owned()), value_from: None }
}

fn item(key: &str) -> KeyToPath {
    KeyToPath { key: key.to_owned(), path: key.to_owned(), mode: None }
}

/// What a volume needs, in words: which Secret with which keys, or which PersistentVolumeClaim.
#[must_use]
pub fn describe(volume: &Volume, namespace: &str) -> String {
    let keys =
        |items: &[KeyToPath]| items.iter().map(|item| item.key.as_str()).collect::<Vec<_>>().join(" and ");
    if let Some(secret) = &volume.secret {
        let name = secret.secret_name.as_deref().unwrap_or_default();
        let keys = keys(secret.items.as_deref().unwrap_or_default());
        return format!("Secret {namespace}/{name} with {keys}");
    }
    let projected = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
    let needed = projected.filter_map(|source| source.secret.as_ref()).find(|it| it.optional != Some(true));
    if let Some(secret) = needed {
        let keys = keys(secret.items.as_deref().unwrap_or_default());
        return format!("Secret {namespace}/{} with {keys}", secret.name);
    }
    match &volume.persistent_volume_claim {
        Some(claim) => format!("PersistentVolumeClaim {namespace}/{}", claim.claim_name),
        None => format!("volume {}", volume.name),
    }
}
