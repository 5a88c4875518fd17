//! Which object or collection a path names.

use kube::Resource;

/// An object's identity, the same in every API version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) group: String,
    pub(super) plural: String,
    /// Empty for cluster-scoped objects.
    pub(super) namespace: String,
    pub(super) name: String,
}

impl Key {
    pub(super) fn of<K: Resource<DynamicType = ()>>(namespace: Option<&str>, name: &str) -> Self {
        Self {
            group: K::group(&()).into_owned(),
            plural: K::plural(&()).into_owned(),
            namespace: namespace.unwrap_or_default().to_owned(),
            name: name.to_owned(),
        }
    }

    /// `configmaps`, `deployments.apps`: as in the apiserver's texts.
    pub(super) fn resource(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }
}

/// What a request path addresses: a collection when the key's name is empty.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Target {
    pub(super) api_version: String,
    pub(super) key: Key,
    pub(super) subresource: Option<String>,
}

impl Target {
    /// `None` for paths outside `/api/<version>` and `/apis/<group>/<version>`, and for discovery.
    pub(super) fn parse(path: &str) -> Option<Self> {
        let mut segments = path.trim_matches('/').split('/');
        let group = match segments.next()? {
            "api" => "",
            "apis" => segments.next()?,
            _ => return None,
        };
        let version = segments.next()?;
        let rest: Vec<&str> = segments.collect();
        let (namespace, rest) = match rest.as_slice() {
            // `namespaces/a/status` is the status of the Namespace, not a collection in it.
            ["namespaces", _, "status" | "finalize"] => ("", rest.as_slice()),
            ["namespaces", namespace, inside @ ..] if !inside.is_empty() => (*namespace, inside),
            all => ("", all),
        };
        let (plural, name, subresource) = match rest {
            [plural] => (plural, "", None),
            [plural, name] => (plural, *name, None),
            [plural, name, subresource] => (plural, *name, Some((*subresource).to_owned())),
            _ => return None,
        };
        let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        let key = Key {
            group: group.to_owned(),
            plural: (*plural).to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        Some(Self { api_version, key, subresource })
    }
}
