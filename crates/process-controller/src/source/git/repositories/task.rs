//! The task of one repository.

use std::sync::Arc;
use std::time::Duration;

use api_types::WorkflowProcess;
use api_types::process::ProcessReason;
use controller_kit::problem::Problem;
use kube::runtime::reflector::ObjectRef;
use remote_files::git::{File, Outcome, Repository, Want};
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Key, Reader, Repositories, Served};
use crate::source::git::access::observe_access;
use crate::source::reason::problem_of;
use crate::source::{Fetched, ReadFailure, Reading};

/// Processes that are applied together are served together.
const GATHER: Duration = Duration::from_millis(200);
/// Pause after the first visit that gave a reader nothing; it doubles up to the reader's interval.
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// Visits the repository as long as it has readers.
pub(super) async fn run(repositories: Repositories, key: Key, wake: Arc<Notify>) {
    let repository = repositories.repository(&key);
    loop {
        let due = repositories.next_due(&key);
        tokio::select! {
            () = wake.notified() => continue,
            () = sleep_until(due) => {}
        }
        tokio::time::sleep(GATHER).await;
        let asked = repositories.asked_by(&key);
        let Some(visited) = visit(&repositories, &key, &repository, &asked).await else {
            repositories.postpone(&key);
            continue;
        };
        let moved = repositories.keep(&key, &asked, &visited);
        repositories.queue.push_all(moved);
        repository.keep_only(&repositories.commits_of(&key));
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// One answer for each reader, in their order; `None` while the API server does not give the Secret, which says nothing about the
/// repository.
async fn visit(
    repositories: &Repositories,
    key: &Key,
    repository: &Repository,
    asked: &[(Reader, Want)],
) -> Option<Vec<Result<File, ReadFailure>>> {
    let settings = &repositories.settings;
    let _permit = repositories.permits.take(&key.namespace, &key.url.authority()).await;
    let access = observe_access(
        &repositories.client,
        &key.namespace,
        key.secret.as_deref(),
        &key.url,
        &settings.policy,
        &repositories.tokens,
    );
    let access = match access.await {
        Ok(access) => access,
        Err(problem) if problem.reason == ProcessReason::KubernetesUnavailable => return None,
        Err(problem) => {
            let failure = ReadFailure { problem, revision: None };
            return Some(vec![Err(failure); asked.len()]);
        }
    };
    let wants = asked.iter().map(|(_, want)| want.clone()).collect();
    let outcomes = repository.read(&access, &settings.budget, wants).await;
    let answers = asked.iter().zip(outcomes);
    Some(answers.map(|((reader, _), outcome)| answer(key, reader, outcome)).collect())
}

fn answer(key: &Key, reader: &Reader, outcome: Outcome) -> Result<File, ReadFailure> {
    let Outcome { commit, file } = outcome;
    file.map_err(|error| {
        let at = commit.as_ref().map_or_else(String::new, |commit| format!(", commit {commit}"));
        let problem = problem_of(&error);
        let message =
            format!("{} in {} at {}{at}: {}", reader.path, key.url, reader.revision, problem.message);
        ReadFailure { problem: Problem { message, ..problem }, revision: commit }
    })
}

/// A name that says nothing, and is another one for everybody who might read something else.
pub(super) fn folder_of(key: &Key) -> String {
    let Key { namespace, url, secret } = key;
    let text = format!("{namespace}\n{url}\n{}", secret.as_deref().unwrap_or_default());
    Sha256::digest(text).iter().fold(String::new(), |name, byte| name + &format!("{byte:02x}"))
}

impl Repositories {
    /// When the first of its readers is due; `None`: it has none.
    fn next_due(&self, key: &Key) -> Option<Instant> {
        self.lock().watched.get(key)?.readers.values().map(|served| served.due).min()
    }

    /// All its readers are due a little later.
    fn postpone(&self, key: &Key) {
        let mut known = self.lock();
        let readers = known.watched.get_mut(key).into_iter().flat_map(|watched| watched.readers.values_mut());
        readers.for_each(|served| served.due = Instant::now() + FIRST_PAUSE);
    }

    /// All its readers: who is not due yet costs nothing more, because the refs are asked for anyway.
    fn asked_by(&self, key: &Key) -> Vec<(Reader, Want)> {
        let known = self.lock();
        let readers = known.watched.get(key).into_iter().flat_map(|watched| watched.readers.values());
        readers.map(|served| (served.reader.clone(), served.want())).collect()
    }

    /// Keeps what came for the readers that still want it. Those for whom it is something new.
    fn keep(
        &self,
        key: &Key,
        asked: &[(Reader, Want)],
        visited: &[Result<File, ReadFailure>],
    ) -> Vec<ObjectRef<WorkflowProcess>> {
        let mut known = self.lock();
        let Some(watched) = known.watched.get_mut(key) else { return Vec::new() };
        let mut moved = Vec::new();
        for ((reader, _), answer) in asked.iter().zip(visited) {
            let Some(served) = watched.readers.get_mut(&reader.uid) else { continue };
            if served.reader == *reader && served.keep(answer) {
                moved.push(reader.object.clone());
            }
        }
        known.make_room(key);
        moved
    }

    fn commits_of(&self, key: &Key) -> Vec<String> {
        let known = self.lock();
        let readers = known.watched.get(key).into_iter().flat_map(|watched| watched.readers.values());
        readers.filter_map(|served| Some(served.file()?.commit)).collect()
    }
}

impl Served {
    fn want(&self) -> Want {
        Want { revision: self.reader.revision.clone(), path: self.reader.path.clone(), known: self.file() }
    }

    /// The document that it has.
    fn file(&self) -> Option<File> {
        match &self.reading {
            Some(Reading { latest: Fetched::Document { bytes, revision: Some(commit) }, .. }) => {
                Some(File { commit: commit.clone(), bytes: bytes.clone() })
            }
            _ => None,
        }
    }

    /// Is it something new?
    fn keep(&mut self, answer: &Result<File, ReadFailure>) -> bool {
        let former = self.reading.take();
        let reading = match answer {
            Ok(File { commit, bytes }) => {
                Fetched::Document { bytes: bytes.clone(), revision: Some(commit.clone()) }.into()
            }
            Err(failure) => {
                let latest = match &former {
                    Some(Reading { latest: document @ Fetched::Document { .. }, .. }) => document.clone(),
                    _ => Fetched::Unread(failure.problem.clone()),
                };
                Reading { latest, failure: Some(failure.clone()) }
            }
        };
        self.failures = match &reading.latest {
            Fetched::Document { .. } => 0,
            _ => self.failures.saturating_add(1),
        };
        self.due = Instant::now() + pause_after(self.reader.interval, self.failures, rand::random());
        let is_new = former.as_ref() != Some(&reading);
        self.reading = Some(reading);
        is_new
    }
}

/// Time to the next visit, within ten percent. `jitter` is uniform in 0..1.
fn pause_after(interval: Duration, failures: u32, jitter: f64) -> Duration {
    let pause = match failures {
        0 => interval,
        _ => FIRST_PAUSE.saturating_mul(1 << (failures - 1).min(10)).min(interval),
    };
    pause.mul_f64(0.9 + 0.2 * jitter)
}

#[cfg(test)]
mod tests;
