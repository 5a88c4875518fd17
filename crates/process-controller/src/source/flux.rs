//! `spec.source.fluxRef`: a file in an artifact that Flux fetched and verified.
//!
//! The pass reads the Flux source, which is watched. The artifact that its status names is downloaded by a task of its own
//! ([`artifacts`]), once for all processes that read from it.

mod artifacts;
mod kinds;

use std::sync::Arc;

use api_types::WorkflowProcess;
use api_types::process::{FluxKind, FluxRef, ProcessReason as Reason};
use controller_kit::builder::ControllerBuilder;
use controller_kit::controller::Queue;
use controller_kit::optional_kind::{self, Reading as Found};
use controller_kit::outcome::ErrorClass;
use controller_kit::problem::Problem;
use controller_kit::watch::OptionalKind;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use kube::api::DynamicObject;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Client, ResourceExt as _};
use remote_files::archive::Budget;

use super::{Fetched, Reading, Source};
use crate::kind::Processes;
use artifacts::{Artifacts, Wanted};
use kinds::{Artifact, KINDS, is_of_kind, resource_of};

/// What an installation allows.
#[derive(Clone, Debug)]
pub struct FluxSettings {
    /// Hosts that artifacts are downloaded from: Flux's own controllers. Users who may write the status of a Flux source choose the URL.
    pub hosts: Vec<String>,
    /// What one artifact may cost.
    pub budget: Budget,
}

/// Files in artifacts of Flux.
pub struct FluxFile {
    artifacts: Artifacts,
}

impl FluxFile {
    /// `queue` is asked for a pass when an artifact is there.
    #[must_use]
    pub fn new(settings: FluxSettings, queue: Queue<WorkflowProcess>) -> Self {
        Self { artifacts: Artifacts::new(settings, queue) }
    }
}

impl Source for FluxFile {
    fn is_named_by(&self, spec: &api_types::process::Source) -> bool {
        spec.bpmn.is_none()
            && spec.config_map_ref.is_none()
            && spec.git_ref.is_none()
            && spec.flux_ref.is_some()
    }

    fn read<'a>(&'a self, client: &'a Client, process: &'a WorkflowProcess) -> BoxFuture<'a, Reading> {
        async move {
            let Some(reference) = &process.spec.source.flux_ref else {
                return Fetched::Missing("spec.source.fluxRef is not set".to_owned()).into();
            };
            let artifact =
                observe_artifact(client, &process.namespace().unwrap_or_default(), reference).await;
            match artifact {
                Ok(artifact) => self.artifacts.read(build_wanted(process, reference, artifact)),
                Err(problem) => self.artifacts.fail(&process.uid().unwrap_or_default(), reference, problem),
            }
        }
        .boxed()
    }

    fn forget(&self, uid: &str) {
        self.artifacts.forget(uid);
    }

    fn retain(&self, processes: &[Arc<WorkflowProcess>]) {
        self.artifacts.retain(processes);
    }

    fn watch(&self, controller: &mut ControllerBuilder<'_, Processes>) {
        for kind in KINDS {
            let watched =
                OptionalKind { name: kind.as_str(), resource: resource_of(kind), labels: String::new() };
            controller.watch_optional_referenced(watched, Artifact::of, move |process, changed| {
                depends_on_flux(process, kind, changed)
            });
        }
    }
}

fn build_wanted(process: &WorkflowProcess, reference: &FluxRef, artifact: Artifact) -> Wanted {
    Wanted {
        uid: process.uid().unwrap_or_default(),
        object: ObjectRef::from_obj(process),
        reference: reference.clone(),
        artifact,
    }
}

/// The artifact that the Flux source has now.
async fn observe_artifact(
    client: &Client,
    namespace: &str,
    reference: &FluxRef,
) -> Result<Artifact, Problem<Reason>> {
    let (kind, name) = (reference.kind.as_str(), &reference.name);
    let api: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), namespace, &resource_of(reference.kind));
    let found = optional_kind::read(&api, name)
        .await
        .map_err(|error| Problem::unread(&format!("{kind} {namespace}/{name}"), &error, None))?;
    let refuse = |reason, message| Problem::new(reason, ErrorClass::Denied, message);
    let source = match found {
        Found::Found(source) => source,
        Found::KindMissing => {
            return Err(refuse(
                Reason::ProviderMissing,
                format!(
                    "kind {kind} of Flux is not installed in this cluster; install its source-controller (flux install --components=source-controller), or use spec.source.gitRef"
                ),
            ));
        }
        Found::Absent => {
            return Err(refuse(
                Reason::SourceMissing,
                format!("spec.source.fluxRef.name: {kind} {namespace}/{name} does not exist"),
            ));
        }
    };
    Artifact::of(&source).ok_or_else(|| {
        let reason = kinds::reason_of(&source).map_or_else(String::new, |reason| format!(": its condition Ready says {reason}"));
        refuse(
            Reason::SourceNotReady,
            format!("{kind} {namespace}/{name} has no artifact with a SHA-256 digest{reason}; look at it with kubectl describe"),
        )
    })
}

/// Has the Flux source its document?
#[must_use]
pub fn depends_on_flux(process: &WorkflowProcess, kind: FluxKind, changed: &DynamicObject) -> bool {
    let source = process.spec.source.flux_ref.as_ref();
    changed.metadata.namespace == process.metadata.namespace
        && is_of_kind(changed, kind)
        && source.is_some_and(|source| source.kind == kind && source.name == changed.name_any())
}

#[cfg(test)]
mod tests;
