//! Instances and what stops them.

use jiff::Timestamp;

use super::Variables;

/// Where an instance stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstanceState {
    /// It runs.
    Active,
    /// It reached its end.
    Completed,
    /// It was cancelled.
    Canceled,
}

/// One run of a process.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// Unique over all tenants.
    pub key: i64,
    /// The definition it runs.
    pub process_definition_key: i64,
    /// The BPMN process id.
    pub process_id: String,
    /// The definition's version.
    pub version: u32,
    /// Where it stands.
    pub state: InstanceState,
    /// Its variables now.
    pub variables: Variables,
    /// Open incidents.
    pub incidents: Vec<Incident>,
    /// Where its tokens wait; none once it ended.
    pub open_elements: Vec<OpenElement>,
    /// When it was started; `None` = the engine does not tell.
    pub started_at: Option<Timestamp>,
    /// When it ended; `None` while it runs.
    pub ended_at: Option<Timestamp>,
}

/// Where tokens of an instance wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenElement {
    /// Where in the model.
    pub element_id: String,
    /// How many.
    pub tokens: u32,
    /// The job that the token waits for; `None` = an incident holds it, or it waits at a join.
    pub job: Option<OpenJob>,
    /// The incident that holds it.
    pub incident_key: Option<i64>,
}

/// A job that is not finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenJob {
    /// Unique over all tenants.
    pub key: i64,
    /// Its type.
    pub job_type: String,
    /// Attempts left; 0 = none, an incident holds it.
    pub retries: u32,
}

/// Why an instance needs a person. The first three are Zeebe's error types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IncidentKind {
    /// A worker failed a job, which has no attempts left.
    JobNoRetries,
    /// No condition of a gateway is true, and it has no default flow.
    ConditionError,
    /// An expression of an element gives no usable value.
    ExtractValueError,
    /// The process moved very often without reaching a task or an end.
    EndlessLoop,
    /// A join waits for a token that can no longer come.
    StuckJoin,
}

/// Something that stopped an instance and that a person must look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// Unique over all tenants.
    pub key: i64,
    /// Why; `None` = the engine does not tell it, because it is older than 1.3.0.
    pub kind: Option<IncidentKind>,
    /// Where in the model.
    pub element_id: String,
    /// What happened.
    pub message: String,
    /// When.
    pub raised_at: Timestamp,
    /// Which instance it stopped.
    pub instance_key: i64,
    /// The definition that the instance runs.
    pub process_definition_key: i64,
    /// The BPMN process id.
    pub process_id: String,
    /// The definition's version.
    pub version: u32,
    /// The job that has no attempts left; `None` = the incident is not one of a job.
    pub job_key: Option<i64>,
}

/// Which instances; every field narrows the choice, the default is all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstanceFilter {
    /// Only these.
    pub state: Option<InstanceState>,
    /// Only of this process.
    pub process_id: Option<String>,
    /// Only of this version; needs `process_id`.
    pub version: Option<u32>,
    /// Only with (true) or without (false) an open incident.
    pub has_incident: Option<bool>,
}

/// One instance among many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceSummary {
    /// Unique over all tenants.
    pub key: i64,
    /// The definition it runs.
    pub process_definition_key: i64,
    /// The BPMN process id.
    pub process_id: String,
    /// The definition's version.
    pub version: u32,
    /// Where it stands.
    pub state: InstanceState,
    /// When it was started.
    pub started_at: Timestamp,
    /// When it ended; `None` while it runs.
    pub ended_at: Option<Timestamp>,
    /// Incidents that hold it.
    pub open_incidents: u32,
}

/// What is chosen: by name, or by what it has in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection<Filter> {
    /// 1 to 1000 keys, each once.
    Keys(Vec<i64>),
    /// At most 1000 per call that fit the filter, from the place that an earlier answer named.
    Filter {
        /// What they have in common.
        filter: Filter,
        /// `None` = from the beginning.
        page: Option<String>,
    },
}

/// Merges variables into a running instance.
#[derive(Clone, Debug, PartialEq)]
pub struct SetVariables {
    /// Repetitions with the same id do it once.
    pub request_id: String,
    /// Whose.
    pub tenant_id: String,
    /// Which one.
    pub instance_key: i64,
    /// At least one.
    pub variables: Variables,
}

/// Ends running instances before their time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CancelInstances {
    /// Repetitions with the same id do it once.
    pub request_id: String,
    /// Whose.
    pub tenant_id: String,
    /// Which ones; a filter without any field is every running instance.
    pub selection: Selection<InstanceFilter>,
}

/// What a cancellation did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanceledInstances {
    /// How many were ended.
    pub canceled: u32,
    /// Keys that were named and do not run.
    pub not_running: Vec<i64>,
    /// Where the filter goes on; `None` = nothing is left.
    pub next: Option<String>,
}

/// Which incidents; every field narrows the choice, the default is all open ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IncidentFilter {
    /// Only of this process.
    pub process_id: Option<String>,
    /// Only of this version; needs `process_id`.
    pub version: Option<u32>,
    /// Only of this instance; goes alone.
    pub instance_key: Option<i64>,
}

/// How many incidents are open in the instances of one version of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncidentCount {
    /// The definition.
    pub process_definition_key: i64,
    /// The BPMN process id.
    pub process_id: String,
    /// The definition's version.
    pub version: u32,
    /// 1 or more.
    pub open: u64,
}

/// Lets what one incident holds go on.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolveIncident {
    /// Whose.
    pub tenant_id: String,
    /// Which one.
    pub key: i64,
    /// Attempts that its job gets; 1 or more.
    pub retries: u32,
    /// Merged into the variables of its instance first.
    pub variables: Variables,
}

/// Lets what incidents hold go on.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolveIncidents {
    /// Repetitions with the same id do it once.
    pub request_id: String,
    /// Whose.
    pub tenant_id: String,
    /// Which ones.
    pub selection: Selection<IncidentFilter>,
    /// Attempts that each job gets; 1 or more.
    pub retries: u32,
    /// Merged into the variables of each instance first.
    pub variables: Variables,
}

/// What a resolution did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedIncidents {
    /// How many are gone.
    pub resolved: u32,
    /// Those that are as they were.
    pub unresolved: Vec<UnresolvedIncident>,
    /// Where the filter goes on; `None` = nothing is left.
    pub next: Option<String>,
}

/// An incident that a resolution left as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnresolvedIncident {
    /// Which one.
    pub key: i64,
    /// `INCIDENT_REMAINS`, `INCIDENT_FINAL`, `INCIDENT_UNKNOWN` or `VARIABLES_TOO_LARGE`.
    pub reason: String,
    /// The same for people, with what to do.
    pub message: String,
}
