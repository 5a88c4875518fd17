//! Reads of a kind that may not be installed.

use std::fmt::Debug;

use kube::Api;
use serde::de::DeserializeOwned;

/// What a read by name found.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading<K> {
    /// The object.
    Found(K),
    /// The kind is installed, and there is no object of this name.
    Absent,
    /// The kind is not installed.
    KindMissing,
}

/// Reads an object of a kind that may not be installed.
pub async fn read<K>(api: &Api<K>, name: &str) -> Result<Reading<K>, kube::Error>
where
    K: Clone + DeserializeOwned + Debug,
{
    match api.get(name).await {
        Ok(found) => Ok(Reading::Found(found)),
        Err(error) => match absence(&error) {
            Some(Absence::Object) => Ok(Reading::Absent),
            Some(Absence::Kind) => Ok(Reading::KindMissing),
            None => Err(error),
        },
    }
}

/// What an answer says is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absence {
    /// The object.
    Object,
    /// The kind: its CustomResourceDefinition is not installed.
    Kind,
}

/// What is not there, if that is why a read failed. Both answer 404, and only the first says which object.
pub(crate) fn absence(error: &kube::Error) -> Option<Absence> {
    let kube::Error::Api(status) = error else { return None };
    let names_object = status.details.as_ref().is_some_and(|details| !details.name.is_empty());
    match (status.code, names_object) {
        (404, true) => Some(Absence::Object),
        (404, false) => Some(Absence::Kind),
        _ => None,
    }
}
