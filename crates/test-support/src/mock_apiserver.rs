//! A scripted apiserver: the test says which calls come and what each is answered; any other call, and any call that
//! does not come, fails the test.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! use k8s_openapi::api::core::v1::ConfigMap;
//! use kube::{Api, api::{Patch, PatchParams}};
//! use test_support::mock_apiserver::{MockApiServer, get, patch};
//! use test_support::reply::{self, Reply};
//!
//! let apiserver = MockApiServer::in_order([
//!     get("/api/v1/namespaces/acme/configmaps/config").reply(reply::not_found("configmaps", "config")),
//!     patch("/api/v1/namespaces/acme/configmaps/config")
//!         .query("fieldManager", "worker-controller")
//!         .reply(Reply::created(serde_json::json!({"metadata": {"name": "config"}}))),
//! ]);
//! let config_maps: Api<ConfigMap> = Api::namespaced(apiserver.client(), "acme");
//!
//! assert_eq!(config_maps.get_opt("config").await.unwrap(), None);
//! let desired = serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "config"}});
//! let params = PatchParams::apply("worker-controller");
//! config_maps.patch("config", &params, &Patch::Apply(&desired)).await.unwrap();
//!
//! let requests = apiserver.finish();
//! assert_eq!(requests[1].body, Some(desired));
//! # });
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{Method, Request};
use kube::Client;
use kube::client::Body;
use serde_json::Value;

use crate::reply::{self, Reply};
use crate::request::RecordedRequest;

#[cfg(test)]
mod tests;

/// A call that must come, and its answer.
#[derive(Clone, Debug)]
pub struct Expectation {
    method: Method,
    path: String,
    query: BTreeMap<String, String>,
    body: Option<Value>,
    reply: Reply,
}

/// Expects `GET path`; answers 200 `{}` until [`Expectation::reply`] says otherwise.
pub fn get(path: &str) -> Expectation {
    expect(Method::GET, path)
}

/// Expects `POST path`.
pub fn post(path: &str) -> Expectation {
    expect(Method::POST, path)
}

/// Expects `PUT path`.
pub fn put(path: &str) -> Expectation {
    expect(Method::PUT, path)
}

/// Expects `PATCH path`: any of the patch kinds, look at the recorded content type.
pub fn patch(path: &str) -> Expectation {
    expect(Method::PATCH, path)
}

/// Expects `DELETE path`.
pub fn delete(path: &str) -> Expectation {
    expect(Method::DELETE, path)
}

fn expect(method: Method, path: &str) -> Expectation {
    Expectation {
        method,
        path: path.to_owned(),
        query: BTreeMap::new(),
        body: None,
        reply: Reply::ok(serde_json::json!({})),
    }
}

impl Expectation {
    /// The request must carry this query parameter; others may be there.
    #[must_use]
    pub fn query(mut self, key: &str, value: &str) -> Self {
        self.query.insert(key.to_owned(), value.to_owned());
        self
    }

    /// The request must carry exactly this body.
    #[must_use]
    pub fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// The answer: a [`Reply`] or a refusal from [`crate::reply`].
    #[must_use]
    pub fn reply(mut self, reply: impl Into<Reply>) -> Self {
        self.reply = reply.into();
        self
    }

    fn matches(&self, request: &RecordedRequest) -> bool {
        self.method == request.method
            && self.path == request.path
            && self.query.iter().all(|(key, value)| request.query.get(key) == Some(value))
            && self.body.as_ref().is_none_or(|body| request.body.as_ref() == Some(body))
    }
}

/// See the [module](self).
#[derive(Debug)]
pub struct MockApiServer {
    script: Arc<Mutex<Script>>,
}

#[derive(Debug)]
struct Script {
    ordered: bool,
    outstanding: Vec<Expectation>,
    recorded: Vec<RecordedRequest>,
    unexpected: Vec<String>,
}

impl MockApiServer {
    /// The calls come in exactly this order. With none, every call fails the test.
    pub fn in_order(expectations: impl IntoIterator<Item = Expectation>) -> Self {
        Self::scripted(true, expectations)
    }

    /// Each call comes exactly once, in any order: for reads made in parallel.
    pub fn in_any_order(expectations: impl IntoIterator<Item = Expectation>) -> Self {
        Self::scripted(false, expectations)
    }

    fn scripted(ordered: bool, expectations: impl IntoIterator<Item = Expectation>) -> Self {
        let script = Script {
            ordered,
            outstanding: expectations.into_iter().collect(),
            recorded: Vec::new(),
            unexpected: Vec::new(),
        };
        Self { script: Arc::new(Mutex::new(script)) }
    }

    /// A client of this server, with `default` as its namespace. Call it within a tokio runtime.
    pub fn client(&self) -> Client {
        let script = Arc::clone(&self.script);
        let service = tower::service_fn(move |request: Request<Body>| {
            let script = Arc::clone(&script);
            async move {
                let request = RecordedRequest::read(request).await?;
                Ok::<_, kube::Error>(lock(&script).answer(&request).into_response())
            }
        });
        Client::new(service, "default")
    }

    /// Fails the test if a call is missing or was not expected, else returns the requests in order.
    pub fn finish(self) -> Vec<RecordedRequest> {
        self.assert_fulfilled();
        lock(&self.script).recorded.clone()
    }

    fn assert_fulfilled(&self) {
        // Both are taken out, so that the drop after a failure here does not panic again.
        let (unexpected, outstanding) = {
            let mut script = lock(&self.script);
            (std::mem::take(&mut script.unexpected), std::mem::take(&mut script.outstanding))
        };
        assert!(unexpected.is_empty(), "unexpected requests:\n{}", unexpected.join("\n"));
        let missing: Vec<String> = outstanding.iter().map(|e| format!("{} {}", e.method, e.path)).collect();
        assert!(missing.is_empty(), "requests that never came:\n{}", missing.join("\n"));
    }
}

impl Drop for MockApiServer {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.assert_fulfilled();
        }
    }
}

impl Script {
    fn answer(&mut self, request: &RecordedRequest) -> Reply {
        self.recorded.push(request.clone());
        let candidates = if self.ordered { 1 } else { self.outstanding.len() };
        let found = self.outstanding.iter().take(candidates).position(|e| e.matches(request));
        if let Some(index) = found {
            return self.outstanding.remove(index).reply;
        }
        let awaited = match self.outstanding.first() {
            Some(next) if self.ordered => format!("{next:?}"),
            Some(_) => format!("one of {:?}", self.outstanding),
            None => "no further request".to_owned(),
        };
        let complaint = format!("got {request:?}\n  while awaiting {awaited}");
        self.unexpected.push(complaint.clone());
        reply::failure(500, "InternalError", &complaint).into()
    }
}

/// A panic in another thread of the test must not hide the first failure behind "poisoned".
fn lock(script: &Mutex<Script>) -> MutexGuard<'_, Script> {
    script.lock().unwrap_or_else(PoisonError::into_inner)
}
