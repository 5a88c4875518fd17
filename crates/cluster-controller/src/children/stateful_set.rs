//! The StatefulSet of the engine.

use api_types::WorkflowCluster;
use api_types::engine_access::{
    ADMIN_PORT, Access, GRPC_PORT, TLS_CERT_KEY, TLS_PRIVATE_KEY_KEY, access_secret_name, engine_name,
    headless_service_name, tls_secret_name,
};
use api_types::labels::{Component, TEMPLATE_DIGEST, VERSION, selector};
use api_types::scheduling::Resources;
use controller_kit::children::Child;
use controller_kit::plan::{digest, is_subset};
use k8s_openapi::api::apps::v1::{
    RollingUpdateStatefulSetStrategy, StatefulSet, StatefulSetSpec, StatefulSetUpdateStrategy,
};
use k8s_openapi::api::core::v1::{Container, ContainerPort, HTTPGetAction, PodSpec, PodTemplateSpec, Probe};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt as _;
use semver::Version;

use super::pod::{
    CLAIM_VARIABLE, DATABASE_NAME_VARIABLE, build_container, build_database_volumes, build_metadata,
    build_spec, is_on_same_database, mount, secret_volume, variable, variable_of, whole_secret_volume,
};
use super::service::{ADMIN_PORT_NAME, GRPC_PORT_NAME};
use super::{BuildInput, ClusterChildren, Input, body_of};
use crate::upgrade::rollout::EngineTemplate;

/// Name of the container.
pub const CONTAINER: &str = "engine";
const TLS_DIR: &str = "/etc/workflow/tls";
const CREDENTIALS_DIR: &str = "/etc/workflow/credentials";
/// The engine serves for five seconds more, and then waits at most ten for calls under way.
const TERMINATION_SECONDS: i64 = 30;

/// The child.
pub struct EnginePods;

impl Child for EnginePods {
    type Set = ClusterChildren;
    type Object = StatefulSet;

    fn name(&self, cluster: &WorkflowCluster) -> String {
        engine_name(&cluster.name_any())
    }

    fn build(&self, input: &Input<'_>, _live: Option<&StatefulSet>) -> Option<StatefulSet> {
        let template = input.rollout.template.as_ref()?;
        Some(build(&input.build, template, input.rollout.size, input.rollout.partition))
    }
}

/// Builds it with `size` pods. `partition` holds back the pods below it from a new template.
#[must_use]
pub fn build(input: &BuildInput<'_>, template: &EngineTemplate, size: i32, partition: i32) -> StatefulSet {
    let (template, digest) = match template {
        EngineTemplate::Wanted(version) => {
            let template = build_template(input, version);
            let digest = digest_of(&template);
            (template, digest)
        }
        EngineTemplate::Former { version, digest, template } => {
            let template = template.as_ref().map(|template| with_claim((**template).clone(), input));
            // Under its digest also what takes its place: no other one will come.
            (template.unwrap_or_else(|| build_template(input, version)), digest.clone())
        }
    };
    let mut metadata = input.metadata(input.engine_name(), Component::Engine);
    metadata.annotations = Some([(TEMPLATE_DIGEST.to_owned(), digest)].into());
    StatefulSet {
        metadata,
        spec: Some(StatefulSetSpec {
            replicas: Some(size),
            selector: LabelSelector {
                match_labels: Some(selector(Component::Engine, &input.name())),
                ..LabelSelector::default()
            },
            service_name: Some(headless_service_name(&input.name())),
            // Engine pods keep nothing and do not wait for each other: one that is stuck must not hold up the rest.
            pod_management_policy: Some("Parallel".to_owned()),
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateStatefulSetStrategy {
                    partition: Some(partition),
                    max_unavailable: None,
                }),
            }),
            template,
            ..StatefulSetSpec::default()
        }),
        status: None,
    }
}

/// Whether applying `desired` would give new pods another template than `live` has.
#[must_use]
pub fn changes_template(desired: &StatefulSet, live: &StatefulSet) -> bool {
    let template =
        |set: &StatefulSet| set.spec.as_ref().map(|spec| body_of(&spec.template)).unwrap_or_default();
    desired.annotations().get(TEMPLATE_DIGEST) != live.annotations().get(TEMPLATE_DIGEST)
        // The annotation stays when somebody else changes the template, for instance with `kubectl rollout undo`.
        || !is_subset(&template(desired), &template(live))
}

/// Digest of the pod template that the spec asks for.
#[must_use]
pub fn wanted_digest(input: &BuildInput<'_>, version: &Version) -> String {
    digest_of(&build_template(input, version))
}

