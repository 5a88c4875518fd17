//! `WorkflowCluster`: one workflow engine on one Postgres.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::backup::{BackupMethod, S3Destination};
use crate::grammar;
use crate::scheduling::{Resources, Scheduling};
use crate::schema::{self, CelRule};

mod backup;
mod connection;
mod managed;
mod reason;
mod status;
mod upgrade;

pub use backup::{BackupRef, Bootstrap, ClusterBackup, Drill, Recovery};
pub(crate) use backup::{RECOVERY_DESTINATION, RECOVERY_ONE_OF, SCHEDULE_NEEDS_DESTINATION};
pub use connection::{BARMAN_CLOUD, BARMAN_CLOUD_INSTALL};
pub use managed::{DEFAULT_POSTGRES_REPLICAS, DEFAULT_STORAGE_SIZE, ManagedPostgres, PostgresProvider};
pub use reason::ClusterReason;
pub use status::{
    AccessKeyIds, ClusterPhase, Endpoint, LastBackup, PostgresStatus, RecoveryStatus, WorkflowClusterStatus,
};
pub use upgrade::{
    Canary, DEFAULT_HEALTH_SECONDS, DEFAULT_MAX_REGRESSION, Finalize, MaintenanceWindow, StableTemplate,
    Upgrade, UpgradeFailure, UpgradeGate, UpgradeGateName, UpgradeStage, UpgradeStatus, Weekday,
};

/// Port of Postgres when the spec names none.
pub const DEFAULT_POSTGRES_PORT: u16 = 5432;
/// Database when neither the spec nor the Secret names one.
pub const DEFAULT_DATABASE: &str = "workflow";
/// Key of the user in the Secret that `databaseSecret` names.
pub const DATABASE_SECRET_USERNAME: &str = "username";
/// Key of the password in the Secret that `databaseSecret` names.
pub const DATABASE_SECRET_PASSWORD: &str = "password";
/// Optional key of the database in the Secret that `databaseSecret` names; `spec.postgres.externalRef.database` wins.
pub const DATABASE_SECRET_DATABASE: &str = "dbname";
/// Key of the PEM bundle in the Secret that `caSecret` names.
pub const CA_SECRET_KEY: &str = "ca.crt";
/// Most characters of a cluster's name, so that it is a valid Service name even with the longest suffix.
pub const MAX_CLUSTER_NAME: usize = 40;

pub(crate) const NAME: CelRule = (
    "self.metadata.name.size() <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
    "metadata.name must be at most 40 characters of a-z, 0-9 and '-', start with a letter and end with a letter or digit: it becomes the name of a Service",
);
pub(crate) const POSTGRES_ONE_OF: CelRule = (
    "has(self.externalRef) != has(self.managed)",
    "spec.postgres must have exactly one of externalRef and managed",
);
pub(crate) const POSTGRES_HOST: CelRule = (
    "!self.contains(':') || isIP(self)",
    "spec.postgres.externalRef.host must be a DNS name or an IP address, without port",
);
const POSTGRES_SOURCE_IMMUTABLE: CelRule = (
    "has(self.externalRef) == has(oldSelf.externalRef)",
    "spec.postgres cannot switch between externalRef and managed: the data would stay behind; create a new WorkflowCluster",
);
pub(crate) const INGRESS_HOST: CelRule =
    ("!self.enabled || has(self.host)", "spec.network.ingress.host is required when ingress is enabled");
