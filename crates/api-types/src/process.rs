//! `WorkflowProcess`: one BPMN process definition, deployed and kept deployed.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::grammar;
use crate::reference::{ClusterRef, ConfigMapKeyRef, DeletionPolicy, SecretRef, TenantRef};
use crate::schema::{self, CelRule};

mod reason;
pub use reason::ProcessReason;

/// Time between two looks at a git repository, when the spec says nothing.
pub const DEFAULT_GIT_INTERVAL: Duration = Duration::from_mins(1);

/// Shortest time between two looks at a git repository.
pub const MIN_GIT_INTERVAL: Duration = Duration::from_secs(30);

/// Most process ids in `status.retiring`.
pub const MAX_RETIRING: usize = 64;

/// Most bytes of a BPMN source, whatever it comes from.
pub const MAX_BPMN_BYTES: usize = 1 << 20;

const CLUSTER_IMMUTABLE: CelRule = (
    "self == oldSelf",
    "spec.clusterRef is immutable: a deployed definition does not move; create a new WorkflowProcess for the other cluster",
);
const TENANT_IMMUTABLE: CelRule = (
    "has(self.tenantRef) == has(oldSelf.tenantRef) && (!has(self.tenantRef) || self.tenantRef == oldSelf.tenantRef)",
    "spec.tenantRef is immutable: a deployed definition does not change its tenant; create a new WorkflowProcess for the other tenant",
);
pub(crate) const SOURCE_ONE_OF: CelRule = (
    "[has(self.bpmn), has(self.configMapRef), has(self.gitRef), has(self.fluxRef)].filter(given, given).size() == 1",
    "spec.source must have exactly one of bpmn, configMapRef, gitRef and fluxRef",
);
pub(crate) const GIT_PATH_INSIDE: CelRule = (
    "!self.split('/').exists(part, part == '..' || part == '.')",
    "spec.source.gitRef.path must not contain '.' or '..' as a part: it is relative to the root of the repository",
);
pub(crate) const GIT_INTERVAL: CelRule = (
    "duration(self) >= duration('30s') && duration(self) <= duration('24h')",
    "spec.source.gitRef.interval must be from 30s to 24h",
);
pub(crate) const FLUX_PATH_INSIDE: CelRule = (
    "!self.split('/').exists(part, part == '..' || part == '.')",
    "spec.source.fluxRef.path must not contain '.' or '..' as a part: it is relative to the root of the artifact",
);

/// A BPMN process definition that is deployed to a workflow engine and kept deployed.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "workflow.example.com",
    version = "v1alpha1",
    kind = "WorkflowProcess",
    plural = "workflowprocesses",
    doc = "A BPMN process definition that is deployed to a workflow engine and kept deployed.",
    namespaced,
    status = "WorkflowProcessStatus",
    derive = "PartialEq",
    shortname = "wfp",
    category = "workflow",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Ready", type_ = "boolean", json_path = ".status.ready"),
    printcolumn(
        name = "Version",
        type_ = "integer",
        json_path = ".status.version",
        description = "Version in the engine"
    ),
    printcolumn(
        name = "Tag",
        type_ = "string",
        json_path = ".status.versionTag",
        description = "Version tag of the user's choice",
        priority = 1
    ),
    printcolumn(
        name = "Revision",
        type_ = "string",
        json_path = ".status.sourceRevision",
        description = "Commit or revision that the source comes from",
        priority = 1
    ),
    printcolumn(name = "Key", type_ = "integer", json_path = ".status.processDefinitionKey", priority = 1),
    printcolumn(
        name = "Incidents",
        type_ = "integer",
        json_path = ".status.openIncidents",
        description = "Open incidents of its instances",
        priority = 1
    ),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(validation = TENANT_IMMUTABLE)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowProcessSpec {
    /// The cluster that runs the process. Immutable.
    #[x_kube(validation = CLUSTER_IMMUTABLE)]
    pub cluster_ref: ClusterRef,
    /// The tenant that owns the process. Left out: the tenant that the Namespace is labelled with
    /// (`workflow.example.com/tenant`), and the engine's default tenant if there is no such label. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_ref: Option<TenantRef>,
    /// Where the BPMN comes from: exactly one of `bpmn`, `configMapRef`, `gitRef` and `fluxRef`.
    pub source: Source,
    /// Version tag of the user's choice. It is used instead of a `versionTag` in the document. `status.versionTag`
    /// shows the tag that the engine keeps. The same document with another tag is another version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = grammar::VERSION_TAG_MAX), regex(pattern = grammar::VERSION_TAG))]
    pub version_tag: Option<String>,
    /// `strict` (default) also applies the style rules; `lenient` refuses only what is wrong or the engine cannot run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validate: Option<Validation>,
    /// Stops all deployments; the status is still reported and deletion still works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// `Delete` (default) removes the definition from the engine; `Retain` leaves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
}

