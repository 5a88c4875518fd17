//! `spec.source.gitRef`: a file of a branch, tag or commit of a git repository.
//!
//! [`repositories`] look at repositories again and again, one task for all processes of one. A pass is given what its task read last.
//! [`access`] reads the Secret for each visit, so that a renewed one counts at once; of a [GitHub App](github_app) it has a token made. [`permits`] keeps one host or namespace from taking
//! the time of all.

mod access;
mod github_app;
mod permits;
mod repositories;

use std::sync::Arc;
use std::time::Duration;

use api_types::WorkflowProcess;
use api_types::labels::RECONCILE_AT;
use api_types::process::{DEFAULT_GIT_INTERVAL, GitRef, MIN_GIT_INTERVAL};
use controller_kit::clock::Clock;
use controller_kit::controller::Queue;
use controller_kit::problem::Problem;
use futures::FutureExt as _;
use futures::future::{BoxFuture, ready};
use kube::runtime::reflector::ObjectRef;
use kube::{Client, ResourceExt as _};
use remote_files::git::{Budget, RepositoryUrl, Revision, Store};
use remote_files::network::AddressPolicy;

use super::{Fetched, Reading, Source};
use github_app::Tokens;
use repositories::{Key, Reader, Repositories};

/// What an installation allows.
#[derive(Clone, Debug)]
pub struct GitSettings {
    /// Which addresses may be called.
    pub policy: AddressPolicy,
    /// What one visit may cost.
    pub budget: Budget,
    /// What was fetched.
    pub store: Store,
}

/// Files in git repositories.
pub struct GitFile {
    repositories: Repositories,
}

impl GitFile {
    /// `queue` is asked for a pass when a repository has something new.
    #[must_use]
    pub fn new(client: Client, settings: GitSettings, queue: Queue<WorkflowProcess>, clock: Clock) -> Self {
        Self { repositories: Repositories::new(client, settings, queue, Tokens::new(clock)) }
    }
}

impl Source for GitFile {
    fn is_named_by(&self, spec: &api_types::process::Source) -> bool {
        spec.bpmn.is_none() && spec.config_map_ref.is_none() && spec.git_ref.is_some()
    }

    fn read<'a>(&'a self, _client: &'a Client, process: &'a WorkflowProcess) -> BoxFuture<'a, Reading> {
        let reading = match process.spec.source.git_ref.as_ref() {
            Some(reference) => match build_reader(process, reference) {
                Ok((key, reader)) => self.repositories.read(key, reader),
                Err(problem) => Fetched::Unread(problem).into(),
            },
            None => Fetched::Missing("spec.source.gitRef is not set".to_owned()).into(),
        };
        ready(reading).boxed()
    }

    fn forget(&self, uid: &str) {
        self.repositories.forget(uid);
    }

    fn retain(&self, processes: &[Arc<WorkflowProcess>]) {
        self.repositories.retain(processes);
    }
}

fn build_reader(
    process: &WorkflowProcess,
    reference: &GitRef,
) -> Result<(Key, Reader), Problem<api_types::process::ProcessReason>> {
    let invalid = |field: &str, error: remote_files::Error| {
        Problem::invalid_spec(format!("spec.source.gitRef.{field}: {error}"))
    };
    let url = RepositoryUrl::parse(&reference.url).map_err(|error| invalid("url", error))?;
    let revision = Revision::parse(&reference.revision).map_err(|error| invalid("revision", error))?;
    let key = Key {
        namespace: process.namespace().unwrap_or_default(),
        url,
        secret: reference.secret_ref.as_ref().map(|secret| secret.name.clone()),
    };
    let reader = Reader {
        uid: process.uid().unwrap_or_default(),
        object: ObjectRef::from_obj(process),
        revision,
        path: reference.path.clone(),
        interval: interval_of(reference),
        requested_at: process.annotations().get(RECONCILE_AT).cloned(),
    };
    Ok((key, reader))
}

fn interval_of(reference: &GitRef) -> Duration {
    reference.interval().unwrap_or(DEFAULT_GIT_INTERVAL).max(MIN_GIT_INTERVAL)
}