/// Four numbers, also with leading zeros: the API server takes them for an IP address.
pub(crate) const INGRESS_HOST_NAME: CelRule = (
    "!self.matches('^[0-9]+([.][0-9]+){3}$')",
    "spec.network.ingress.host must be a DNS name, not an IP address",
);
pub(crate) const EXTERNAL_HOST_NAME: CelRule = (
    "!self.matches('^[0-9]+([.][0-9]+){3}$')",
    "spec.network.externalHost must be a DNS name, not an IP address",
);
pub(crate) const SERVICE_ANNOTATIONS_RESERVED: CelRule = (
    "!has(self.serviceAnnotations) || self.serviceAnnotations.all(key, !key.startsWith('app.kubernetes.io/') && !key.startsWith('workflow.example.com/'))",
    "serviceAnnotations must not use the prefixes app.kubernetes.io/ and workflow.example.com/: they belong to the operator",
);
pub(crate) const TRACING_ENDPOINT: CelRule = (
    "!self.enabled || has(self.otlpEndpoint)",
    "spec.observability.tracing.otlpEndpoint is required when tracing is enabled",
);
pub(crate) const SNAPSHOT_DESTINATION: CelRule = (
    "!has(self.deletionPolicy) || self.deletionPolicy != 'Snapshot' || (has(self.backup) && has(self.backup.destination))",
    "spec.backup.destination is required with deletionPolicy Snapshot",
);
pub(crate) const METHOD_FITS: CelRule = (
    "!has(self.backup) || !has(self.backup.method) || self.backup.method != 'CloudNativePG' || (has(self.postgres.managed) && has(self.backup.destination) && has(self.backup.destination.s3) && !has(self.backup.encryption) && !has(self.backup.drill))",
    "spec.backup.method CloudNativePG needs spec.postgres.managed and spec.backup.destination.s3, and goes with neither spec.backup.encryption nor spec.backup.drill",
);
const BOOTSTRAP_IMMUTABLE: CelRule = (
    "has(self.bootstrap) == has(oldSelf.bootstrap) && (!has(self.bootstrap) || self.bootstrap == oldSelf.bootstrap)",
    "spec.bootstrap is immutable: a cluster begins once; create a new WorkflowCluster",
);

