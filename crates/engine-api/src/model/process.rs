use std::fmt;

use jiff::Timestamp;

use super::Owner;

/// How bad a [`Finding`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The document cannot be deployed.
    Error,
    /// The document can be deployed, and is probably not what was meant.
    Warning,
}

/// How strictly a document is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LintMode {
    /// Engine rules and modelling rules.
    Strict,
    /// Engine rules only.
    Lenient,
}

/// One remark of the linter about one place of a BPMN document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which rule was broken.
    pub rule_id: String,
    /// How bad that is.
    pub severity: Severity,
    /// The BPMN element; `None` when the place has no id.
    pub element_id: Option<String>,
    /// 1-based line; 0 = the whole document.
    pub line: u32,
    /// 1-based column; 0 = the whole document.
    pub column: u32,
    /// What is wrong and what was expected.
    pub message: String,
}

/// A document to be judged, not deployed.
#[derive(Clone, PartialEq, Eq)]
pub struct ValidateProcess {
    /// Whose rules count.
    pub tenant_id: String,
    /// The BPMN document, at most 1 MiB.
    pub content: Vec<u8>,
    /// How strictly.
    pub mode: LintMode,
}

/// Documents are their owners' business: how long one is, is all that a log may tell.
impl fmt::Debug for ValidateProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tenant_id, content, mode } = self;
        f.debug_struct("ValidateProcess")
            .field("tenant_id", tenant_id)
            .field("content", &format_args!("{} bytes", content.len()))
            .field("mode", mode)
            .finish()
    }
}

/// What the engine thinks of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validation {
    /// Whether a deploy would be accepted.
    pub deployable: bool,
    /// At most 1000.
    pub findings: Vec<Finding>,
    /// There were more findings.
    pub truncated: bool,
    /// Executable processes of the document.
    pub process_ids: Vec<String>,
    /// Job types that its service tasks need.
    pub job_types: Vec<String>,
}

/// A document to be deployed. Unchanged content is [`DeployOutcome::Unchanged`] whatever its name; older content is a
/// new version.
#[derive(Clone, PartialEq, Eq)]
pub struct DeployProcess {
    /// See [`request_id`](crate::request_id()).
    pub request_id: String,
    /// The owning tenant.
    pub tenant_id: String,
    /// For people only, never identity.
    pub resource_name: String,
    /// The BPMN document, at most 1 MiB, with exactly one executable process.
    pub content: Vec<u8>,
    /// Lower-case hex SHA-256 of the bytes that were validated; other bytes in `content` are refused.
    pub content_sha256: String,
    /// A name for this version, for people.
    pub version_tag: Option<String>,
    /// How strictly the document is judged.
    pub mode: LintMode,
    /// Who manages the process id (a WorkflowProcess); `None` = nobody. Another owner's process id is
    /// [`ErrorClass::AlreadyOwned`](crate::ErrorClass::AlreadyOwned), a later life of this owner
    /// [`ErrorClass::Stale`](crate::ErrorClass::Stale).
    pub owner: Option<Owner>,
    /// The latest version that the caller knows, 0 = none; `None` = any. Another one is
    /// [`ErrorClass::Stale`](crate::ErrorClass::Stale), unless it has these bytes and this tag already.
    pub follows_version: Option<u32>,
}

/// As for [`ValidateProcess`]; the digest tells which document it is.
impl fmt::Debug for DeployProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            request_id,
            tenant_id,
            resource_name,
            content,
            content_sha256,
            version_tag,
            mode,
            owner,
            follows_version,
        } = self;
        f.debug_struct("DeployProcess")
            .field("request_id", request_id)
            .field("tenant_id", tenant_id)
            .field("resource_name", resource_name)
            .field("content", &format_args!("{} bytes", content.len()))
            .field("content_sha256", content_sha256)
            .field("version_tag", version_tag)
            .field("mode", mode)
            .field("owner", owner)
            .field("follows_version", follows_version)
            .finish()
    }
}

