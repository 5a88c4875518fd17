//! Answers of an apiserver: objects, and refusals in the words the real one uses.
//!
//! A resource is named `plural.group` as in the real texts: `configmaps`, `deployments.apps`.

use std::collections::BTreeMap;

use http::{Response, StatusCode, header};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ListMeta;
use kube::client::Body;
use kube::core::Status;
use kube::core::response::{StatusCause, StatusDetails};
use serde::Serialize;
use serde_json::Value;

/// One answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    code: u16,
    body: ReplyBody,
}

#[derive(Clone, Debug, PartialEq)]
enum ReplyBody {
    Json(Value),
    Text(String),
}

impl Reply {
    /// 200 with an object.
    pub fn ok(body: impl Serialize) -> Self {
        Self::json(200, body)
    }

    /// 201 with an object.
    pub fn created(body: impl Serialize) -> Self {
        Self::json(201, body)
    }

    /// Any code with any JSON.
    pub fn json(code: u16, body: impl Serialize) -> Self {
        let body = serde_json::to_value(body).expect("a reply should be serializable");
        Self { code, body: ReplyBody::Json(body) }
    }

    /// The apiserver's answer to a path of an API that it does not serve, for instance of a CRD that is not installed.
    pub fn no_such_api() -> Self {
        Self { code: 404, body: ReplyBody::Text("404 page not found\n".to_owned()) }
    }

    pub(crate) fn into_response(self) -> Response<Body> {
        let (content_type, bytes) = match self.body {
            ReplyBody::Json(body) => ("application/json", body.to_string().into_bytes()),
            ReplyBody::Text(text) => ("text/plain; charset=utf-8", text.into_bytes()),
        };
        let mut response = Response::new(Body::from(bytes));
        *response.status_mut() =
            StatusCode::from_u16(self.code).expect("a reply should carry a valid HTTP status code");
        response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
        response
    }
}

/// A refusal: the HTTP code is the Status' own.
impl From<Status> for Reply {
    fn from(status: Status) -> Self {
        let mut body = serde_json::to_value(&status).expect("a Status should be serializable");
        body["kind"] = "Status".into();
        body["apiVersion"] = "v1".into();
        Self { code: status.code, body: ReplyBody::Json(body) }
    }
}

/// Any other failure, with its own code, reason and message.
pub fn failure(code: u16, reason: &str, message: &str) -> Status {
    let metadata = Some(ListMeta::default());
    Status { metadata, ..Status::failure(message, reason).with_code(code) }
}

/// 404: the object is not there.
pub fn not_found(resource: &str, name: &str) -> Status {
    failure(404, "NotFound", &format!("{resource} \"{name}\" not found"))
        .with_details(details(resource, name))
}

/// 409 on create: the name is taken.
pub fn already_exists(resource: &str, name: &str) -> Status {
    failure(409, "AlreadyExists", &format!("{resource} \"{name}\" already exists"))
        .with_details(details(resource, name))
}

/// 409 on update: somebody else wrote in between.
pub fn conflict(resource: &str, name: &str) -> Status {
    conflict_because(
        resource,
        name,
        "the object has been modified; please apply your changes to the latest version and try again",
    )
}

/// 409 with its cause, as for a failed precondition.
pub fn conflict_because(resource: &str, name: &str, why: &str) -> Status {
    failure(409, "Conflict", &format!("Operation cannot be fulfilled on {resource} \"{name}\": {why}"))
        .with_details(details(resource, name))
}

/// 409 on a server-side apply without force: each field (as `.spec.replicas`) belongs to another manager.
pub fn apply_conflict(fields: &[(&str, &str)]) -> Status {
    let quoted = fields.iter().map(|(field, manager)| ((*field).to_owned(), format!("\"{manager}\"")));
    apply_conflict_with(&quoted.collect::<Vec<_>>())
}

/// The same with owners as the apiserver writes them: `"ours"`, or `"merger" using v1` for one that does not apply.
pub(crate) fn apply_conflict_with(fields: &[(String, String)]) -> Status {
    let cause = |(field, owner): &(String, String)| StatusCause {
        reason: "FieldManagerConflict".to_owned(),
        message: format!("conflict with {owner}"),
        field: field.clone(),
    };
    let message = if let [(field, owner)] = fields {
        format!("Apply failed with 1 conflict: conflict with {owner}: {field}")
    } else {
        let mut by_owner: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (field, owner) in fields {
            by_owner.entry(owner).or_default().push(field);
        }
        let list = by_owner
            .iter()
            .map(|(owner, fields)| format!("conflicts with {owner}:\n- {}", fields.join("\n- ")));
        let list: Vec<String> = list.collect();
        format!("Apply failed with {} conflicts: {}", fields.len(), list.join("\n"))
    };
    let details = StatusDetails { causes: fields.iter().map(cause).collect(), ..details("", "") };
    failure(409, "Conflict", &message).with_details(details)
}

/// 403: admission or RBAC refuses; `why` is the cause.
pub fn forbidden(resource: &str, name: &str, why: &str) -> Status {
    failure(403, "Forbidden", &format!("{resource} \"{name}\" is forbidden: {why}"))
        .with_details(details(resource, name))
}

/// 422: `field` of the object is invalid, `why` as the apiserver words it (`Invalid value: ...`).
pub fn invalid(resource: &str, name: &str, field: &str, why: &str) -> Status {
    let cause = StatusCause {
        reason: "FieldValueInvalid".to_owned(),
        message: why.to_owned(),
        field: field.to_owned(),
    };
    failure(422, "Invalid", &format!("{resource} \"{name}\" is invalid: {field}: {why}"))
        .with_details(StatusDetails { causes: vec![cause], ..details(resource, name) })
}

fn details(resource: &str, name: &str) -> StatusDetails {
    let (plural, group) = resource.split_once('.').unwrap_or((resource, ""));
    StatusDetails {
        name: name.to_owned(),
        group: group.to_owned(),
        kind: plural.to_owned(),
        uid: String::new(),
        causes: Vec::new(),
        retry_after_seconds: 0,
    }
}