/// A workflow engine: its version, its Postgres, its replicas and how it is reached.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "workflow.example.com",
    version = "v1alpha1",
    kind = "WorkflowCluster",
    doc = "A workflow engine: its version, its Postgres, its replicas and how it is reached.",
    namespaced,
    status = "WorkflowClusterStatus",
    derive = "PartialEq",
    shortname = "wfc",
    category = "workflow",
    validation = NAME,
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Ready", type_ = "boolean", json_path = ".status.ready"),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.version"),
    printcolumn(name = "Replicas", type_ = "integer", json_path = ".status.readyReplicas", description = "Ready engine pods"),
    printcolumn(name = "Upgrade", type_ = "string", json_path = ".status.upgrade.stage", description = "How far the last upgrade is"),
    printcolumn(name = "Step", type_ = "integer", json_path = ".status.upgrade.step", description = "Engine pods that have the new version or template, while it reaches them"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(validation = SNAPSHOT_DESTINATION, validation = METHOD_FITS, validation = BOOTSTRAP_IMMUTABLE)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowClusterSpec {
    /// Version of the engine, SemVer without build metadata. Raising it rolls the engine; a lower one or a skipped major
    /// version is refused.
    #[schemars(length(min = 5, max = grammar::SEMVER_MAX), regex(pattern = grammar::SEMVER))]
    pub version: String,
    /// Repository of the engine image, without tag and digest, in place of the installation's; the tag is the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = grammar::IMAGE_MAX), regex(pattern = grammar::IMAGE_REPOSITORY))]
    pub image: Option<String>,
    /// Number of engine pods, 0 to 64. With 0 no engine runs, and its data is kept; to stop it for a while, `stopped`
    /// leaves this number as it is.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 64))]
    pub replicas: i32,
    /// Stops the engine: its pods end what they have begun, and no pod runs. Services, certificates, tokens, data and
    /// status stay, and so do tenants, processes and workers, which wait. `false`, or leaving it out, starts the engine
    /// again with `replicas` pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<bool>,
    /// Stops all writes to owned objects; the status is still reported and deletion still works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// CPU and memory of each engine pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// The Postgres that holds the engine's data: exactly one of `externalRef` and `managed`.
    pub postgres: Postgres,
    /// How the engine is reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// Metrics and traces of the engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observability: Option<Observability>,
    /// Who may use the engine's API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication: Option<ClusterAuthentication>,
    /// How another version, or another pod template, reaches the engine's pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upgrade: Option<Upgrade>,
    /// Where the pods run: engine and migration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduling: Option<Scheduling>,
    /// Backups of the database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<ClusterBackup>,
    /// What the database begins with. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bootstrap: Option<Bootstrap>,
    /// `Delete` (default) removes a managed Postgres with its data, and the Secrets and certificates made for the engine;
    /// `Retain` leaves them; `Snapshot` is `Delete` after a last backup, which outlives the cluster. The database behind
    /// `externalRef` is never touched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<ClusterDeletionPolicy>,
}

fn one() -> i32 {
    1
}

impl WorkflowClusterSpec {
    /// Whether writes to owned objects are stopped.
    pub fn is_paused(&self) -> bool {
        self.paused == Some(true)
    }

    /// Whether the engine is stopped.
    pub fn is_stopped(&self) -> bool {
        self.stopped == Some(true)
    }

    /// Engine pods that shall run: none while the engine is stopped.
    pub fn engine_pods(&self) -> i32 {
        if self.is_stopped() { 0 } else { self.replicas }
    }

    /// What happens on deletion; `Delete` when the spec says nothing.
    pub fn deletion_policy(&self) -> ClusterDeletionPolicy {
        self.deletion_policy.unwrap_or_default()
    }

    /// Whether `spec.backup.method` can be acted on. A base backup of CloudNativePG is of a managed Postgres, goes to S3 and is
    /// not encrypted by the operator; nothing tries it out.
    pub(crate) fn backup_method_fits(&self) -> bool {
        let Some(backup) = &self.backup else { return true };
        let has_s3 = backup.destination.as_ref().is_some_and(|destination| destination.s3.is_some());
        backup.method != Some(BackupMethod::CloudNativePg)
            || self.postgres.managed.is_some()
                && has_s3
                && backup.encryption.is_none()
                && backup.drill.is_none()
    }

    /// Where the WAL of a managed Postgres goes all the time: `None` unless `spec.backup.method` is `CloudNativePG`.
    pub fn wal_archive(&self) -> Option<&S3Destination> {
        let backup = self.backup.as_ref().filter(|it| it.method == Some(BackupMethod::CloudNativePg))?;
        backup.destination.as_ref()?.s3.as_ref()
    }

    /// The backup that the database begins with.
    pub fn recovery(&self) -> Option<&Recovery> {
        self.bootstrap.as_ref()?.recovery.as_ref()
    }

    /// How another template reaches the pods; the defaults when the spec says nothing.
    pub fn upgrade(&self) -> Upgrade {
        self.upgrade.clone().unwrap_or_default()
    }

    /// The ingress, if it is switched on.
    pub fn enabled_ingress(&self) -> Option<&Ingress> {
        self.network.as_ref()?.ingress.as_ref().filter(|ingress| ingress.enabled)
    }

    /// Type of the engine's Service; `ClusterIP` when the spec says nothing.
    pub fn service_type(&self) -> ServiceType {
        self.network.as_ref().and_then(|network| network.service_type).unwrap_or_default()
    }

    /// The tracing, if it is switched on.
    pub fn enabled_tracing(&self) -> Option<&Tracing> {
        self.observability.as_ref()?.tracing.as_ref().filter(|tracing| tracing.enabled)
    }

    /// Whether a `ServiceMonitor` is asked for: metrics and serviceMonitor both on.
    pub fn wants_service_monitor(&self) -> bool {
        self.observability
            .as_ref()
            .and_then(|observability| observability.metrics.as_ref())
            .is_some_and(|metrics| metrics.enabled && metrics.service_monitor == Some(true))
    }
}

/// What happens to what a cluster made when the cluster is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(description = "")] // each field of this type has its own description
pub enum ClusterDeletionPolicy {
    /// It is deleted too.
    #[default]
    Delete,
    /// It stays.
    Retain,
    /// It is deleted after a last backup.
    Snapshot,
}

/// The Postgres of a cluster: exactly one member is set.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = POSTGRES_ONE_OF, validation = POSTGRES_SOURCE_IMMUTABLE)]
#[serde(rename_all = "camelCase")]
pub struct Postgres {
    /// A Postgres that exists already, for example a Patroni cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_ref: Option<ExternalPostgres>,
    /// A Postgres that another operator makes for this cluster, in this namespace: `<name>-postgres`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed: Option<ManagedPostgres>,
}

/// Where an existing Postgres is and how to log in.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalPostgres {
    /// DNS name or IP address of the primary, without port. A name without a dot is a Service of this namespace:
    /// `postgres` is `postgres.<namespace>.svc`, also for `verify-full`.
    #[schemars(length(min = 1, max = grammar::DNS_SUBDOMAIN_MAX), regex(pattern = grammar::HOST))]
    #[x_kube(validation = POSTGRES_HOST)]
    pub host: String,
    /// Port, 5432 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// Name of the database. Left out: the Secret's key `dbname`, else `workflow`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = grammar::DATABASE_MAX), regex(pattern = grammar::DATABASE))]
    pub database: Option<String>,
    /// Name of a Secret in this namespace with the keys `username` and `password` (and optionally `dbname`).
    #[schemars(length(min = 1, max = grammar::DNS_SUBDOMAIN_MAX), regex(pattern = grammar::DNS_SUBDOMAIN))]
    pub database_secret: String,
    /// Protection of the connection; `prefer` when left out. Condition `PostgresEncrypted` shows the result. A password
    /// is sent in clear text only with `verify-ca` or `verify-full`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssl_mode: Option<SslMode>,
    /// Name of a Secret in this namespace whose key `ca.crt` holds the certificates that `verify-ca` and `verify-full`
    /// trust. Left out: the system's trust store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = grammar::DNS_SUBDOMAIN_MAX), regex(pattern = grammar::DNS_SUBDOMAIN))]
    pub ca_secret: Option<String>,
}

