//! The JSON gateway, for callers without a gRPC client: DeployProcess, StartInstance and the calls on instances and
//! incidents. It uses the gRPC port, its TLS and its tokens, and calls the same use cases.

mod incidents;
mod instances;
mod shape;

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use engine_api::model::{DeployOutcome, DeployResult, Finding, Severity};
use engine_api::proto::{DeployProcessRequest, LintMode};
use engine_api::{Role, refusal};
use serde::{Deserialize, Serialize};
use tonic::{Code, Extensions, Status};

use crate::engine::Engine;
use crate::grpc::{Api, Authenticate, Method};
use crate::serve::connections;
use crate::tenant_id::TenantId;

/// Enough for a mebibyte of BPMN with every character escaped in JSON, plus the rest of the request.
const MAX_BODY: usize = 3 << 20;

pub fn router(api: Api, authenticate: Authenticate) -> Router {
    Router::new()
        .route("/api/v1/processes/deploy", post(deploy))
        .merge(instances::routes())
        .merge(incidents::routes())
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn_with_state(authenticate, require_role))
        .with_state(api)
}

async fn require_role(
    State(authenticate): State<Authenticate>,
    mut request: Request,
    next: Next,
) -> Response {
    let header = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    match authenticate.caller(header) {
        Ok(caller) => {
            connections::mark_known(request.extensions());
            request.extensions_mut().insert(caller.role);
            next.run(request).await
        }
        Err(status) => problem(&status),
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DeployBody {
    /// The XML document.
    bpmn: String,
    #[serde(default = "default_tenant")]
    tenant_id: String,
    #[serde(default)]
    resource_name: String,
    #[serde(default)]
    version_tag: String,
    #[serde(default)]
    validate: Validate,
    #[serde(default)]
    request_id: String,
}

fn default_tenant() -> String {
    TenantId::DEFAULT.to_owned()
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Validate {
    #[default]
    Strict,
    Lenient,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Deployed {
    outcome: &'static str,
    process_definition_key: i64,
    /// The same as a string: some JSON readers round integers above 2^53.
    process_definition_key_string: String,
    bpmn_process_id: String,
    version: u32,
    version_tag: String,
    content_sha256: String,
    tenant_id: String,
    job_types: Vec<String>,
}

/// RFC 9457.
#[derive(Debug, Serialize)]
struct Problem {
    title: String,
    status: u16,
    /// As in gRPC's `ErrorInfo`, in `UPPER_SNAKE_CASE`.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    findings: Vec<ProblemFinding>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ProblemFinding {
    rule_id: String,
    severity: &'static str,
    element_id: String,
    line: u32,
    column: u32,
    message: String,
}

async fn deploy(
    State(api): State<Api>,
    axum::Extension(role): axum::Extension<Role>,
    body: Result<Json<DeployBody>, axum::extract::rejection::JsonRejection>,
) -> Response {
    let body = match body {
        Ok(Json(body)) => body,
        Err(rejection) => return write_problem(rejection.status(), rejection.body_text(), None, Vec::new()),
    };
    let mut extensions = Extensions::new();
    extensions.insert(role);
    let content = body.bpmn.into_bytes();
    let request = DeployProcessRequest {
        request_id: body.request_id,
        tenant_id: body.tenant_id,
        resource_name: body.resource_name,
        content_sha256: bpmn::digest(&content),
        content,
        version_tag: body.version_tag,
        mode: match body.validate {
            Validate::Strict => LintMode::Strict,
            Validate::Lenient => LintMode::Lenient,
        }
        .into(),
        // No controller manages it. So the deployment is refused if the process has an owner.
        owner: None,
        follows_version: None,
    };
    let method = Method::DeployProcess;
    let deploy = async |engine: Arc<Engine>| {
        let remembered = method.identify(&request.request_id, &request)?;
        engine.deploy(request.try_into()?, remembered, None).await
    };
    match api.call(method, &extensions, deploy).await.map(tonic::Response::into_inner) {
        Ok(DeployResult::Deployed { outcome, definition, .. }) => {
            let created = outcome == DeployOutcome::Created;
            let body = Deployed {
                outcome: if created { "CREATED" } else { "UNCHANGED" },
                process_definition_key: definition.key,
                process_definition_key_string: definition.key.to_string(),
                bpmn_process_id: definition.process_id,
                version: definition.version,
                version_tag: definition.version_tag.unwrap_or_default(),
                content_sha256: definition.content_sha256,
                tenant_id: definition.tenant_id,
                job_types: definition.job_types,
            };
            (if created { StatusCode::CREATED } else { StatusCode::OK }, Json(body)).into_response()
        }
        Ok(DeployResult::Rejected { findings, .. }) => {
            let findings = findings.into_iter().map(problem_finding).collect();
            write_problem(
                StatusCode::UNPROCESSABLE_ENTITY,
                "the process is refused".to_owned(),
                None,
                findings,
            )
        }
        Err(status) => problem(&status),
    }
}

fn problem_finding(finding: Finding) -> ProblemFinding {
    ProblemFinding {
        severity: if finding.severity == Severity::Warning { "warning" } else { "error" },
        rule_id: finding.rule_id,
        element_id: finding.element_id.unwrap_or_default(),
        line: finding.line,
        column: finding.column,
        message: finding.message,
    }
}

fn problem(status: &Status) -> Response {
    let http = match status.code() {
        Code::InvalidArgument => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::FailedPrecondition => StatusCode::PRECONDITION_FAILED,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    write_problem(http, status.message().to_owned(), refusal::reason(status), Vec::new())
}

fn write_problem(
    status: StatusCode,
    title: String,
    reason: Option<String>,
    findings: Vec<ProblemFinding>,
) -> Response {
    let body = Json(Problem { title, status: status.as_u16(), reason, findings });
    (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response()
}
