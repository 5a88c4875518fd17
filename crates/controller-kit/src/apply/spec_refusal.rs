//! A child that the API server refuses as invalid: through a field that the user's spec feeds, or by our own mistake.

use kube::core::Status;
use kube::core::response::StatusCause;

const CONTAINER: &str = "spec.template.spec.containers[0]";

/// Fields of a child that the spec feeds: below which path, from which field, and where its form is explained.
const FED: [(&str, &str, &str); 17] = [
    ("spec.template.spec.affinity", "spec.scheduling.affinity", "pod.spec.affinity"),
    ("spec.template.spec.nodeSelector", "spec.scheduling.nodeSelector", "pod.spec.nodeSelector"),
    ("spec.template.spec.tolerations", "spec.scheduling.tolerations", "pod.spec.tolerations"),
    (
        "spec.template.spec.topologySpreadConstraints",
        "spec.scheduling.topologySpreadConstraints",
        "pod.spec.topologySpreadConstraints",
    ),
    (
        "spec.template.spec.priorityClassName",
        "spec.scheduling.priorityClassName",
        "pod.spec.priorityClassName",
    ),
    ("spec.template.labels", "spec.scheduling.podLabels", "pod.metadata.labels"),
    ("spec.template.annotations", "spec.scheduling.podAnnotations", "pod.metadata.annotations"),
    ("spec.template.spec.containers[0].resources", "spec.resources", "pod.spec.containers.resources"),
    ("spec.template.spec.containers[0].env", "spec.env", "pod.spec.containers.env"),
    ("spec.template.spec.serviceAccountName", "spec.authentication", "pod.spec.serviceAccountName"),
    ("spec.template.spec.imagePullSecrets", "spec.imagePullSecrets", "pod.spec.imagePullSecrets"),
    ("spec.behavior", "spec.autoscaling.behavior", "hpa.spec.behavior"),
    ("spec.minReplicas", "spec.autoscaling.minReplicas", "hpa.spec.minReplicas"),
    ("spec.maxReplicas", "spec.autoscaling.maxReplicas", "hpa.spec.maxReplicas"),
    ("spec.rules[0].host", "spec.network.ingress.host", "ingress.spec.rules.host"),
    ("spec.tls[0]", "spec.network.ingress", "ingress.spec.tls"),
    ("spec.ingressClassName", "spec.network.ingress.className", "ingress.spec.ingressClassName"),
];

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
        let (fed, rest, explained) = FED
            .iter()
            .find_map(|(below, fed, explained)| Some((*fed, rest_below(field, below)?, explained)))?;
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
