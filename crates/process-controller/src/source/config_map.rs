//! `spec.source.configMapRef`: a key of a ConfigMap in the object's namespace.

use api_types::WorkflowProcess;
use api_types::reference::ConfigMapKeyRef;
use controller_kit::builder::ControllerBuilder;
use controller_kit::problem::Problem;
use futures::FutureExt as _;
use futures::future::{BoxFuture, ready};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::PartialObjectMeta;
use kube::{Api, Client, ResourceExt as _};

use super::{Fetched, Reading, Source};
use crate::kind::Processes;

/// A key of a ConfigMap.
pub struct ConfigMapKey;

impl Source for ConfigMapKey {
    fn is_named_by(&self, spec: &api_types::process::Source) -> bool {
        spec.bpmn.is_none() && spec.config_map_ref.is_some()
    }

    fn read<'a>(&'a self, client: &'a Client, process: &'a WorkflowProcess) -> BoxFuture<'a, Reading> {
        let namespace = process.namespace().unwrap_or_default();
        match &process.spec.source.config_map_ref {
            Some(reference) => async move {
                read(client, &namespace, reference).await.unwrap_or_else(|missing| missing).into()
            }
            .boxed(),
            None => ready(Fetched::Missing("spec.source.configMapRef is not set".to_owned()).into()).boxed(),
        }
    }

    /// ConfigMaps can be large, so only their metadata is watched.
    fn watch(&self, controller: &mut ControllerBuilder<'_, Processes>) {
        controller.watch_metadata::<ConfigMap>(depends_on_config_map);
    }
}

async fn read(client: &Client, namespace: &str, reference: &ConfigMapKeyRef) -> Result<Fetched, Fetched> {
    let ConfigMapKeyRef { name, key } = reference;
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let found = api.get_opt(name).await.map_err(|error| {
        Fetched::Unread(Problem::unread(&format!("ConfigMap {namespace}/{name}"), &error, None))
    })?;
    let Some(mut found) = found else {
        return Err(Fetched::Missing(format!(
            "spec.source.configMapRef.name: ConfigMap {namespace}/{name} does not exist"
        )));
    };
    let text = found.data.as_mut().and_then(|data| data.remove(key)).map(String::into_bytes);
    let binary = || found.binary_data.as_mut().and_then(|data| data.remove(key)).map(|bytes| bytes.0);
    text.or_else(binary).map(Fetched::plain).ok_or_else(|| {
        Fetched::Missing(format!(
            "spec.source.configMapRef.key: ConfigMap {namespace}/{name} has no key {key}"
        ))
    })
}

/// Has the ConfigMap its document?
#[must_use]
pub fn depends_on_config_map(process: &WorkflowProcess, config_map: &PartialObjectMeta<ConfigMap>) -> bool {
    let source = process.spec.source.config_map_ref.as_ref();
    config_map.metadata.namespace == process.metadata.namespace
        && source.is_some_and(|source| source.name == config_map.name_any())
}

#[cfg(test)]
mod tests;