/// Digest of the pod template that was applied last.
#[must_use]
pub fn applied_digest(set: &StatefulSet) -> Option<&str> {
    set.annotations().get(TEMPLATE_DIGEST).map(String::as_str)
}

/// The version in the pod template.
#[must_use]
pub fn version_of(set: &StatefulSet) -> Option<Version> {
    let labels = set.spec.as_ref()?.template.metadata.as_ref()?.labels.as_ref()?;
    labels.get(VERSION)?.parse().ok()
}

/// The database in the pod template.
#[must_use]
pub fn database_of(set: &StatefulSet) -> Option<String> {
    variable_of(&set.spec.as_ref()?.template, DATABASE_NAME_VARIABLE).map(str::to_owned)
}

/// The claim in the pod template, if it is one of the database that the spec names.
#[must_use]
pub fn claim_of(set: &StatefulSet, input: &BuildInput<'_>) -> Option<String> {
    let template =
        Some(&set.spec.as_ref()?.template).filter(|template| is_on_same_database(template, input))?;
    variable_of(template, CLAIM_VARIABLE).map(str::to_owned)
}

/// A template as it was, with the claim of today: with that of its day the engine would not work.
fn with_claim(mut template: PodTemplateSpec, input: &BuildInput<'_>) -> PodTemplateSpec {
    let Some(claim) = input.claim.filter(|_| is_on_same_database(&template, input)) else { return template };
    let containers = template.spec.iter_mut().flat_map(|spec| &mut spec.containers);
    let env = containers.flat_map(|container| container.env.iter_mut().flatten());
    for variable in env.filter(|variable| variable.name == CLAIM_VARIABLE) {
        variable.value = Some(claim.to_owned());
    }
    template
}

/// Of all that the spec decides. The claim is not the spec's: it is unknown while the database is away, and an upgrade that is
/// on its way must stay the same upgrade then.
fn digest_of(template: &PodTemplateSpec) -> String {
    let mut template = template.clone();
    for container in template.spec.iter_mut().flat_map(|spec| &mut spec.containers) {
        container.env.iter_mut().for_each(|env| env.retain(|variable| variable.name != CLAIM_VARIABLE));
    }
    digest(&body_of(&template))
}

fn build_template(input: &BuildInput<'_>, version: &Version) -> PodTemplateSpec {
    let name = input.name();
    let mut volumes = build_database_volumes(input);
    volumes.push(secret_volume("tls", &tls_secret_name(&name), &[TLS_CERT_KEY, TLS_PRIVATE_KEY_KEY]));
    // Whole, since what is there changes while one is being replaced.
    volumes.extend(
        Access::ALL.map(|access| whole_secret_volume(access.name(), &access_secret_name(&name, access))),
    );
    let spec = build_spec(input, Component::Engine, build_engine(input, version), volumes);
    PodTemplateSpec {
        metadata: Some(build_metadata(input, Component::Engine, version)),
        spec: Some(PodSpec { termination_grace_period_seconds: Some(TERMINATION_SECONDS), ..spec }),
    }
}

fn build_engine(input: &BuildInput<'_>, version: &Version) -> Container {
    let mut container = build_container(input, CONTAINER, version);
    container.args = Some(vec!["serve".to_owned()]);
    container.resources = input.cluster.spec.resources.as_ref().map(Resources::to_kube);
    container.ports = Some(vec![port(GRPC_PORT_NAME, GRPC_PORT), port(ADMIN_PORT_NAME, ADMIN_PORT)]);
    container.env.get_or_insert_default().extend([
        variable("WORKFLOW_TLS_DIR", TLS_DIR),
        variable("WORKFLOW_CREDENTIALS_DIR", CREDENTIALS_DIR),
    ]);
    let mut mounts = vec![mount("tls", TLS_DIR)];
    mounts.extend(
        Access::ALL.map(|access| mount(access.name(), &format!("{CREDENTIALS_DIR}/{}", access.name()))),
    );
    container.volume_mounts.get_or_insert_default().extend(mounts);
    container.startup_probe =
        Some(Probe { failure_threshold: Some(60), period_seconds: Some(1), ..probe("/livez") });
    container.liveness_probe =
        Some(Probe { failure_threshold: Some(3), period_seconds: Some(10), ..probe("/livez") });
    container.readiness_probe =
        Some(Probe { failure_threshold: Some(2), period_seconds: Some(5), ..probe("/readyz") });
    container
}

fn port(name: &str, number: u16) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: number.into(),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    }
}

fn probe(path: &str) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String(ADMIN_PORT_NAME.to_owned()),
            ..HTTPGetAction::default()
        }),
        timeout_seconds: Some(3),
        ..Probe::default()
    }
}

#[cfg(test)]
mod tests;
