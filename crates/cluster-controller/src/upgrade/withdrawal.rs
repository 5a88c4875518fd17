//! Which migration Jobs must go: a Job outlives the spec that asked for it, and would migrate the schema as soon as its
//! image, its node or its database turns up.
//!
//! A Job is deleted so that it stays until its pods are gone. A pod that is at work is asked to end and given its
//! grace period; what it had not committed is rolled back, and a step that contracts was recorded before it began. Until
//! then nothing that depends on the schema is decided: what the database says may still change.

use std::sync::Arc;

use api_types::WorkflowCluster;
use api_types::labels::VERSION;
use controller_kit::plan::Deletion;
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt as _;

use super::migration::{JobState, Migration};
use crate::observe::children::is_finished;

/// Version that a Job migrates to.
#[must_use]
pub fn version_of_job(job: &Job) -> Option<&str> {
    let labels = job.spec.as_ref()?.template.metadata.as_ref()?.labels.as_ref()?;
    labels.get(VERSION).map(String::as_str)
}

/// What must go of a cluster whose spec asks for `version`, as `migration` judges it; `asks_for` tells whether the spec
/// makes a Job of this name at all. A finished Job of the version stays for its log. Also those that are going already.
#[must_use]
pub fn unwanted<'j>(
    version: &str,
    asks_for: impl Fn(&str) -> bool,
    migration: &Migration,
    jobs: &'j [Arc<Job>],
) -> Vec<&'j Job> {
    let is_unwanted = |job: &Job| {
        version_of_job(job) != Some(version)
            || match migration {
                Migration::Needed { job: needed, state, .. } => {
                    job.name_any() != needed.name_any() || *state == JobState::Outdated
                }
                // What was allowed when the Job was made, for instance by an approval, no longer is.
                Migration::Refused { .. } => !is_finished(job),
                // It leads to this version, but from another image, or in another database.
                Migration::Done | Migration::Expanded => !is_finished(job) && !asks_for(&job.name_any()),
                // Without its Secret not even the name of the database may be known.
                Migration::Unknown | Migration::Withdrawn { .. } => false,
            }
    };
    jobs.iter().map(|job| &**job).filter(|job| is_unwanted(job)).collect()
}

/// What must go while the rest of the spec cannot be acted on: what does not lead to the version that the spec names.
#[must_use]
pub fn unwanted_by_refused(cluster: &WorkflowCluster, jobs: &[Arc<Job>]) -> Vec<Deletion> {
    if cluster.spec.is_paused() {
        return Vec::new();
    }
    let leads_elsewhere = |job: &&Job| version_of_job(job) != Some(&cluster.spec.version);
    deletion(jobs.iter().map(|job| &**job).filter(|job| !is_finished(job)).filter(leads_elsewhere))
}

/// What must go of a cluster that goes: nobody will run on what is still to be migrated.
#[must_use]
pub fn unwanted_by_deleted(jobs: &[Arc<Job>]) -> Vec<Deletion> {
    deletion(jobs.iter().map(|job| &**job).filter(|job| !is_finished(job)))
}

/// Those that are not going yet.
#[must_use]
pub fn deletion<'j>(jobs: impl IntoIterator<Item = &'j Job>) -> Vec<Deletion> {
    jobs.into_iter().filter(|job| job.metadata.deletion_timestamp.is_none()).map(Deletion::of).collect()
}

#[cfg(test)]
mod tests;
