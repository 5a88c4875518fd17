//! Where backups are kept, and how they are encrypted.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::grammar;
use crate::schema::CelRule;

/// Key of the access key's id in the Secret that `credentialsSecret` names.
pub const S3_ACCESS_KEY_ID: &str = "accessKeyId";
/// Key of the access key's secret in the Secret that `credentialsSecret` names.
pub const S3_SECRET_ACCESS_KEY: &str = "secretAccessKey";
/// Optional key of the token of temporary credentials in the Secret that `credentialsSecret` names.
pub const S3_SESSION_TOKEN: &str = "sessionToken";
/// Key of the age recipient in the Secret that `recipientSecret` names.
pub const RECIPIENT_KEY: &str = "recipient";
/// Key of the age identity in the Secret that `identitySecret` names.
pub const IDENTITY_KEY: &str = "identity";

pub(crate) const DESTINATION_ONE_OF: CelRule =
    ("has(self.s3) != has(self.volume)", "destination must have exactly one of s3 and volume");
pub(crate) const PATH_INSIDE: CelRule =
    ("!self.split('/').exists(part, part == '..' || part == '.')", "a path must not have parts '.' and '..'");

/// Where backups are kept: exactly one member is set.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(validation = DESTINATION_ONE_OF)]
#[serde(rename_all = "camelCase")]
pub struct BackupDestination {
    /// A bucket of an S3 service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3Destination>,
    /// A PersistentVolumeClaim of this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<VolumeDestination>,
}

/// A bucket of an S3 service.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct S3Destination {
    /// Name of the bucket. It must exist.
    #[schemars(length(min = 3, max = grammar::BUCKET_MAX), regex(pattern = grammar::BUCKET))]
    pub bucket: String,
    /// What the names of all objects begin with, without `/` at either end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = grammar::STORAGE_PATH_MAX), regex(pattern = grammar::STORAGE_PATH))]
    #[x_kube(validation = PATH_INSIDE)]
    pub prefix: Option<String>,
    /// URL of the service, `https://…`; that of AWS in the region when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 9, max = grammar::HTTPS_URL_MAX), regex(pattern = grammar::HTTPS_URL))]
    pub endpoint: Option<String>,
    /// Region of the bucket, `us-east-1` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = grammar::DNS_LABEL_MAX), regex(pattern = grammar::DNS_LABEL))]
    pub region: Option<String>,
    /// The bucket is named in the path and not in the host, as most services that are not AWS want it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force_path_style: Option<bool>,
    /// Name of a Secret in this namespace with the keys `accessKeyId` and `secretAccessKey` (and optionally
    /// `sessionToken`). Left out: the identity of the pod's ServiceAccount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = grammar::DNS_SUBDOMAIN_MAX), regex(pattern = grammar::DNS_SUBDOMAIN))]
    pub credentials_secret: Option<String>,
    /// Name of a Secret in this namespace whose key `ca.crt` holds the certificates that are trusted beside the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = grammar::DNS_SUBDOMAIN_MAX), regex(pattern = grammar::DNS_SUBDOMAIN))]
    pub ca_secret: Option<String>,
}

/// A PersistentVolumeClaim.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeDestination {
    /// Name of a PersistentVolumeClaim in this namespace. It must exist.
    #[schemars(length(min = 1, max = grammar::DNS_SUBDOMAIN_MAX), regex(pattern = grammar::DNS_SUBDOMAIN))]
    pub claim_name: String,
    /// Folder in the volume, without `/` at either end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = grammar::STORAGE_PATH_MAX), regex(pattern = grammar::STORAGE_PATH))]
    #[x_kube(validation = PATH_INSIDE)]
    pub path: Option<String>,
}

/// Encryption of backups before they leave the pod, by age with an X25519 key pair.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupEncryption {
    /// Name of a Secret in this namespace whose key `recipient` holds the public key, `age1…`.
    #[schemars(length(min = 1, max = grammar::DNS_SUBDOMAIN_MAX), regex(pattern = grammar::DNS_SUBDOMAIN))]
    pub recipient_secret: String,
    /// Name of a Secret in this namespace whose key `identity` holds the private key, `AGE-SECRET-KEY-1…`. Only drills
    /// need it; keep it elsewhere otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = grammar::DNS_SUBDOMAIN_MAX), regex(pattern = grammar::DNS_SUBDOMAIN))]
    pub identity_secret: Option<String>,
}

/// How a backup is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(description = "")] // each field of this type has its own description
pub enum BackupMethod {
    /// `pg_dump` of the engine's schema, proved by digests of its rows. For any Postgres, and restored into any.
    #[default]
    Logical,
    /// A base backup by CloudNativePG, for a managed Postgres: restored into a managed Postgres, to any point in time since.
    #[serde(rename = "CloudNativePG")]
    CloudNativePg,
}
