//! What a client gets when it gets no value: always a `metav1.Status`, because kube-apiserver and its clients
//! can read nothing else.
//!
//! No answer carries `Retry-After`: client-go would repeat the request up to ten times while the autoscaler's worker
//! waits.

use http::StatusCode;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ListMeta, Status};

use crate::{selector, wire::Metric};

#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("Unauthorized")]
    Unauthorized,
    #[error("too many unknown bearer tokens: this one was not looked at; try again later")]
    TooManyTokens,
    #[error("{0}")]
    Forbidden(String),
    /// The access review itself failed, so nobody knows whether the user may read. Refused.
    #[error("failed to review access: the Kubernetes API did not answer the access review")]
    ReviewFailed,
    #[error("the server could not find the requested resource")]
    UnknownPath,
    #[error(
        "the server could not find the metric {name:?}: this server has wf_job_lag_seconds and wf_job_backlog"
    )]
    UnknownMetric { name: String },
    #[error("the server does not allow this method on the requested resource")]
    MethodNotAllowed,
    #[error("only application/json is served")]
    NotAcceptable,
    #[error(transparent)]
    BadSelector(#[from] selector::ParseError),
    #[error("the request is malformed: {0}")]
    BadRequest(&'static str),
    #[error(
        "no job type known to an engine that namespace {namespace:?} may read matches {metric} with selector \
         {selector:?}"
    )]
    UnknownSeries { metric: Metric, namespace: String, selector: String },
    #[error(
        "the last sample of WorkflowCluster {cluster} is too old to scale by ({detail}); see the conditions of that \
         WorkflowCluster"
    )]
    Stale { cluster: String, detail: String },
    /// The watches that tell which clusters exist have not delivered yet.
    #[error("the server is starting: the list of WorkflowClusters is not known yet")]
    NotSynced,
}

impl std::fmt::Display for Metric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl ApiError {
    pub fn code(&self) -> StatusCode {
        match self {
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::TooManyTokens => StatusCode::TOO_MANY_REQUESTS,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::ReviewFailed => StatusCode::INTERNAL_SERVER_ERROR,
            Self::UnknownPath | Self::UnknownMetric { .. } | Self::UnknownSeries { .. } => {
                StatusCode::NOT_FOUND
            }
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::BadSelector(_) | Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Stale { .. } | Self::NotSynced => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Unauthorized => "Unauthorized",
            Self::TooManyTokens => "TooManyRequests",
            Self::Forbidden(_) => "Forbidden",
            Self::ReviewFailed => "InternalError",
            Self::UnknownPath | Self::UnknownMetric { .. } | Self::UnknownSeries { .. } => "NotFound",
            Self::MethodNotAllowed => "MethodNotAllowed",
            Self::NotAcceptable => "NotAcceptable",
            Self::BadSelector(_) | Self::BadRequest(_) => "BadRequest",
            Self::Stale { .. } | Self::NotSynced => "ServiceUnavailable",
        }
    }

    pub fn status(&self) -> Status {
        Status {
            code: Some(i32::from(self.code().as_u16())),
            message: Some(self.to_string()),
            metadata: ListMeta::default(),
            reason: Some(self.reason().to_owned()),
            status: Some("Failure".to_owned()),
            details: None,
        }
    }
}
