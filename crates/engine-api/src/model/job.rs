use std::{
    collections::HashMap,
    fmt,
    ops::{Deref, DerefMut},
    time::Duration,
};

use jiff::Timestamp;

/// Variables of an instance: a JSON object. Numbers are IEEE doubles on the wire, so an integer beyond ±2^53 is refused
/// rather than rounded; send it as a string. They are customers' data: `Debug` tells no more than how many there are.
#[derive(Clone, Default, PartialEq)]
pub struct Variables(pub serde_json::Map<String, serde_json::Value>);

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of them", self.len())
    }
}

impl Deref for Variables {
    type Target = serde_json::Map<String, serde_json::Value>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Variables {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl FromIterator<(String, serde_json::Value)> for Variables {
    fn from_iter<I: IntoIterator<Item = (String, serde_json::Value)>>(variables: I) -> Self {
        Self(variables.into_iter().collect())
    }
}

/// Starts one instance.
#[derive(Clone, Debug, PartialEq)]
pub struct StartInstance {
    /// See [`request_id`](crate::request_id()); empty = do not remember.
    pub request_id: String,
    /// The owning tenant.
    pub tenant_id: String,
    /// The BPMN process id.
    pub process_id: String,
    /// Which version; `None` = the latest.
    pub version: Option<u32>,
    /// The instance's first variables.
    pub variables: Variables,
}

/// The instance that was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartedInstance {
    /// The new instance.
    pub instance_key: i64,
    /// The definition it runs.
    pub process_definition_key: i64,
}

/// Starts many instances of one process in one transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct StartInstances {
    /// See [`request_id`](crate::request_id()); empty = do not remember.
    pub request_id: String,
    /// The owning tenant.
    pub tenant_id: String,
    /// The BPMN process id.
    pub process_id: String,
    /// Which version; `None` = the latest.
    pub version: Option<u32>,
    /// One instance each, 1 to 1000.
    pub variables: Vec<Variables>,
}

/// The instances that were started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StartedInstances {
    /// The new instances, in the order of their variables.
    pub instance_keys: Vec<i64>,
    /// The definition they run.
    pub process_definition_key: i64,
}

/// Asks for waiting jobs once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivateJobs {
    /// Whose jobs.
    pub tenant_id: String,
    /// Which jobs.
    pub job_types: Vec<String>,
    /// Who asks, for people.
    pub worker: String,
    /// 1 to 1000.
    pub max_jobs: u32,
    /// How long the jobs are ours: 1 s to 1 h.
    pub lease: Duration,
    /// How long the engine may hold the answer back while no job waits: at most 30 s.
    pub wait: Duration,
}

/// Asks for jobs as they come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamJobs {
    /// Whose jobs.
    pub tenant_id: String,
    /// Which jobs.
    pub job_types: Vec<String>,
    /// Who asks, for people.
    pub worker: String,
    /// Most unfinished jobs of this stream at any time: 1 to 1000.
    pub max_in_flight: u32,
    /// How long each job is ours: 1 s to 1 h.
    pub lease: Duration,
}

/// A piece of work under a lease.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Unique over all tenants.
    pub key: i64,
    /// The owning tenant.
    pub tenant_id: String,
    /// What kind of work.
    pub job_type: String,
    /// The instance that waits for it.
    pub instance_key: i64,
    /// The definition that the instance runs.
    pub process_definition_key: i64,
    /// The BPMN process id.
    pub process_id: String,
    /// The service task.
    pub element_id: String,
    /// Task headers of the model.
    pub headers: HashMap<String, String>,
    /// Variables of the instance.
    pub variables: Variables,
    /// Attempts left, this one included.
    pub retries: u32,
    /// Which lease this is: a later one makes this one void.
    pub lease_epoch: i64,
    /// When the job is given to somebody else.
    pub lease_expires_at: Timestamp,
    /// When the job came to be.
    pub created_at: Timestamp,
}

impl Job {
    /// What a completion, failure or extension must carry.
    pub fn job_ref(&self) -> JobRef {
        JobRef { tenant_id: self.tenant_id.clone(), key: self.key, lease_epoch: self.lease_epoch }
    }
}

/// A job and the lease under which it is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRef {
    /// The owning tenant.
    pub tenant_id: String,
    /// Which job.
    pub key: i64,
    /// Which lease; a lost one is [`ErrorClass::Stale`](crate::ErrorClass::Stale).
    pub lease_epoch: i64,
}

/// A job that is done.
#[derive(Clone, Debug, PartialEq)]
pub struct CompleteJob {
    /// Which one.
    pub job: JobRef,
    /// Merged into the instance's variables.
    pub variables: Variables,
}

/// A job that could not be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailJob {
    /// Which one.
    pub job: JobRef,
    /// Attempts left after this failure; 0 raises an incident.
    pub retries: u32,
    /// How long nobody may take it.
    pub retry_backoff: Duration,
    /// Why, for people; at most 1024 characters are kept.
    pub error_message: String,
}

/// Which lags are asked for; an empty list = all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobLagFilter {
    /// Of these tenants.
    pub tenant_ids: Vec<String>,
    /// Of these job types.
    pub job_types: Vec<String>,
}

/// A (tenant, job type) pair.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobSeries {
    /// The tenant.
    pub tenant_id: String,
    /// The job type.
    pub job_type: String,
}

/// How long jobs of one series wait. A known type without waiting jobs has `activatable == 0` and no `oldest_run_at`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobLag {
    /// Of whom and what.
    pub series: JobSeries,
    /// Jobs that a worker could take now.
    pub activatable: u64,
    /// When the oldest of them became takeable (a retry's backoff is not lag).
    pub oldest_run_at: Option<Timestamp>,
    /// Jobs under a lease.
    pub activated: u64,
}

/// All lags at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobLagReport {
    /// One per known series.
    pub lags: Vec<JobLag>,
    /// When the engine looked; it looks more than once when there is much, and this is the first time.
    pub measured_at: Timestamp,
}

/// One message of the lag stream: what the engine saw at one look, or a part of it. A complete one without lags is a
/// heartbeat: all former values hold as of `measured_at`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobLagUpdate {
    /// The look tells everything there is: forget all former values, once it is complete.
    pub snapshot: bool,
    /// This is the last part of the look. Before it a snapshot lacks series, and nothing is confirmed.
    pub complete: bool,
    /// What changed, or everything.
    pub lags: Vec<JobLag>,
    /// Series that are no longer known.
    pub removed: Vec<JobSeries>,
    /// When the engine looked.
    pub measured_at: Timestamp,
}

#[cfg(test)]
mod tests;
