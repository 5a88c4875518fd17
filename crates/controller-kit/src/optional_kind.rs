//! Reads of a kind that may not be installed.

/// What an answer says is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// The object.
    Object,
    /// The kind: its CustomResourceDefinition is not installed.
    Kind,
}

/// What is not there, if that is why a read by name failed. Both answer 404, and only the first says which object.
#[must_use]
pub fn absence(error: &kube::Error) -> Option<Absence> {
    let kube::Error::Api(status) = error else { return None };
    let names_object = status.details.as_ref().is_some_and(|details| !details.name.is_empty());
    match (status.code, names_object) {
        (404, true) => Some(Absence::Object),
        (404, false) => Some(Absence::Kind),
        _ => None,
    }
}