impl ExternalPostgres {
    /// The port, 5432 unless the spec names one. A stored number that is no port (an object older than the rule) reads
    /// as the default.
    pub fn port(&self) -> u16 {
        self.port.and_then(|port| u16::try_from(port).ok()).unwrap_or(DEFAULT_POSTGRES_PORT)
    }

    /// The protection of the connection, `prefer` unless the spec names another.
    pub fn ssl_mode(&self) -> SslMode {
        self.ssl_mode.unwrap_or_default()
    }
}

/// Protection of the Postgres connection, in libpq's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(description = "")] // each field of this type has its own description
#[serde(rename_all = "kebab-case")]
pub enum SslMode {
    /// TLS if the server offers it.
    #[default]
    Prefer,
    /// TLS, certificate not checked.
    Require,
    /// TLS, certificate signed by a trusted authority.
    VerifyCa,
    /// TLS, certificate signed by a trusted authority and made for the host.
    VerifyFull,
}

impl SslMode {
    /// The word that libpq and the spec use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

/// How the engine is reached.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(validation = SERVICE_ANNOTATIONS_RESERVED)]
#[serde(rename_all = "camelCase")]
pub struct Network {
    /// Type of the engine's Service, `ClusterIP` when left out. With `LoadBalancer` the cluster is not ready before the
    /// cloud has given an address, which is in `status.endpoint.externalHost`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_type: Option<ServiceType>,
    /// Annotations of the engine's Service, by which a cloud's load balancer is configured. The operator's own
    /// prefixes are refused.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::annotation_map")]
    pub service_annotations: BTreeMap<String, String>,
    /// DNS name under which the engine is reached from outside, in small letters, without scheme and port, when it is
    /// another than that of the load balancer or of the Ingress: a record that external-dns or a person makes. The
    /// engine's certificate holds it, and `status.endpoint.externalHost` shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = grammar::DNS_SUBDOMAIN_MAX), regex(pattern = grammar::DNS_SUBDOMAIN))]
    #[x_kube(validation = EXTERNAL_HOST_NAME)]
    pub external_host: Option<String>,
    /// Access from outside through an Ingress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Ingress>,
}

/// Type of a Service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(description = "")] // each field of this type has its own description
pub enum ServiceType {
    /// Reachable inside the Kubernetes cluster only.
    #[default]
    #[serde(rename = "ClusterIP")]
    ClusterIp,
    /// Also on a port of every node.
    NodePort,
    /// Also through a load balancer of the cloud.
    LoadBalancer,
}

impl ServiceType {
    /// The word that Kubernetes uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClusterIp => "ClusterIP",
            Self::NodePort => "NodePort",
            Self::LoadBalancer => "LoadBalancer",
        }
    }
}

