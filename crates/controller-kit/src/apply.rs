//! The writes. Server-side apply under one field manager per controller; deletes with the uid that was seen.

use std::sync::Arc;

use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions};
use kube::{Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::message::{bounded, of_kube};
use crate::outcome::ErrorClass;
use crate::plan::{Deletion, Desired};

pub(crate) mod field_conflict;
mod ineffective;
mod spec_refusal;

pub use field_conflict::FieldConflict;
use field_conflict::FieldConflicts;
use ineffective::IneffectiveApplies;

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
        if self.spec_refusal_message().is_some() {
            return ErrorClass::Invalid;
        }
        ErrorClass::of_kube(&self.source)
    }

    /// The other writers whose fields this write conflicts with, if that is why it failed.
    fn conflict(&self) -> Option<FieldConflict> {
        match &self.source {
            kube::Error::Api(refusal) => FieldConflict::of(refusal, &self.object, &[]),
            _ => None,
        }
    }

    /// The API server checks fields that are passed on from the spec (resources, affinity, behavior, …) only when the
    /// child is applied.
    fn spec_refusal_message(&self) -> Option<String> {
        let kube::Error::Api(status) = &self.source else { return None };
        spec_refusal::spec_refusal_message(status, &self.object)
    }

    /// For status and event: what was tried and the API server's answer.
    #[must_use]
    pub fn message(&self) -> String {
        if let Some(conflict) = self.conflict() {
            let again = "changed by others again and again, set back at most once a minute";
            return bounded(&format!("{again}: {}", conflict.message()));
        }
        let reported = self.spec_refusal_message();
        bounded(&reported.unwrap_or_else(|| format!("{self}: {}", of_kube(&self.source))))
    }
}

/// An object that was applied.
#[derive(Clone, Debug)]
pub struct Written {
    /// As the API server returned it.
    pub object: DynamicObject,
    /// Fields that others had set and that were set back.
    pub reverted: Option<FieldConflict>,
}

/// Writes as one field manager. Clones share their records of conflicts, and of applies that change nothing.
#[derive(Clone)]
pub struct Writer {
    client: Client,
    manager: &'static str,
    conflicts: Arc<FieldConflicts>,
    ineffective: IneffectiveApplies,
}

impl Writer {
    /// `manager` is one of `api_types::labels`' field managers.
    #[must_use]
    pub fn new(client: Client, manager: &'static str) -> Self {
        Self { client, manager, conflicts: Arc::default(), ineffective: IneffectiveApplies::default() }
    }

    /// Is it known from an earlier attempt that this apply changes nothing?
    #[must_use]
    pub fn is_ineffective(&self, desired: &Desired) -> bool {
        self.ineffective.is_known(desired)
    }

    /// Server-side apply. `desired` has only fields that this controller decides, so values that others gave them are
    /// set back, and reported. Fields that others change again and again are set back only after growing pauses.
    pub async fn apply(&self, desired: &Desired) -> Result<Written, WriteError> {
        let failed = |source| WriteError { operation: "apply", object: desired.display(), source };
        if let Some(refusal) = self.conflicts.refusal_during_pause(desired, Instant::now()) {
            return Err(failed(kube::Error::Api(Box::new(refusal))));
        }
        let params = PatchParams::apply(self.manager);
        let refusal = match self.patch(desired, &params).await {
            Ok(object) => return Ok(Written { object, reverted: None }),
            Err(kube::Error::Api(status)) if field_conflict::is_field_conflict(&status) => status,
            Err(source) => return Err(failed(source)),
        };
        let conflict = FieldConflict::of(&refusal, &desired.display(), desired.shared);
        if conflict.is_some() && !self.conflicts.may_set_back(desired, &refusal, Instant::now()) {
            return Err(failed(kube::Error::Api(refusal)));
        }
        let object = self.patch(desired, &params.force()).await.map_err(failed)?;
        Ok(Written { object, reverted: conflict })
    }

