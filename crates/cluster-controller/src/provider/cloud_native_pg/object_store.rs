//! The plugin Barman Cloud: `ObjectStore`s of `barmancloud.cnpg.io/v1`, and how a `Cluster` names them.

use std::collections::BTreeMap;

use agent_jobs::destination::server_name;
use api_types::backup::{S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY, S3Destination};
use api_types::cluster::{BARMAN_CLOUD, CA_SECRET_KEY, DEFAULT_DATABASE};
use controller_kit::plan::Desired;
use k8s_openapi::api::core::v1::EnvVar;
use kube::CustomResource;
use kube::api::ObjectMeta;
use serde::{Deserialize, Serialize};

use crate::provider::Order;
use crate::provider::archive::Origin;

/// Name of the external cluster that a recovery names.
const SOURCE: &str = "origin";

/// The fields of `ObjectStore` that we mean.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "barmancloud.cnpg.io",
    version = "v1",
    kind = "ObjectStore",
    plural = "objectstores",
    namespaced,
    schema = "disabled",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ObjectStoreSpec {
    configuration: Configuration,
    instance_sidecar_configuration: Sidecar,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Configuration {
    destination_path: String,
    #[serde(rename = "endpointURL", skip_serializing_if = "Option::is_none")]
    endpoint_url: Option<String>,
    #[serde(rename = "endpointCA", skip_serializing_if = "Option::is_none")]
    endpoint_ca: Option<KeyOfSecret>,
    s3_credentials: Credentials,
    wal: Compressed,
    data: Compressed,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Credentials {
    #[serde(skip_serializing_if = "Option::is_none")]
    access_key_id: Option<KeyOfSecret>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_access_key: Option<KeyOfSecret>,
    #[serde(rename = "inheritFromIAMRole", skip_serializing_if = "std::ops::Not::not")]
    inherit_from_iam_role: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct KeyOfSecret {
    name: String,
    key: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Compressed {
    compression: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Sidecar {
    env: Vec<EnvVar>,
}

/// What a `Cluster` says of the plugin.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Plugin {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    enabled: Option<bool>,
    #[serde(rename = "isWALArchiver", skip_serializing_if = "Option::is_none")]
    is_wal_archiver: Option<bool>,
    parameters: BTreeMap<String, String>,
}

/// Another Postgres, of which only the archive is there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct ExternalCluster {
    name: String,
    plugin: Plugin,
}

/// How a `Cluster` begins with a base backup. User and database are those of every managed Postgres; the user gets a new
/// password.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Recovery {
    source: String,
    database: String,
    owner: String,
    #[serde(rename = "recoveryTarget")]
    target: RecoveryTarget,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RecoveryTarget {
    #[serde(rename = "backupID")]
    backup_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_immediate: Option<bool>,
}

/// Names of the store of the archive, and of that of the base backup.
pub(super) fn names(object: &str) -> [String; 2] {
    [object.to_owned(), format!("{object}-origin")]
}

/// The stores that an order needs.
pub(super) fn build_all(order: &Order<'_>, object: &str) -> Vec<Desired> {
    let [archive, origin] = names(object);
    let of_archive =
        order.cluster.spec.wal_archive().filter(|_| order.circumstances.archives).map(|s3| (archive, s3));
    let of_origin = order.circumstances.origin.map(|from| (origin, &from.s3));
    of_archive.into_iter().chain(of_origin).map(|(name, s3)| build(order, name, s3)).collect()
}

fn build(order: &Order<'_>, name: String, s3: &S3Destination) -> Desired {
    let metadata = ObjectMeta { name: Some(name), ..order.metadata.clone() };
    let key = |secret: &Option<String>, key: &str| {
        secret.as_ref().map(|name| KeyOfSecret { name: name.clone(), key: key.to_owned() })
    };
    let gzip = || Compressed { compression: "gzip".to_owned() };
    let prefix = s3.prefix.as_ref().map(|prefix| format!("{prefix}/")).unwrap_or_default();
    let spec = ObjectStoreSpec {
        configuration: Configuration {
            destination_path: format!("s3://{}/{prefix}", s3.bucket),
            endpoint_url: s3.endpoint.clone(),
            endpoint_ca: key(&s3.ca_secret, CA_SECRET_KEY),
            s3_credentials: Credentials {
                access_key_id: key(&s3.credentials_secret, S3_ACCESS_KEY_ID),
                secret_access_key: key(&s3.credentials_secret, S3_SECRET_ACCESS_KEY),
                inherit_from_iam_role: s3.credentials_secret.is_none(),
            },
            wal: gzip(),
            data: gzip(),
        },
        instance_sidecar_configuration: Sidecar { env: build_env(s3) },
    };
    Desired::of(&ObjectStore { metadata, spec })
}

/// A field of the store's takes the region from a Secret only.
fn build_env(s3: &S3Destination) -> Vec<EnvVar> {
    let region = s3.region.as_deref().unwrap_or("us-east-1");
    vec![EnvVar { name: "AWS_DEFAULT_REGION".to_owned(), value: Some(region.to_owned()), value_from: None }]
}

/// The plugin of a `Cluster` that archives.
pub(super) fn build_archiver(order: &Order<'_>, object: &str) -> Option<Plugin> {
    let [archive, _] = names(object);
    (order.circumstances.archives && order.cluster.spec.wal_archive().is_some()).then(|| Plugin {
        name: BARMAN_CLOUD.to_owned(),
        enabled: Some(true),
        is_wal_archiver: Some(true),
        parameters: parameters(archive, server_name(order.cluster)),
    })
}

/// How a `Cluster` begins with `origin`.
pub(super) fn build_recovery(origin: &Origin, object: &str) -> (Recovery, ExternalCluster) {
    let [_, store] = names(object);
    let recovery = Recovery {
        source: SOURCE.to_owned(),
        database: DEFAULT_DATABASE.to_owned(),
        owner: DEFAULT_DATABASE.to_owned(),
        target: RecoveryTarget {
            backup_id: origin.id.base(),
            target_time: origin.target_time.clone(),
            target_immediate: origin.target_time.is_none().then_some(true),
        },
    };
    let plugin = Plugin {
        name: BARMAN_CLOUD.to_owned(),
        parameters: parameters(store, origin.id.server().to_owned()),
        ..Plugin::default()
    };
    (recovery, ExternalCluster { name: SOURCE.to_owned(), plugin })
}

fn parameters(store: String, server: String) -> BTreeMap<String, String> {
    BTreeMap::from([("barmanObjectName".to_owned(), store), ("serverName".to_owned(), server)])
}
