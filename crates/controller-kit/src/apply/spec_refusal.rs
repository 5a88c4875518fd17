//! A child that the API server refuses as invalid: through a field that the user's spec feeds, or by our own mistake.

use api_types::child_fields::CHILD_FIELDS;
use kube::core::Status;
use kube::core::response::StatusCause;

const CONTAINER: &str = "spec.template.spec.containers[0]";

/// What the user is reported, if the refusal is about the spec; `None`: about something that the spec does not feed.
///
/// The words are ours: the API server's quote what was written, and differ between its versions.
#[must_use]
pub(super) fn spec_refusal_message(status: &Status, object: &str) -> Option<String> {
    if status.code != 422 {
        return None;
    }
    let mut causes = status.details.iter().flat_map(|details| &details.causes);
    causes.find_map(|StatusCause { field, reason, .. }| {
        // A migration's container has resources of our own.
        if object.starts_with("Job ") && rest_below(field, CONTAINER).is_some() {
            return None;
        }
        let (fed, rest, explained) = CHILD_FIELDS
            .iter()
            .find_map(|known| Some((known.fed_by, rest_below(field, known.below)?, known.explained)))?;
        // Our variables stand before the user's: an index among all of them is none of the spec's.
        let rest = if fed == "spec.env" { "" } else { rest };
        let problem = problem_message(reason, fed, rest);
        Some(format!("{fed}{rest} {problem}: Kubernetes refuses {object}; see kubectl explain {explained}"))
    })
}

/// What is left of `path` behind `prefix`.
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