impl WorkflowProcessSpec {
    /// How strictly the BPMN is checked; `strict` when the spec says nothing.
    pub fn validation(&self) -> Validation {
        self.validate.unwrap_or_default()
    }

    /// Whether deployments are stopped.
    pub fn is_paused(&self) -> bool {
        self.paused == Some(true)
    }

    /// What happens on deletion; `Delete` when the spec says nothing.
    pub fn deletion_policy(&self) -> DeletionPolicy {
        self.deletion_policy.unwrap_or_default()
    }
}

/// Where the BPMN comes from: exactly one member is set.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(validation = SOURCE_ONE_OF)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// BPMN 2.0 XML, at most 1 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_BPMN_BYTES))]
    pub bpmn: Option<String>,
    /// A key of a ConfigMap in this namespace. Changes of the ConfigMap are deployed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<ConfigMapKeyRef>,
    /// A file in a git repository. Changes of the branch or tag are deployed within the interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_ref: Option<GitRef>,
    /// A file in an artifact that Flux fetched and verified. A new artifact is deployed at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flux_ref: Option<FluxRef>,
}

/// A file in a git repository.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GitRef {
    /// `https://` URL of the repository, without user or password.
    #[schemars(length(min = 1, max = grammar::HTTPS_URL_MAX), regex(pattern = grammar::HTTPS_URL))]
    pub url: String,
    /// Path of the file, relative to the root of the repository. It must be a regular file of at most 1 MiB: symbolic links,
    /// submodules and Git LFS are not followed.
    #[schemars(length(min = 1, max = grammar::GIT_PATH_MAX), regex(pattern = grammar::GIT_PATH))]
    #[x_kube(validation = GIT_PATH_INSIDE)]
    pub path: String,
    /// Branch, tag or commit: a name, `refs/heads/<branch>`, `refs/tags/<tag>`, or the 40 hexadecimal digits of a commit.
    #[schemars(length(min = 1, max = grammar::GIT_REVISION_MAX), regex(pattern = grammar::GIT_REVISION))]
    pub revision: String,
    /// Secret of this namespace with credentials or an authority of the server. It must name the server in annotation
    /// `workflow.example.com/git-host`. Keys: `username` and `password`, or `bearerToken`, or `githubAppID`,
    /// `githubAppInstallationID` and `githubAppPrivateKey`; and `ca.crt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
    /// Time between two looks at the repository, from `30s` to `24h`; `1m` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = grammar::INTERVAL_MAX), regex(pattern = grammar::INTERVAL))]
    #[x_kube(validation = GIT_INTERVAL)]
    pub interval: Option<String>,
}

impl GitRef {
    /// Time between two looks; `None` for text that is no interval.
    pub fn interval(&self) -> Option<Duration> {
        self.interval.as_deref().map_or(Some(DEFAULT_GIT_INTERVAL), parse_interval)
    }
}

/// Hours, minutes and seconds, in this order.
fn parse_interval(text: &str) -> Option<Duration> {
    let (mut rest, mut seconds) = (text, 0_u64);
    for (unit, length) in [('h', 3600), ('m', 60), ('s', 1)] {
        if let Some((number, after)) = rest.split_once(unit) {
            seconds += number.parse::<u32>().ok().map(u64::from)? * length;
            rest = after;
        }
    }
    (rest.is_empty() && !text.is_empty()).then(|| Duration::from_secs(seconds))
}

/// A file in an artifact of Flux.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FluxRef {
    /// Kind of the Flux source.
    pub kind: FluxKind,
    /// Name of the Flux source, in this namespace.
    #[schemars(length(min = 1, max = grammar::DNS_SUBDOMAIN_MAX), regex(pattern = grammar::DNS_SUBDOMAIN))]
    pub name: String,
    /// Path of the file, relative to the root of the artifact. It must be a regular file of at most 1 MiB.
    #[schemars(length(min = 1, max = grammar::GIT_PATH_MAX), regex(pattern = grammar::GIT_PATH))]
    #[x_kube(validation = FLUX_PATH_INSIDE)]
    pub path: String,
}

/// Kind of a Flux source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[schemars(description = "")] // each field of this type has its own description
pub enum FluxKind {
    /// A git repository.
    GitRepository,
    /// An image of an OCI registry.
    #[serde(rename = "OCIRepository")]
    OciRepository,
    /// A bucket of an object store.
    Bucket,
    /// Made by another controller.
    ExternalArtifact,
}

impl FluxKind {
    /// As Kubernetes knows it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GitRepository => "GitRepository",
            Self::OciRepository => "OCIRepository",
            Self::Bucket => "Bucket",
            Self::ExternalArtifact => "ExternalArtifact",
        }
    }
}

