//! What engine and migration pods have in common.

use std::collections::BTreeMap;

use api_types::cluster::CA_SECRET_KEY;
use api_types::cluster::{DATABASE_SECRET_PASSWORD, DATABASE_SECRET_USERNAME};
use api_types::labels::{Component, VERSION, selector};
use api_types::scheduling::Scheduling;
use controller_kit::restricted::{build_container_security, build_pod_security};
use k8s_openapi::api::core::v1::{
    Affinity, Container, EnvVar, EnvVarSource, KeyToPath, LocalObjectReference, ObjectFieldSelector,
    PodAffinityTerm, PodAntiAffinity, PodSecurityContext, PodSpec, PodTemplateSpec, SecretVolumeSource,
    TopologySpreadConstraint, Volume, VolumeMount, WeightedPodAffinityTerm,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::ObjectMeta;
use semver::Version;

use super::BuildInput;

/// User and group of every pod, as in the images.
const USER: i64 = 65532;
const DATABASE_DIR: &str = "/etc/workflow/database";
const DATABASE_CA_DIR: &str = "/etc/workflow/database-ca";
/// Names of the environment variables that say where the database is.
const DATABASE_HOST_VARIABLE: &str = "WORKFLOW_DATABASE_HOST";
const DATABASE_PORT_VARIABLE: &str = "WORKFLOW_DATABASE_PORT";
/// Name of the environment variable that names the database.
pub const DATABASE_NAME_VARIABLE: &str = "WORKFLOW_DATABASE_NAME";
/// Name of the environment variable by which the engine knows whose the database must be.
pub const CLAIM_VARIABLE: &str = "WORKFLOW_DATABASE_CLAIM";

/// Labels and annotations of a pod. The version is a label of the pod and never part of a selector.
#[must_use]
pub fn build_metadata(input: &BuildInput<'_>, component: Component, version: &Version) -> ObjectMeta {
    let scheduling = scheduling(input);
    let mut labels = scheduling.pod_labels;
    labels.extend(input.labels(component));
    labels.insert(VERSION.to_owned(), version.to_string());
    let annotations = (!scheduling.pod_annotations.is_empty()).then_some(scheduling.pod_annotations);
    ObjectMeta { labels: Some(labels), annotations, ..ObjectMeta::default() }
}

/// A pod with one container that may do nothing but its work (Pod Security Standard "restricted").
#[must_use]
pub fn build_spec(
    input: &BuildInput<'_>,
    component: Component,
    mut container: Container,
    mut volumes: Vec<Volume>,
) -> PodSpec {
    // These lists have no order of their own; sorted, no new version of the operator can roll pods by another one.
    container.env.iter_mut().for_each(|env| env.sort_by(|a, b| a.name.cmp(&b.name)));
    container
        .volume_mounts
        .iter_mut()
        .for_each(|mounts| mounts.sort_by(|a, b| a.mount_path.cmp(&b.mount_path)));
    volumes.sort_by(|a, b| a.name.cmp(&b.name));
    let scheduling = scheduling(input);
    let own_pods = selector(component, &input.name());
    PodSpec {
        containers: vec![container],
        volumes: Some(volumes),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        security_context: Some(PodSecurityContext {
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            fs_group: Some(USER),
            ..build_pod_security()
        }),
        affinity: build_affinity(scheduling.affinity, component, &own_pods),
        node_selector: (!scheduling.node_selector.is_empty()).then_some(scheduling.node_selector),
        tolerations: (!scheduling.tolerations.is_empty()).then_some(scheduling.tolerations),
        topology_spread_constraints: build_spread(scheduling.topology_spread_constraints, &own_pods),
        priority_class_name: scheduling.priority_class_name,
        image_pull_secrets: build_pull_secrets(&input.settings.engine_image_pull_secrets),
        ..PodSpec::default()
    }
}

fn build_pull_secrets(names: &[String]) -> Option<Vec<LocalObjectReference>> {
    let references = || names.iter().map(|name| LocalObjectReference { name: name.clone() }).collect();
    (!names.is_empty()).then(references)
}

/// What every container has: image, security context and the database. The caller adds what it runs.
#[must_use]
pub fn build_container(input: &BuildInput<'_>, name: &str, version: &Version) -> Container {
    Container {
        name: name.to_owned(),
        image: Some(input.image(version)),
        image_pull_policy: Some(input.settings.engine_image_pull_policy.as_str().to_owned()),
        env: Some(build_database_env(input, version)),
        volume_mounts: Some(build_database_mounts(input)),
        // The engine's last line says why it ended.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        security_context: Some(build_container_security()),
        ..Container::default()
    }
}

fn build_database_env(input: &BuildInput<'_>, version: &Version) -> Vec<EnvVar> {
    let postgres = &input.target.postgres;
    let mut env = vec![
        EnvVar {
            name: "WORKFLOW_NODE_ID".to_owned(),
            value_from: Some(EnvVarSource {
                field_ref: Some(ObjectFieldSelector {
                    field_path: "metadata.name".to_owned(),
                    api_version: Some("v1".to_owned()),
                }),
                ..EnvVarSource::default()
            }),
            ..EnvVar::default()
        },
        variable(DATABASE_HOST_VARIABLE, &postgres.host),
        variable(DATABASE_PORT_VARIABLE, &postgres.port().to_string()),
        variable(DATABASE_NAME_VARIABLE, input.database),
        variable("WORKFLOW_DATABASE_SSL_MODE", postgres.ssl_mode().as_str()),
        variable("WORKFLOW_DATABASE_USER_FILE", &format!("{DATABASE_DIR}/{DATABASE_SECRET_USERNAME}")),
        variable("WORKFLOW_DATABASE_PASSWORD_FILE", &format!("{DATABASE_DIR}/{DATABASE_SECRET_PASSWORD}")),
    ];
    env.extend(input.claim_for(version).map(|claim| variable(CLAIM_VARIABLE, claim)));
    if postgres.ca_secret.is_some() {
        env.push(variable("WORKFLOW_DATABASE_CA_FILE", &format!("{DATABASE_CA_DIR}/{CA_SECRET_KEY}")));
    }
    env
}

/// The value of a variable in a pod template.
#[must_use]
pub fn variable_of<'t>(template: &'t PodTemplateSpec, name: &str) -> Option<&'t str> {
    let containers = template.spec.iter().flat_map(|spec| &spec.containers);
    let mut env = containers.flat_map(|container| container.env.iter().flatten());
    env.find(|variable| variable.name == name)?.value.as_deref()
}

