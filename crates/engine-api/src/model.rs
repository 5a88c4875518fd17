//! What an engine knows and says, in plain Rust: no proto type, no tonic type.
//!
//! "Empty means absent" of the wire is an `Option` here, and an enum never has an "unspecified" member: an answer
//! that lacks one is refused in `convert`, so absent data never reads as success.

mod cluster;
mod instance;
mod job;
mod migration;
mod owner;
mod page;
mod process;
mod tenant;

pub use cluster::{
    CanaryFailure, CanaryReport, CanaryStep, Capability, EngineHealth, EngineInfo, HealthCheck,
    HealthComponent, HealthState, Node,
};
pub use instance::{
    CancelInstances, CanceledInstances, Incident, IncidentCount, IncidentFilter, IncidentKind, Instance,
    InstanceFilter, InstanceState, InstanceSummary, OpenElement, OpenJob, ResolveIncident, ResolveIncidents,
    ResolvedIncidents, Selection, SetVariables, UnresolvedIncident,
};
pub use job::{
    ActivateJobs, CompleteJob, FailJob, Job, JobLag, JobLagFilter, JobLagReport, JobLagUpdate, JobRef,
    JobSeries, StartInstance, StartInstances, StartedInstance, StartedInstances, StreamJobs, Variables,
};
pub use migration::VersionVerdict;
pub use owner::{Claim, Owner, claim};
pub use page::{Page, PageRequest};
pub use process::{
    DefinitionFilter, DefinitionRef, DeleteProcess, DeployOutcome, DeployProcess, DeployResult, Finding,
    LintMode, ManagedDefinition, OnInstances, ProcessDefinition, ProcessDeletion, ProcessDocument, Severity,
    ValidateProcess, Validation, WaitingCount, WaitingInstances,
};
pub use tenant::{
    DeleteTenant, DeleteTenantMode, Isolation, PutOutcome, PutTenant, QuotaKind, Tenant, TenantDeletion,
    TenantQuotas, TenantUsage,
};

/// The tenant of work that names none. Ids that begin with `_` belong to the engine.
pub const DEFAULT_TENANT: &str = "_default";

/// The value of [`EngineInfo::engine_kind`] for the engine of this repository.
pub const ENGINE_KIND: &str = "workflow-engine";
