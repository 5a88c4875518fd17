//! A Postgres that another operator makes for a cluster.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::grammar;
use crate::quantity::Quantity;
use crate::scheduling::Resources;
use crate::schema::CelRule;

/// Postgres instances when the spec names no number: one that writes, two that follow it.
pub const DEFAULT_POSTGRES_REPLICAS: i32 = 3;
/// Size of each volume when the spec names none.
pub const DEFAULT_STORAGE_SIZE: &str = "10Gi";

const STORAGE_IMMUTABLE_CLASS: CelRule = (
    "has(self.storageClassName) == has(oldSelf.storageClassName) && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)",
    "spec.postgres.managed.storageClassName is immutable: volumes cannot change their class",
);
const STORAGE_ONLY_GROWS: CelRule = (
    "!has(self.storageSize) || !has(oldSelf.storageSize) || quantity(string(self.storageSize)).compareTo(quantity(string(oldSelf.storageSize))) >= 0",
    "spec.postgres.managed.storageSize can only grow: volumes cannot shrink",
);

/// A Postgres that another operator makes, for this cluster alone.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = STORAGE_IMMUTABLE_CLASS, validation = STORAGE_ONLY_GROWS)]
#[serde(rename_all = "camelCase")]
pub struct ManagedPostgres {
    /// The operator that makes it; `CloudNativePG` when left out. It must be installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<PostgresProvider>,
    /// Number of Postgres instances, 3 when left out. With 2 or more one takes over when the primary is lost; with 3 or
    /// more nothing that was committed is lost then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 16))]
    pub replicas: Option<i32>,
    /// `StorageClass` of the volumes; the cluster's default when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = grammar::DNS_SUBDOMAIN_MAX), regex(pattern = grammar::DNS_SUBDOMAIN))]
    pub storage_class_name: Option<String>,
    /// Size of each volume, `10Gi` when left out. It can only grow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_size: Option<Quantity>,
    /// Image of Postgres, with its tag, in place of the provider's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = grammar::IMAGE_MAX), regex(pattern = grammar::IMAGE))]
    pub image: Option<String>,
    /// CPU and memory of each Postgres instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
}

impl ManagedPostgres {
    /// The operator that makes it.
    pub fn provider(&self) -> PostgresProvider {
        self.provider.unwrap_or_default()
    }

    /// Number of Postgres instances.
    pub fn replicas(&self) -> i32 {
        self.replicas.unwrap_or(DEFAULT_POSTGRES_REPLICAS)
    }

    /// Size of each volume.
    pub fn storage_size(&self) -> Quantity {
        self.storage_size.clone().unwrap_or_else(|| DEFAULT_STORAGE_SIZE.into())
    }
}

/// An operator that makes Postgres.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(description = "")] // each field of this type has its own description
pub enum PostgresProvider {
    /// CloudNativePG, `postgresql.cnpg.io/v1`.
    #[default]
    #[serde(rename = "CloudNativePG")]
    CloudNativePg,
}
