//! Faults between a client and its apiserver, fake or real, or its engine: stop at the n-th write, fail it, delay it.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! use k8s_openapi::api::core::v1::ConfigMap;
//! use kube::{Api, api::{DeleteParams, PostParams}};
//! use test_support::{FakeApiServer, Faults};
//!
//! let apiserver = FakeApiServer::new();
//! let faults = Faults::stop_after_write(1);
//! let config_maps: Api<ConfigMap> = Api::namespaced(faults.wrap(apiserver.client()), "acme");
//! let mut config = ConfigMap::default();
//! config.metadata.name = Some("config".into());
//!
//! // The first write is done, but its process counts as killed before the answer arrives.
//! assert!(config_maps.create(&PostParams::default(), &config).await.is_err());
//! assert!(config_maps.get("config").await.is_err());
//! assert!(apiserver.get::<ConfigMap>("acme", "config").is_some());
//! # });
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Request;
use kube::Client;
use kube::client::Body;
use kube::core::Status;
use tower::BoxError;

use crate::reply::Reply;
use crate::request::is_mutating;

mod engine;
#[cfg(test)]
mod tests;

/// Counts the writes that pass through, and disturbs the chosen ones. Writes count from 1. Clones share the count, so
/// one `Faults` may be in front of several clients, and of a fake engine by [`Faults::pass`].
#[derive(Clone, Debug, Default)]
pub struct Faults {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    stop: Option<Stop>,
    stopped: bool,
    answers: BTreeMap<usize, Status>,
    delays: BTreeMap<usize, Duration>,
    writes: Vec<String>,
}

/// Where a run ends, as if its process had been killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Everything up to the n-th write is done, that write is not.
    Before(usize),
    /// The n-th write is done, and its answer never arrives.
    After(usize),
}

/// The error of every call from the stop on, of reads and of writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stopped by the test, as if the process had been killed")
    }
}

impl std::error::Error for Stopped {}

enum Decision {
    Pass(Option<Duration>),
    PassAndStop,
    Answer(Box<Status>),
    Refuse,
}

impl Faults {
    /// No faults: only counts.
    pub fn none() -> Self {
        Self::default()
    }

    /// Stops there; no call passes afterwards.
    pub fn stop(stop: Stop) -> Self {
        let faults = Self::default();
        faults.state().stop = Some(stop);
        faults
    }

    /// [`Stop::Before`] the n-th write.
    pub fn stop_before_write(n: usize) -> Self {
        Self::stop(Stop::Before(n))
    }

    /// [`Stop::After`] the n-th write.
    pub fn stop_after_write(n: usize) -> Self {
        Self::stop(Stop::After(n))
    }

    /// The n-th write is answered with this refusal and not done.
    #[must_use]
    pub fn fail_write(self, n: usize, refusal: Status) -> Self {
        self.state().answers.insert(n, refusal);
        self
    }

    /// The n-th write waits before it is passed on.
    #[must_use]
    pub fn delay_write(self, n: usize, delay: Duration) -> Self {
        self.state().delays.insert(n, delay);
        self
    }

    /// The writes asked for so far, including refused ones, as `PATCH /api/v1/...`.
    pub fn writes(&self) -> Vec<String> {
        self.state().writes.clone()
    }

    /// Whether the stop was reached.
    pub fn stopped(&self) -> bool {
        self.state().stopped
    }

    /// The same client with these faults in between.
    pub fn wrap(&self, client: Client) -> Client {
        let default_namespace = client.default_namespace().to_owned();
        let faults = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let (client, faults) = (client.clone(), faults.clone());
            async move { faults.forward(client, request).await }
        });
        Client::new(service, default_namespace)
    }

    /// Passes a call to another server than an apiserver, for instance a fake engine, with the same faults and the same
    /// count of writes. `write` names a mutating call, `None` marks a read. A refusal of [`Faults::fail_write`] is for
    /// apiservers; here it acts as a stop of this one call.
    pub async fn pass<T, E>(
        &self,
        write: Option<&str>,
        call: impl Future<Output = Result<T, E>>,
        stopped: impl FnOnce(Stopped) -> E,
    ) -> Result<T, E> {
        match self.admit(write.map(str::to_owned)) {
            Decision::Pass(delay) => {
                wait(delay).await;
                call.await
            }
            Decision::PassAndStop => {
                let _ = call.await;
                Err(stopped(Stopped))
            }
            Decision::Answer(_) | Decision::Refuse => Err(stopped(Stopped)),
        }
    }

    async fn forward(
        &self,
        client: Client,
        request: Request<Body>,
    ) -> Result<http::Response<Body>, BoxError> {
        let is_dry_run = request.uri().query().is_some_and(|query| query.contains("dryRun=All"));
        let is_write = is_mutating(request.method()) && !is_dry_run;
        let write = is_write.then(|| format!("{} {}", request.method(), request.uri().path()));
        match self.admit(write) {
            Decision::Pass(delay) => {
                wait(delay).await;
                Ok(client.send(request).await?)
            }
            Decision::PassAndStop => {
                client.send(request).await?;
                Err(Stopped.into())
            }
            Decision::Answer(status) => Ok(Reply::from(*status).into_response()),
            Decision::Refuse => Err(Stopped.into()),
        }
    }

    fn admit(&self, write: Option<String>) -> Decision {
        let mut state = self.state();
        if state.stopped {
            return Decision::Refuse;
        }
        let Some(write) = write else { return Decision::Pass(None) };
        let n = state.writes.len() + 1;
        if state.stop == Some(Stop::Before(n)) {
            state.stopped = true;
            return Decision::Refuse;
        }
        state.writes.push(write);
        if state.stop == Some(Stop::After(n)) {
            state.stopped = true;
            return Decision::PassAndStop;
        }
        match state.answers.get(&n) {
            Some(status) => Decision::Answer(Box::new(status.clone())),
            None => Decision::Pass(state.delays.get(&n).copied()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic in another thread of the test must not hide the first failure behind "poisoned".
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn wait(delay: Option<Duration>) {
    if let Some(delay) = delay {
        tokio::time::sleep(delay).await;
    }
}