/// How strictly BPMN is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(description = "")] // each field of this type has its own description
#[serde(rename_all = "lowercase")]
pub enum Validation {
    /// The style rules apply too.
    #[default]
    Strict,
    /// Only what is wrong, or what the engine cannot run, is refused.
    Lenient,
}

/// What the process-controller last saw.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = schema::unseen_status()))]
pub struct WorkflowProcessStatus {
    /// The `metadata.generation` that this status was computed for; -1 until a controller saw the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = crate::UNSEEN_GENERATION))]
    pub observed_generation: Option<i64>,
    /// Phase of the process, in one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<ProcessPhase>,
    /// Whether the engine runs the source that the spec names.
    #[serde(default)]
    pub ready: bool,
    /// What happens now, or what is wrong and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = crate::MAX_MESSAGE_CHARS))]
    pub message: Option<String>,
    /// `Ready` always; `Reconciling`, `Stalled`, `Paused` while they apply; `Valid`, `Deployed`, `WorkersAvailable`; `SourceReady`
    /// with a `gitRef` or `fluxRef`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// Key of the current definition in the engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub process_definition_key: Option<i64>,
    /// Id of the process in its BPMN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub bpmn_process_id: Option<String>,
    /// Former process ids of this object that are still to be retired: its document had them before. Empty when nothing of
    /// them is left.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_RETIRING), inner(length(max = 255)))]
    pub retiring: Vec<String>,
    /// Version of the current definition in the engine, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = i32::MAX))]
    pub version: Option<i32>,
    /// Version tag of the current definition: `spec.versionTag`, else the one in the document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub version_tag: Option<String>,
    /// When the current definition was deployed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_time")]
    pub deployed_at: Option<Time>,
    /// Digest of the bytes that the engine runs, or refused (reason `RejectedByEngine`), `sha256:<hex>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71))]
    pub source_digest: Option<String>,
    /// Where the bytes of `sourceDigest` come from: the commit of a `gitRef`, the revision of a `fluxRef`'s artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub source_revision: Option<String>,
    /// The commit or revision that was tried last and is not what runs: condition `SourceReady` or `Valid` says why. Absent when
    /// nothing newer is known than `sourceRevision`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub attempted_revision: Option<String>,
    /// Version of the engine that refused the bytes (reason `RejectedByEngine`); an engine of another version is asked
    /// again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub refused_by_version: Option<String>,
    /// Version of the engine that confirmed last that it has the current definition. After an upgrade every definition is
    /// confirmed anew, and deployed again where it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub confirmed_by_version: Option<String>,
    /// What the current version changed against the one before it. Absent for the first version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_change: Option<SourceChange>,
    /// Job types that the definition needs, sorted; the first 256 of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 255)))]
    pub job_types: Vec<String>,
    /// Open incidents in the instances of all its versions; each waits for a person. Read every 30 seconds. Changed
    /// only when the number differs by more than five percent, or changes from or to 0. Absent until the first incident
    /// is seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub open_incidents: Option<i64>,
}

/// What a version changed against the one before it, by ids of elements of the BPMN: tasks, events, gateways and sequence flows. Names,
/// documentation and the diagram do not count.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceChange {
    /// The version before.
    #[schemars(range(min = 0, max = i32::MAX))]
    pub from_version: i32,
    /// The version that changed it.
    #[schemars(range(min = 0, max = i32::MAX))]
    pub to_version: i32,
    /// Elements that only the new version has, sorted; the first 50.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(max = 255)))]
    pub added: Vec<String>,
    /// Elements that only the former version has, sorted; the first 50.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(max = 255)))]
    pub removed: Vec<String>,
    /// Elements that the engine treats in another way, sorted; the first 50.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(max = 255)))]
    pub changed: Vec<String>,
    /// How many elements do not fit the lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub omitted: Option<i64>,
    /// Running instances that waited at a removed element when the versions were compared, each counted once, of all former
    /// versions. They go on with their own version. Absent when the engine cannot tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub waiting_instances: Option<i64>,
    /// Whether there may be more of them: the engine looks at a bounded part of what there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_instances_are_more: Option<bool>,
    /// When the versions were compared; absent until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_time")]
    pub compared_at: Option<Time>,
}

/// Phase of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(description = "")] // each field of this type has its own description
pub enum ProcessPhase {
    /// Something outside is missing: the cluster, the tenant, the source.
    #[default]
    Pending,
    /// The source is being checked or deployed.
    Validating,
    /// The engine runs the source.
    Deployed,
    /// Refused by a quota or a suspended tenant, or deployed for another tenant; retried when that changes.
    Blocked,
    /// The source or the spec is wrong; nothing is retried before it changes.
    Failed,
    /// The cleanup runs.
    Deleting,
}
