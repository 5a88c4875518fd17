//! The peers of the adapter, played by the test: the Kubernetes API's reviews, and engines.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use api_types::WorkflowCluster;
use engine_client::model::{JobLag, JobLagUpdate, JobSeries};
use futures::stream::{self, BoxStream, StreamExt as _};
use http::Request;
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use job_lag_metrics_adapter::source::{LagSource, SourceError};
use kube::{Client, client::Body};
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// Answers token reviews and access reviews.
#[derive(Default)]
pub(crate) struct ScriptedKubernetes {
    allowed: Mutex<Vec<String>>,
    tokens: Mutex<BTreeMap<String, Value>>,
    pub(crate) access_reviews: Mutex<Vec<Value>>,
    pub(crate) token_reviews: AtomicUsize,
    pub(crate) unreachable: AtomicBool,
}

impl ScriptedKubernetes {
    pub(crate) fn allow(&self, user: &str) {
        self.allowed.lock().unwrap().push(user.to_owned());
    }

    pub(crate) fn revoke(&self, user: &str) {
        self.allowed.lock().unwrap().retain(|allowed| allowed != user);
    }

    pub(crate) fn know_token(&self, token: &str, user: &str) {
        let user = json!({"username": user, "groups": ["system:serviceaccounts"]});
        self.tokens.lock().unwrap().insert(token.to_owned(), user);
    }

    pub(crate) fn client(self: Arc<Self>) -> Client {
        let service = tower::service_fn(move |request: Request<Body>| {
            let kubernetes = self.clone();
            async move {
                let path = request.uri().path().to_owned();
                let body = request
                    .into_body()
                    .collect()
                    .await
                    .expect("a request body should be readable")
                    .to_bytes();
                if kubernetes.unreachable.load(Ordering::Relaxed) {
                    return Err(std::io::Error::other("connection refused"));
                }
                let review: Value = serde_json::from_slice(&body).expect("a review should be JSON");
                let answer = kubernetes.review(&path, review);
                Ok(http::Response::builder()
                    .status(201)
                    .body(Body::from(answer.to_string().into_bytes()))
                    .expect("the answer should be well-formed"))
            }
        });
        Client::new(service, "default")
    }

    fn review(&self, path: &str, mut review: Value) -> Value {
        if path.ends_with("/tokenreviews") {
            self.token_reviews.fetch_add(1, Ordering::Relaxed);
            let token = review["spec"]["token"].as_str().expect("a token review has a token").to_owned();
            review["status"] = match self.tokens.lock().unwrap().get(&token) {
                Some(user) => json!({"authenticated": true, "user": user}),
                None => json!({"authenticated": false, "error": "invalid bearer token"}),
            };
        } else {
            assert!(path.ends_with("/subjectaccessreviews"), "{path}");
            let user = review["spec"]["user"].as_str().expect("an access review has a user").to_owned();
            let allowed = self.allowed.lock().unwrap().contains(&user);
            self.access_reviews.lock().unwrap().push(review["spec"].clone());
            review["status"] = json!({"allowed": allowed});
        }
        review
    }
}

/// Engines that say what a test wants.
#[derive(Default)]
pub(crate) struct ScriptedEngines {
    streams: Mutex<BTreeMap<String, mpsc::UnboundedSender<JobLagUpdate>>>,
    /// What a stream begins with; without it a stream opens and stays silent.
    snapshots: Mutex<BTreeMap<String, Vec<Series>>>,
    pub(crate) down: AtomicBool,
}

#[derive(Clone, Copy)]
pub(crate) struct Waiting {
    pub(crate) seconds: f64,
    pub(crate) jobs: u64,
}

pub(crate) const IDLE: Waiting = Waiting { seconds: 0.0, jobs: 0 };

pub(crate) fn waiting(seconds: f64, jobs: u64) -> Waiting {
    Waiting { seconds, jobs }
}

pub(crate) type Series = (Option<&'static str>, &'static str, Waiting);

impl ScriptedEngines {
    /// Sets everything that a cluster's engine knows.
    pub(crate) fn say(&self, cluster: &str, series: &[Series]) {
        self.snapshots.lock().unwrap().insert(cluster.to_owned(), series.to_vec());
        if let Some(stream) = self.streams.lock().unwrap().get(cluster) {
            let _ = stream.send(snapshot(series));
        }
    }

    /// The engine goes away; open streams end.
    pub(crate) fn go_down(&self) {
        self.down.store(true, Ordering::Relaxed);
        self.streams.lock().unwrap().clear();
    }

    pub(crate) fn come_back(&self) {
        self.down.store(false, Ordering::Relaxed);
    }
}

#[allow(clippy::disallowed_methods, reason = "an engine has a clock")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

fn snapshot(series: &[Series]) -> JobLagUpdate {
    let measured_at = now();
    let lags = series
        .iter()
        .map(|(tenant, job_type, waiting)| JobLag {
            series: JobSeries {
                tenant_id: tenant.unwrap_or(engine_client::model::DEFAULT_TENANT).to_owned(),
                job_type: (*job_type).to_owned(),
            },
            activatable: waiting.jobs,
            oldest_run_at: (waiting.jobs > 0)
                .then(|| measured_at - jiff::SignedDuration::from_secs_f64(waiting.seconds)),
            activated: 0,
        })
        .collect();
    JobLagUpdate { snapshot: true, complete: true, lags, removed: Vec::new(), measured_at }
}

impl LagSource for ScriptedEngines {
    fn watch(&self, cluster: Arc<WorkflowCluster>) -> BoxStream<'static, Result<JobLagUpdate, SourceError>> {
        let name = cluster.metadata.name.clone().expect("a cluster has a name");
        let gone = || {
            SourceError::Watch(engine_client::EngineError::new(
                engine_client::Operation::WatchJobLag,
                engine_client::ErrorClass::Unavailable,
                "connection refused",
            ))
        };
        if self.down.load(Ordering::Relaxed) {
            return stream::iter([Err(gone())]).boxed();
        }
        let (sender, receiver) = mpsc::unbounded_channel();
        if let Some(series) = self.snapshots.lock().unwrap().get(&name) {
            let _ = sender.send(snapshot(series));
        }
        self.streams.lock().unwrap().insert(name, sender);
        let updates =
            stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) });
        updates.map(Ok).chain(stream::once(async move { Err(gone()) })).boxed()
    }
}
