//! From spec to something buildable, or the one field that stands in its way. Pure.

use api_types::worker::WorkerReason;
use api_types::{WorkflowWorker, job_type, violations};
use controller_kit::problem::Problem;

/// What builders need beside the spec, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fleet {
    /// Sorted by name.
    pub job_types: Vec<JobType>,
}

/// A job type under both of its names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct JobType {
    /// As the engine knows it.
    pub name: String,
    /// As a label value, for the metric's selector.
    pub label_value: String,
}

/// Checks what the schema says once more: objects can be older than it.
pub fn validate(worker: &WorkflowWorker) -> Result<Fleet, Problem<WorkerReason>> {
    let broken = violations(worker);
    if let [first, others @ ..] = broken.as_slice() {
        let more = if others.is_empty() { String::new() } else { format!("; and {} more", others.len()) };
        return Err(Problem::invalid_spec(format!("{first}{more}")));
    }
    let mut job_types = worker
        .spec
        .job_types
        .iter()
        .map(|name| Ok(JobType { name: name.clone(), label_value: job_type::encode(name)? }))
        .collect::<Result<Vec<_>, job_type::JobTypeError>>()
        .map_err(|error| Problem::invalid_spec(format!("spec.jobTypes: {error}")))?;
    job_types.sort();
    Ok(Fleet { job_types })
}

#[cfg(test)]
mod tests;
