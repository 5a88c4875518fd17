//! A request as an apiserver sees it, in plain data that a test can compare.

use std::collections::BTreeMap;
use std::fmt;

use http::{Method, Request, header};
use kube::client::Body;
use serde_json::Value;

/// One request that reached a mock or fake apiserver.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedRequest {
    /// The HTTP method.
    pub method: Method,
    /// The path without the query, as sent.
    pub path: String,
    /// The query, decoded; a repeated key keeps its last value.
    pub query: BTreeMap<String, String>,
    /// `Content-Type`: it distinguishes a server-side apply from a merge patch.
    pub content_type: Option<String>,
    /// `Accept`: it marks a metadata-only read.
    pub accept: Option<String>,
    /// The body: JSON, or a JSON string of the raw text when it is not JSON; `None` when empty.
    pub body: Option<Value>,
}

impl RecordedRequest {
    /// Reads the whole request.
    pub(crate) async fn read(request: Request<Body>) -> Result<Self, kube::Error> {
        let (parts, body) = request.into_parts();
        let bytes = body.collect_bytes().await?;
        let header = |name| parts.headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let query = parts.uri.query().unwrap_or_default();
        Ok(Self {
            method: parts.method,
            path: parts.uri.path().to_owned(),
            query: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
            content_type: header(header::CONTENT_TYPE),
            accept: header(header::ACCEPT),
            body: (!bytes.is_empty()).then(|| {
                serde_json::from_slice(&bytes)
                    .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()))
            }),
        })
    }

    /// Whether the request asks for a change. A dry run does not.
    pub fn is_mutating(&self) -> bool {
        is_mutating(&self.method) && self.query("dryRun") != Some("All")
    }

    /// The value of one query parameter.
    pub fn query(&self, key: &str) -> Option<&str> {
        self.query.get(key).map(String::as_str)
    }
}

/// `PATCH /api/v1/namespaces/a/configmaps/b`, the way test failures name a request.
impl fmt::Display for RecordedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

/// Whether a request with this method asks for a change.
pub(crate) fn is_mutating(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}