    /// The same for an object whose lists others may extend. Server-side apply keeps their elements, even where these
    /// make the object invalid, for instance a port of the same name with another number. Then the lists of `desired`
    /// replace the live ones as a whole.
    pub async fn apply_or_replace_lists(&self, desired: &Desired) -> Result<Written, WriteError> {
        let refused = match self.apply(desired).await {
            Err(refused) if matches!(&refused.source, kube::Error::Api(status) if status.code == 422) => {
                refused
            }
            answer => return answer,
        };
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &desired.namespace, &desired.resource);
        let params = PatchParams { field_manager: Some(self.manager.to_owned()), ..PatchParams::default() };
        match api.patch(&desired.name, &params, &Patch::Merge(&desired.body)).await {
            Ok(object) => Ok(Written { object, reverted: None }),
            Err(_) => Err(refused),
        }
    }

    async fn patch(&self, desired: &Desired, params: &PatchParams) -> kube::Result<DynamicObject> {
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &desired.namespace, &desired.resource);
        api.patch(&desired.name, params, &Patch::Apply(&desired.body))
            .await
            .inspect(|written| self.ineffective.note(desired, written))
    }

    /// Creates the object. An object that exists is not overwritten: that is a conflict.
    pub async fn create(&self, desired: &Desired) -> Result<(), WriteError> {
        self.create_with(desired, false).await
    }

    /// The same as a dry run: the result is what the API server would answer.
    pub async fn try_create(&self, desired: &Desired) -> Result<(), WriteError> {
        self.create_with(desired, true).await
    }

    async fn create_with(&self, desired: &Desired, dry_run: bool) -> Result<(), WriteError> {
        let failed = |source| WriteError { operation: "create", object: desired.display(), source };
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &desired.namespace, &desired.resource);
        let object = serde_json::from_value(desired.body.clone())
            .map_err(|source| failed(kube::Error::SerdeError(source)))?;
        let params = PostParams { dry_run, field_manager: Some(self.manager.to_owned()) };
        api.create(&params, &object).await.map(|_| ()).map_err(failed)
    }

    /// Deletes exactly the object that was seen; success if it is gone already. Its dependants are garbage-collected
    /// after it.
    pub async fn delete(&self, deletion: &Deletion) -> Result<(), WriteError> {
        self.delete_with(deletion, DeleteParams::background(), None).await
    }

    /// The same, unless the object was changed since it was seen: that is a conflict.
    pub async fn delete_unchanged(
        &self,
        deletion: &Deletion,
        resource_version: &str,
    ) -> Result<(), WriteError> {
        self.delete_with(deletion, DeleteParams::background(), Some(resource_version.to_owned())).await
    }

    /// The same, but the object stays, with a deletion timestamp, until its dependants are gone: while it exists,
    /// they may still run.
    pub async fn delete_behind_dependants(&self, deletion: &Deletion) -> Result<(), WriteError> {
        self.delete_with(deletion, DeleteParams::foreground(), None).await
    }

    async fn delete_with(
        &self,
        deletion: &Deletion,
        params: DeleteParams,
        resource_version: Option<String>,
    ) -> Result<(), WriteError> {
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &deletion.namespace, &deletion.resource);
        let params = DeleteParams {
            preconditions: Some(Preconditions { uid: Some(deletion.uid.clone()), resource_version }),
            ..params
        };
        match api.delete(&deletion.name, &params).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(source) => {
                let object = format!("{} {}/{}", deletion.resource.kind, deletion.namespace, deletion.name);
                Err(WriteError { operation: "delete", object, source })
            }
        }
    }

    /// Adds a finalizer. A change of the object since it was read is a conflict, never an overwrite.
    pub async fn add_finalizer<K>(&self, object: &K, finalizer: &str) -> Result<K, WriteError>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let metadata = json!({"finalizers": with_finalizer(object.finalizers(), finalizer)});
        self.write_metadata(object, metadata, "add the finalizer to").await
    }

    /// The same with an annotation, in one write: there is never one without the other.
    pub async fn add_finalizer_and_note<K>(
        &self,
        object: &K,
        finalizer: &str,
        (key, value): (&str, &str),
    ) -> Result<K, WriteError>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let finalizers = with_finalizer(object.finalizers(), finalizer);
        let metadata = json!({"finalizers": finalizers, "annotations": {key: value}});
        self.write_metadata(object, metadata, "add the finalizer to").await
    }

    /// Removes a finalizer: the last write to an object. `None` when the object is gone already.
    pub async fn remove_finalizer<K>(&self, object: &K, finalizer: &str) -> Result<Option<K>, WriteError>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let kept: Vec<_> = object.finalizers().iter().filter(|present| *present != finalizer).collect();
        match self.write_metadata(object, json!({"finalizers": kept}), "remove the finalizer from").await {
            Ok(written) => Ok(Some(written)),
            Err(WriteError { source: kube::Error::Api(status), .. }) if status.code == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Merges `metadata` into the version that was read.
    async fn write_metadata<K>(
        &self,
        object: &K,
        mut metadata: Value,
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
        metadata["resourceVersion"] = json!(object.resource_version());
        let body = json!({"metadata": metadata});
        let params = PatchParams { field_manager: Some(self.manager.to_owned()), ..PatchParams::default() };
        api.patch(&object.name_any(), &params, &Patch::Merge(&body)).await.map_err(|source| WriteError {
            operation,
            object: format!("{} {namespace}/{}", K::kind(&()), object.name_any()),
            source,
        })
    }

    /// Applies `status` when it differs from `former`; `None` = nothing was written.
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
        // With the uid, the status cannot be written to a new object of the same name.
        let body = json!({
            "apiVersion": K::api_version(&()),
            "kind": K::kind(&()),
            "metadata": {"name": name, "uid": object.uid()},
            "status": status,
        });
        match api.patch_status(&name, &PatchParams::apply(self.manager).force(), &Patch::Apply(&body)).await {
            Ok(written) => Ok(Some(written)),
            // The object was deleted during the pass: it needs no status.
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(source) => {
                let object = format!("{} {namespace}/{name}", K::kind(&()));
                Err(WriteError { operation: "write the status of", object, source })
            }
        }
    }
}

/// The API server treats conditions as a map by type and keeps each at its first place: their order has no meaning.
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

fn with_finalizer(finalizers: &[String], added: &str) -> Vec<String> {
    let others = finalizers.iter().filter(|present| *present != added).cloned();
    others.chain([added.to_owned()]).collect()
}

#[cfg(test)]
mod tests;