/// An Ingress for the engine's gRPC and REST API.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(validation = INGRESS_HOST)]
#[serde(rename_all = "camelCase")]
pub struct Ingress {
    /// Whether the Ingress exists.
    pub enabled: bool,
    /// DNS name under which the engine is served, in small letters, without scheme, port and `*`; no IP address.
    /// Required when enabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = grammar::DNS_SUBDOMAIN_MAX), regex(pattern = grammar::DNS_SUBDOMAIN))]
    #[x_kube(validation = INGRESS_HOST_NAME)]
    pub host: Option<String>,
    /// Name of a `kubernetes.io/tls` Secret in this namespace. Left out: the Ingress has no TLS of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = grammar::DNS_SUBDOMAIN_MAX), regex(pattern = grammar::DNS_SUBDOMAIN))]
    pub tls_secret: Option<String>,
    /// Name of the `IngressClass`; the cluster's default when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = grammar::DNS_SUBDOMAIN_MAX), regex(pattern = grammar::DNS_SUBDOMAIN))]
    pub class_name: Option<String>,
}

/// Metrics and traces of the engine.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Observability {
    /// Prometheus metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Metrics>,
    /// OpenTelemetry traces. Stored but not acted on by this version: the engine sends no OTLP yet, and condition
    /// `Supported` says so while `enabled` is true. Use `metrics`; everything else works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracing: Option<Tracing>,
}

/// Prometheus metrics of the engine.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metrics {
    /// Whether the metrics port is part of the Service.
    pub enabled: bool,
    /// Whether a `ServiceMonitor` (monitoring.coreos.com/v1) is made. Without that CRD a condition says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_monitor: Option<bool>,
}

/// OpenTelemetry traces of the engine; stored, not acted on.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = TRACING_ENDPOINT)]
#[serde(rename_all = "camelCase")]
pub struct Tracing {
    /// Whether traces are to be exported, once the engine can.
    pub enabled: bool,
    /// OTLP gRPC endpoint, `host:port` or `http(s)://host:port`; required when enabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = grammar::ENDPOINT_MAX), regex(pattern = grammar::ENDPOINT))]
    pub otlp_endpoint: Option<String>,
    /// Share of requests to be traced, 0 to 1; 1 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1))]
    pub sample_ratio: Option<f64>,
}

/// Who may use the engine's API.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterAuthentication {
    /// Users' tokens from an OpenID Connect issuer. Stored but not acted on by this version, and condition `Supported`
    /// says so: the engine accepts only the tokens that the operator makes. Give clients that of their tenant's Secret
    /// `<tenant>-client`; everything else works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oidc: Option<Oidc>,
}

/// An OpenID Connect issuer; stored, not acted on.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Oidc {
    /// The issuer, an `https://` URL.
    #[serde(rename = "issuerURL")]
    #[schemars(length(min = 1, max = grammar::HTTPS_URL_MAX), regex(pattern = grammar::HTTPS_URL))]
    pub issuer_url: String,
    /// Name of a Secret in this namespace that holds the client id.
    #[serde(rename = "clientIDSecretRef")]
    #[schemars(length(min = 1, max = grammar::DNS_SUBDOMAIN_MAX), regex(pattern = grammar::DNS_SUBDOMAIN))]
    pub client_id_secret_ref: String,
}

#[cfg(test)]
mod tests;
