//! The writes. Server-side apply under one field manager per controller; deletes with the uid that was seen.

use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use kube::{Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::outcome::ErrorClass;
use crate::plan::{Desired, Doomed};

/// A write that failed: what was tried, on which object.
#[derive(Debug, thiserror::Error)]
#[error("failed to {operation} {object}")]
pub struct WriteError {
    /// "apply", "delete", …
    pub operation: &'static str,
    /// `Kind namespace/name`.
    pub object: String,
    /// The answer of the API server.
    #[source]
    pub source: kube::Error,
}

impl WriteError {
    /// What it means for the next attempt.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        ErrorClass::of_kube(&self.source)
    }

    /// For status and event: what was tried and the API server's own verdict, without bodies.
    #[must_use]
    pub fn told(&self) -> String {
        let why = match &self.source {
            kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
            kube::Error::Api(status) => format!("status {}", status.code),
            _ => "the Kubernetes API did not answer".to_owned(),
        };
        crate::message::bounded(&format!("{self}: {why}"))
    }
}

/// Writes as one field manager.
#[derive(Clone)]
pub struct Writer {
    client: Client,
    manager: &'static str,
}

impl Writer {
    /// `manager` is one of `api_types::labels`' field managers.
    #[must_use]
    pub fn new(client: Client, manager: &'static str) -> Self {
        Self { client, manager }
    }

    /// Server-side apply. Forced, because only fields that are ours to decide are sent.
    pub async fn apply(&self, desired: &Desired) -> Result<DynamicObject, WriteError> {
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &desired.namespace, &desired.resource);
        api.patch(&desired.name, &PatchParams::apply(self.manager).force(), &Patch::Apply(&desired.body))
            .await
            .map_err(|source| WriteError { operation: "apply", object: desired.display(), source })
    }

    /// Deletes exactly the object that was seen; gone already is success. Its dependants are collected behind it.
    pub async fn delete(&self, doomed: &Doomed) -> Result<(), WriteError> {
        self.delete_with(doomed, DeleteParams::background()).await
    }

    /// The same, but the object stays, with a deletion timestamp, until its dependants are gone: as long as it is there,
    /// what it made may still be at work.
    pub async fn delete_behind_dependants(&self, doomed: &Doomed) -> Result<(), WriteError> {
        self.delete_with(doomed, DeleteParams::foreground()).await
    }

    async fn delete_with(&self, doomed: &Doomed, params: DeleteParams) -> Result<(), WriteError> {
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &doomed.namespace, &doomed.resource);
        let params = DeleteParams {
            preconditions: Some(Preconditions { uid: Some(doomed.uid.clone()), resource_version: None }),
            ..params
        };
        match api.delete(&doomed.name, &params).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(source) => {
                let object = format!("{} {}/{}", doomed.resource.kind, doomed.namespace, doomed.name);
                Err(WriteError { operation: "delete", object, source })
            }
        }
    }

    /// Adds our finalizer. A change in between is a conflict, never an overwrite.
    pub async fn add_finalizer<K>(&self, object: &K, finalizer: &str) -> Result<K, WriteError>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let mut finalizers = object.finalizers().to_vec();
        finalizers.push(finalizer.to_owned());
        self.write_finalizers(object, finalizers, "add the finalizer to").await
    }

    /// Removes our finalizer: the last write in an object's life. `None` when it is gone already.
    pub async fn remove_finalizer<K>(&self, object: &K, finalizer: &str) -> Result<Option<K>, WriteError>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let kept = object.finalizers().iter().filter(|present| *present != finalizer).cloned().collect();
        match self.write_finalizers(object, kept, "remove the finalizer from").await {
            Ok(written) => Ok(Some(written)),
            Err(WriteError { source: kube::Error::Api(status), .. }) if status.code == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn write_finalizers<K>(
        &self,
        object: &K,
        finalizers: Vec<String>,
        operation: &'static str,
    ) -> Result<K, WriteError>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let namespace = object.namespace().unwrap_or_default();
        let api: Api<K> = Api::namespaced(self.client.clone(), &namespace);
        let body =
            json!({"metadata": {"resourceVersion": object.resource_version(), "finalizers": finalizers}});
        let params = PatchParams { field_manager: Some(self.manager.to_owned()), ..PatchParams::default() };
        api.patch(&object.name_any(), &params, &Patch::Merge(&body)).await.map_err(|source| WriteError {
            operation,
            object: format!("{} {namespace}/{}", K::kind(&()), object.name_any()),
            source,
        })
    }

    /// Applies `status` when it differs from what `object` carries; `None` = nothing was written.
    pub async fn apply_status<K, S>(
        &self,
        object: &K,
        former: Option<&S>,
        status: &S,
    ) -> Result<Option<K>, WriteError>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
        S: serde::Serialize,
    {
        if former.is_some_and(|former| is_same_status(former, status)) {
            return Ok(None);
        }
        let namespace = object.namespace().unwrap_or_default();
        let name = object.name_any();
        let api: Api<K> = Api::namespaced(self.client.clone(), &namespace);
        // The uid keeps a status from landing on a new object of the same name.
        let body = json!({
            "apiVersion": K::api_version(&()),
            "kind": K::kind(&()),
            "metadata": {"name": name, "uid": object.uid()},
            "status": status,
        });
        match api.patch_status(&name, &PatchParams::apply(self.manager).force(), &Patch::Apply(&body)).await {
            Ok(written) => Ok(Some(written)),
            // The object went away while we worked: there is nobody left to tell.
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(source) => {
                let object = format!("{} {namespace}/{name}", K::kind(&()));
                Err(WriteError { operation: "write the status of", object, source })
            }
        }
    }
}

/// Conditions are a map by type to the API server, which keeps each where it first came: their order says nothing.
fn is_same_status(former: &impl serde::Serialize, status: &impl serde::Serialize) -> bool {
    let comparable = |status: serde_json::Result<serde_json::Value>| {
        let mut status = status.ok()?;
        if let Some(conditions) = status.get_mut("conditions").and_then(|list| list.as_array_mut()) {
            conditions.sort_by(|a, b| a["type"].as_str().cmp(&b["type"].as_str()));
        }
        Some(status)
    };
    let former = comparable(serde_json::to_value(former));
    former.is_some() && former == comparable(serde_json::to_value(status))
}

#[cfg(test)]
mod tests;
