//! A child that the API server refuses as invalid: because of a field of the user's spec, or because of a defect of the
//! controller.

use api_types::child_fields::CHILD_FIELDS;
use kube::core::Status;
use kube::core::response::StatusCause;

const CONTAINER: &str = "spec.template.spec.containers[0]";

/// The message for the user, if the refused field comes from the spec; else `None`.
///
/// It does not repeat the API server's message, which quotes the refused value and differs between versions.
#[must_use]
pub(super) fn spec_refusal_message(status: &Status, object: &str) -> Option<String> {
    if status.code != 422 {
        return None;
    }
    let mut causes = status.details.iter().flat_map(|details| &details.causes);
    causes.find_map(|StatusCause { field, reason, .. }| {
        // The resources of a migration's container do not come from the spec.
        if object.starts_with("Job ") && rest_below(field, CONTAINER).is_some() {
            return None;
        }
        let (field, rest, explained) = CHILD_FIELDS
            .iter()
            .find_map(|known| Some((known.fed_by, rest_below(field, known.below)?, known.explained)))?;
        // The operator's variables precede the user's, so an index in the container is not the index in the spec.
        let rest = if field == "spec.env" { "" } else { rest };
        let problem = problem_message(reason, field, rest);
        Some(format!("{field}{rest} {problem}: Kubernetes refuses {object}; see kubectl explain {explained}"))
    })
}

/// The rest of `path` after `prefix`.
fn rest_below<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    path.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

fn problem_message(reason: &str, field: &str, rest: &str) -> &'static str {
    match reason {
        "FieldValueRequired" if field == "spec.resources" => "lacks a limit that this resource must have",
        "FieldValueRequired" => "lacks a value",
        "FieldValueNotSupported" => "is none of the known values",
        "FieldValueDuplicate" => "repeats another entry",
        "FieldValueTooLong" => "is too long",
        "FieldValueTooMany" => "has too many entries",
        "FieldValueForbidden" => "is not allowed here",
        _ if field == "spec.resources" && rest == ".requests" => "asks for more than the limit",
        _ => "has a value that is not valid",
    }
}

#[cfg(test)]
mod tests;