/// How a deploy ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeployResult {
    /// The document is the latest version of its process.
    Deployed {
        /// Whether that changed anything.
        outcome: DeployOutcome,
        /// The version.
        definition: ProcessDefinition,
        /// The definitions were there, and nobody or an earlier life of the owner managed them.
        adopted: bool,
    },
    /// The engine refuses the document; nothing changed.
    Rejected {
        /// At most 1000.
        findings: Vec<Finding>,
        /// There were more findings.
        truncated: bool,
    },
}

/// Whether a deploy made a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeployOutcome {
    /// A new version, also when older content came again.
    Created,
    /// The latest version already has these bytes and this version tag.
    Unchanged,
}

/// One deployed version of one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessDefinition {
    /// Unique over all tenants.
    pub key: i64,
    /// The owning tenant.
    pub tenant_id: String,
    /// The BPMN process id.
    pub process_id: String,
    /// 1, 2, 3 … within the process id.
    pub version: u32,
    /// A name for this version, for people.
    pub version_tag: Option<String>,
    /// Lower-case hex SHA-256 of the deployed bytes.
    pub content_sha256: String,
    /// When it was deployed.
    pub deployed_at: Timestamp,
    /// Job types that its service tasks need.
    pub job_types: Vec<String>,
}

/// Which definition is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DefinitionRef {
    /// This very version.
    Key(i64),
    /// The latest version of this process id.
    LatestOf(String),
}

/// A definition and who manages its process id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagedDefinition {
    /// The version that was asked for.
    pub definition: ProcessDefinition,
    /// Who manages the process id; `None` = nobody.
    pub owner: Option<Owner>,
}

/// Which definitions of a tenant are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DefinitionFilter {
    /// Only the latest version of each process id.
    pub latest_only: bool,
    /// Only those of process ids that this owner manages, in whichever of its lives ([`Owner::id`]).
    pub owner_id: Option<String>,
}

/// The document of one version.
#[derive(Clone, PartialEq, Eq)]
pub struct ProcessDocument {
    /// As it was deployed, at most 1 MiB.
    pub content: Vec<u8>,
    /// Lower-case hex SHA-256 of `content`, as the engine recorded it at the deployment.
    pub content_sha256: String,
}

/// As for [`DeployProcess`].
impl fmt::Debug for ProcessDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { content, content_sha256 } = self;
        f.debug_struct("ProcessDocument")
            .field("content", &format_args!("{} bytes", content.len()))
            .field("content_sha256", content_sha256)
            .finish()
    }
}

/// How many running instances of a process wait at elements that were asked for.
///
/// Counted are those of all versions, deleted ones included. An instance waits at an element when one of its tokens is there:
/// its job is not finished (whether it waits for a worker, is being worked on, or waits for a retry), an incident holds it,
/// or it waits at a join for other tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WaitingInstances {
    /// In the order of the ids. Elements at which no instance was found are left out.
    pub counts: Vec<WaitingCount>,
    /// Instances that wait at one or more of the elements, each counted once; at most 10,000.
    pub instances: u64,
    /// There may be more of each, also at elements that were left out: the engine looked at a part of what there is.
    pub is_at_least: bool,
}

/// How many running instances wait at one element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingCount {
    /// Where in the model.
    pub element_id: String,
    /// 1 or more. An instance with several tokens there counts once.
    pub instances: u64,
}

/// What becomes of running instances when their process is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnInstances {
    /// [`ErrorClass::Precondition`](crate::ErrorClass::Precondition) while instances run.
    Fail,
    /// No new instances; running ones finish.
    KeepRunning,
    /// They are cancelled.
    Cancel,
}

/// Retires all versions of a process id, or gives it up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteProcess {
    /// See [`request_id`](crate::request_id()).
    pub request_id: String,
    /// The owning tenant.
    pub tenant_id: String,
    /// The BPMN process id.
    pub process_id: String,
    /// Must be the recorded owner or a later life of it, else nothing is deleted; `None` = nobody.
    pub owner: Option<Owner>,
    /// What becomes of running instances.
    pub on_instances: OnInstances,
    /// Only give up ownership; the definitions stay startable.
    pub retain: bool,
}

/// How the deletion of a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessDeletion {
    /// Done; deleting what is not there retires 0.
    Retired {
        /// Versions retired by this call.
        versions: u32,
    },
    /// Somebody else manages the process id: nothing happened.
    OwnedByOther,
}
