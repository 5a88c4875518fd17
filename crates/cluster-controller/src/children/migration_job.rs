//! The Job that brings the database's schema forward. It is made once and never changed.

use std::collections::BTreeMap;

use api_types::labels::Component;
use api_types::names;
use controller_kit::plan::digest;
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::api::ObjectMeta;

use super::pod::{build_container, build_database_volumes, build_metadata, build_spec, variable};
use super::{BuildInput, body_of};

/// Attempts after the first, over about five minutes: a Postgres that restarts meanwhile is no failed migration.
const BACKOFF_LIMIT: i32 = 5;
/// How far a migration goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpTo {
    /// The former version keeps working.
    Expand,
    /// Everything; the former version cannot come back.
    All,
}

impl UpTo {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Expand => "expand",
            Self::All => "all",
        }
    }
}

/// The Job, named by version and a digest of all that it does: another spec is another Job.
#[must_use]
pub fn build_job(input: &BuildInput<'_>, up_to: UpTo, approve_breaking: bool) -> Job {
    let version = &input.target.version;
    let mut container = build_container(input, "migrate", version);
    let arguments = ["migrate", "--to", &version.to_string(), "--up-to", up_to.as_str()];
    container.args = Some(arguments.map(str::to_owned).into());
    if approve_breaking {
        container.env.get_or_insert_default().push(variable("WORKFLOW_MIGRATE_APPROVE_BREAKING", "true"));
    }
    let pod =
        build_spec(input, Component::Migration, build_resources(container), build_database_volumes(input));
    let spec = JobSpec {
        backoff_limit: Some(BACKOFF_LIMIT),
        template: PodTemplateSpec {
            metadata: Some(build_metadata(input, Component::Migration, version)),
            spec: Some(PodSpec { restart_policy: Some("Never".to_owned()), ..pod }),
        },
        ..JobSpec::default()
    };
    let digest: String = digest(&body_of(&spec)).chars().take(8).collect();
    let suffix = format!("migrate-{}-{digest}", names::version_key(&version.to_string()));
    let metadata: ObjectMeta = input.metadata(names::child(&input.name(), &suffix), Component::Migration);
    Job { metadata, spec: Some(spec), status: None }
}

/// The work is Postgres's. Limits are given, so that a namespace with a ResourceQuota accepts the pod.
fn build_resources(container: Container) -> Container {
    let amounts = |cpu: &str, memory: &str| -> BTreeMap<String, Quantity> {
        [("cpu".to_owned(), Quantity(cpu.to_owned())), ("memory".to_owned(), Quantity(memory.to_owned()))]
            .into()
    };
    let resources = ResourceRequirements {
        requests: Some(amounts("50m", "64Mi")),
        limits: Some(amounts("1", "256Mi")),
        claims: None,
    };
    Container { resources: Some(resources), ..container }
}