/// Whether pods of this template work on the database that the spec names. What is known of the one says nothing of another.
#[must_use]
pub fn is_on_same_database(template: &PodTemplateSpec, input: &BuildInput<'_>) -> bool {
    let postgres = &input.target.postgres;
    variable_of(template, DATABASE_HOST_VARIABLE) == Some(&postgres.host)
        && variable_of(template, DATABASE_PORT_VARIABLE) == Some(&postgres.port().to_string())
        && variable_of(template, DATABASE_NAME_VARIABLE) == Some(input.database)
}

fn build_database_mounts(input: &BuildInput<'_>) -> Vec<VolumeMount> {
    let mut mounts = vec![mount("database", DATABASE_DIR)];
    if input.target.postgres.ca_secret.is_some() {
        mounts.push(mount("database-ca", DATABASE_CA_DIR));
    }
    mounts
}

/// The volumes of [`build_container`]. Only the keys that are needed: a Secret may hold more.
#[must_use]
pub fn build_database_volumes(input: &BuildInput<'_>) -> Vec<Volume> {
    let postgres = &input.target.postgres;
    let mut volumes = vec![secret_volume(
        "database",
        &postgres.database_secret,
        &[DATABASE_SECRET_USERNAME, DATABASE_SECRET_PASSWORD],
    )];
    if let Some(ca_secret) = &postgres.ca_secret {
        volumes.push(secret_volume("database-ca", ca_secret, &[CA_SECRET_KEY]));
    }
    volumes
}

/// A volume with these keys of a Secret.
#[must_use]
pub fn secret_volume(name: &str, secret: &str, keys: &[&str]) -> Volume {
    let items = keys
        .iter()
        .map(|key| KeyToPath { key: (*key).to_owned(), path: (*key).to_owned(), mode: None })
        .collect();
    build_secret_volume(name, secret, Some(items))
}

/// A Secret with all of its keys.
#[must_use]
pub fn whole_secret_volume(name: &str, secret: &str) -> Volume {
    build_secret_volume(name, secret, None)
}

fn build_secret_volume(name: &str, secret: &str, items: Option<Vec<KeyToPath>>) -> Volume {
    Volume {
        name: name.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret.to_owned()),
            items,
            default_mode: Some(0o440),
            optional: None,
        }),
        ..Volume::default()
    }
}

/// Where a volume is seen.
#[must_use]
pub fn mount(volume: &str, path: &str) -> VolumeMount {
    VolumeMount {
        name: volume.to_owned(),
        mount_path: path.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    }
}

/// A plain variable.
#[must_use]
pub fn variable(name: &str, value: &str) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value.to_owned()), value_from: None }
}

fn scheduling(input: &BuildInput<'_>) -> Scheduling {
    input.cluster.spec.scheduling.clone().unwrap_or_default()
}

/// Engine pods prefer different nodes, unless the user says otherwise.
fn build_affinity(
    given: Option<Affinity>,
    component: Component,
    own_pods: &BTreeMap<String, String>,
) -> Option<Affinity> {
    if component != Component::Engine
        || given.as_ref().is_some_and(|affinity| affinity.pod_anti_affinity.is_some())
    {
        return given;
    }
    let apart = WeightedPodAffinityTerm {
        weight: 100,
        pod_affinity_term: PodAffinityTerm {
            topology_key: "kubernetes.io/hostname".to_owned(),
            label_selector: Some(LabelSelector {
                match_labels: Some(own_pods.clone()),
                ..LabelSelector::default()
            }),
            ..PodAffinityTerm::default()
        },
    };
    let anti_affinity = PodAntiAffinity {
        preferred_during_scheduling_ignored_during_execution: Some(vec![apart]),
        ..PodAntiAffinity::default()
    };
    Some(Affinity { pod_anti_affinity: Some(anti_affinity), ..given.unwrap_or_default() })
}

fn build_spread(
    given: Vec<TopologySpreadConstraint>,
    own_pods: &BTreeMap<String, String>,
) -> Option<Vec<TopologySpreadConstraint>> {
    if given.is_empty() {
        return None;
    }
    let counted = |constraint: TopologySpreadConstraint| TopologySpreadConstraint {
        label_selector: constraint.label_selector.or_else(|| {
            Some(LabelSelector { match_labels: Some(own_pods.clone()), ..LabelSelector::default() })
        }),
        ..constraint
    };
    Some(given.into_iter().map(counted).collect())
}
