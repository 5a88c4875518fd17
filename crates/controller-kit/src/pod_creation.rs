//! Why the API server refuses to create pods, in the operator's own words. The API server's message may contain text of
//! others, for instance of an admission webhook. So only the kind of the refusal and the name of the refusing object
//! are taken from it.

/// What is wrong, from the text of an event `FailedCreate` or a condition `ReplicaFailure`.
#[must_use]
pub fn creation_failure_message(text: &str) -> String {
    let named = |before: &str, after: &str| find_name(text, before, after);
    // Webhooks first: they add text of their own, which may look like any of the other refusals.
    if let Some(webhook) = named("admission webhook \"", "\" denied the request") {
        return format!("admission webhook {webhook} denies them");
    }
    if let Some(webhook) = named("failed calling webhook \"", "\"") {
        return format!("admission webhook {webhook} does not answer");
    }
    if let Some(policy) = named("ValidatingAdmissionPolicy '", "' with binding '") {
        return format!("ValidatingAdmissionPolicy {policy} denies them");
    }
    if let Some(class) = named("no PriorityClass with name ", " was found") {
        return format!("PriorityClass {class} does not exist");
    }
    if let Some(quota) = named("exceeded quota: ", ",") {
        return format!("ResourceQuota {quota} is used up");
    }
    if let Some(quota) = named("failed quota: ", ":") {
        return format!("ResourceQuota {quota} demands requests or limits that they do not have");
    }
    if let Some(level) = named("violates PodSecurity \"", ":") {
        return format!("the namespace enforces the Pod Security Standard {level}, which they violate");
    }
    if let Some(account) = named("serviceaccount \"", "\" not found") {
        return format!("ServiceAccount {account} does not exist");
    }
    if let Some(class) = named("RuntimeClass \"", "\" not found") {
        return format!("RuntimeClass {class} does not exist");
    }
    if text.contains(" usage per ") || text.contains(" max limit to request ratio per ") {
        return "a LimitRange of the namespace does not allow their resources".to_owned();
    }
    if text.contains("because it is being terminated") {
        return "the namespace is being deleted".to_owned();
    }
    "the API server refuses them".to_owned()
}

/// The text between `before` and `after`, if it is the name of an object.
fn find_name<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    let (name, _) = rest.split_once(after)?;
    let is_name = !name.is_empty()
        && name.len() <= 253
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
    is_name.then_some(name)
}

#[cfg(test)]
mod tests;
