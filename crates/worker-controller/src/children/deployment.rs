//! The Deployment: the worker image under the environment contract, without any right at the Kubernetes API.

use std::collections::BTreeMap;

use api_types::engine_access::{ACCESS_TOKEN_KEY, CA_CERT_KEY, worker_access_secret_name};
use api_types::labels::{CONFIG_DIGEST, Component, KEPT_OVER_REPLICAS, WORKER_CONTROLLER, selector};
use api_types::reference::SecretRef;
use api_types::worker::{Autoscaling, EnvVar as UserVariable};
use api_types::{WorkflowWorker, WorkflowWorkerSpec, worker_env};
use controller_kit::children::Child;
use controller_kit::plan::digest;
use controller_kit::restricted::{build_container_security, build_pod_security};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::core::v1::{
    Container, EmptyDirVolumeSource, EnvVar, EnvVarSource, LocalObjectReference, ObjectFieldSelector,
    PodSpec, PodTemplateSpec, SecretKeySelector, SecretVolumeSource, TopologySpreadConstraint, Volume,
    VolumeMount,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt as _;
use kube::api::ObjectMeta;
use serde_json::json;

use super::{BuildInput, WorkerChildren};

/// Name of the pods' only container.
pub const CONTAINER: &str = "worker";
/// A worker has no probe to say that it works. One that stays up for so long is taken for one that does, so that an
/// image which ends at once never replaces the one that works.
const MIN_READY_SECONDS: i32 = 10;
/// The field that an autoscaler sets.
pub const NUMBER_OF_PODS: &[&str] = &[".spec.replicas"];
const ACCESS_VOLUME: &str = "engine-access";
const SCRATCH_VOLUME: &str = "tmp";

/// The child.
pub struct WorkerPods;

impl Child for WorkerPods {
    type Set = WorkerChildren;
    type Object = Deployment;

    fn name(&self, worker: &WorkflowWorker) -> String {
        worker.name_any()
    }

    fn build(&self, input: &BuildInput<'_>, live: Option<&Deployment>) -> Option<Deployment> {
        Some(build(input, plan_replicas(&input.worker.spec, live)))
    }

    fn shared_fields(&self, input: &BuildInput<'_>, live: Option<&Deployment>) -> &'static [&'static str] {
        let is_shared = input.worker.spec.autoscaling.is_some() || live.is_some_and(was_scaled_by_others);
        if is_shared { NUMBER_OF_PODS } else { &[] }
    }

    /// The number of pods, and who owns it, was read from this version. Should the autoscaler write in between, the apply
    /// is refused instead of taking the pods back, and the next pass sees what it did.
    fn needs_live_version(&self, input: &BuildInput<'_>, live: &Deployment) -> bool {
        let spec = &input.worker.spec;
        differs_from_spec(spec, plan_replicas(spec, Some(live)))
    }
}

/// The number of pods to apply; `None` leaves it to its owner.
///
/// Without autoscaling that is `spec.replicas`, but for one case: the pods that an autoscaler left stay until the user
/// names another number, because the work that they were added for is still there, and the number in the spec may be
/// nobody's decision but the schema's default. 0 is always a decision.
///
/// Server-side apply forgets a field that is no longer sent, and the number of pods would fall back to its default, 1.
/// So with autoscaling the live number is sent along, which changes nothing, until somebody else — the autoscaler, through
/// the scale subresource — is an owner of the field.
#[must_use]
pub fn plan_replicas(spec: &WorkflowWorkerSpec, live: Option<&Deployment>) -> Option<i32> {
    let Some(autoscaling) = &spec.autoscaling else {
        let left = live.filter(|live| spec.replicas > 0 && is_kept_over(live, spec)).map(current_replicas);
        return Some(left.map_or(spec.replicas, |left| left.max(spec.replicas)));
    };
    // An autoscaler lets a fleet of 0 alone for ever: that is how one is switched off by hand.
    let Some(current) = live.map(current_replicas).filter(|current| *current > 0) else {
        return Some(seed_replicas(spec, autoscaling));
    };
    let is_left_to_others = live.is_some_and(has_other_owner_of_replicas);
    (!is_left_to_others).then_some(current)
}

fn seed_replicas(spec: &WorkflowWorkerSpec, autoscaling: &Autoscaling) -> i32 {
    spec.replicas.min(autoscaling.max_replicas).max(autoscaling.min_replicas)
}

/// Is the number of pods another one than the spec's?
#[must_use]
pub fn differs_from_spec(spec: &WorkflowWorkerSpec, replicas: Option<i32>) -> bool {
    spec.autoscaling.is_some() || replicas != Some(spec.replicas)
}

/// Was the number of pods somebody else's to set, when this was applied last?
#[must_use]
pub fn was_scaled_by_others(live: &Deployment) -> bool {
    live.annotations().contains_key(KEPT_OVER_REPLICAS)
}

fn is_kept_over(live: &Deployment, spec: &WorkflowWorkerSpec) -> bool {
    live.annotations().get(KEPT_OVER_REPLICAS) == Some(&spec.replicas.to_string())
}

fn current_replicas(live: &Deployment) -> i32 {
    live.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

fn has_other_owner_of_replicas(live: &Deployment) -> bool {
    live.managed_fields().iter().any(|entry| {
        let is_ours = entry.manager.as_deref() == Some(WORKER_CONTROLLER.field_manager)
            && entry.operation.as_deref() == Some("Apply")
            && entry.subresource.as_deref().unwrap_or_default().is_empty();
        let owns_replicas =
            entry.fields_v1.as_ref().is_some_and(|fields| fields.0.pointer("/f:spec/f:replicas").is_some());
        owns_replicas && !is_ours
    })
}

/// Builds it.
#[must_use]
pub fn build(input: &BuildInput<'_>, replicas: Option<i32>) -> Deployment {
    let (name, worker) = (input.worker.name_any(), &input.worker.spec);
    let kept_over = differs_from_spec(worker, replicas)
        .then(|| BTreeMap::from([(KEPT_OVER_REPLICAS.to_owned(), worker.replicas.to_string())]));
    Deployment {
        spec: Some(DeploymentSpec {
            replicas,
            selector: own_pods(&name),
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_unavailable: Some(IntOrString::Int(0)),
                    max_surge: None,
                }),
            }),
            min_ready_seconds: Some(MIN_READY_SECONDS),
            template: build_template(input, &name),
            ..DeploymentSpec::default()
        }),
        metadata: ObjectMeta { annotations: kept_over, ..input.metadata(name) },
        ..Deployment::default()
    }
}

fn own_pods(name: &str) -> LabelSelector {
    LabelSelector { match_labels: Some(selector(Component::Worker, name)), ..LabelSelector::default() }
}

fn build_template(input: &BuildInput<'_>, name: &str) -> PodTemplateSpec {
    let spec = &input.worker.spec;
    let scheduling = spec.scheduling.clone().unwrap_or_default();
    let mut labels = scheduling.pod_labels;
    labels.extend(input.labels());
    let mut annotations = scheduling.pod_annotations;
    annotations.insert(CONFIG_DIGEST.to_owned(), access_digest(input));
    let spread = scheduling.topology_spread_constraints;
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            containers: vec![build_container(input)],
            volumes: Some(build_volumes(name)),
            image_pull_secrets: build_pull_secrets(spec),
            // Named always: the API server keeps the former one in a deprecated field, and would bring it back.
            service_account_name: Some(spec.service_account().unwrap_or("default").to_owned()),
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            termination_grace_period_seconds: Some(spec.termination_grace_period_seconds().into()),
            security_context: Some(build_pod_security()),
            affinity: scheduling.affinity,
            node_selector: (!scheduling.node_selector.is_empty()).then_some(scheduling.node_selector),
            tolerations: (!scheduling.tolerations.is_empty()).then_some(scheduling.tolerations),
            topology_spread_constraints: (!spread.is_empty())
                .then(|| spread.into_iter().map(|constraint| count_own_pods(constraint, name)).collect()),
            priority_class_name: scheduling.priority_class_name,
            ..PodSpec::default()
        }),
    }
}

fn build_pull_secrets(spec: &WorkflowWorkerSpec) -> Option<Vec<LocalObjectReference>> {
    let named = |secret: &SecretRef| LocalObjectReference { name: secret.name.clone() };
    let secrets: Vec<_> = spec.image_pull_secrets.iter().map(named).collect();
    (!secrets.is_empty()).then_some(secrets)
}

/// Pods read the address at their start only, and not every worker reads its files again: a change of any rolls once.
fn access_digest(input: &BuildInput<'_>) -> String {
    let access = input.access;
    digest(&json!([access.address, access.ca_pem, access.token.expose()]))
}

fn count_own_pods(constraint: TopologySpreadConstraint, name: &str) -> TopologySpreadConstraint {
    let label_selector = constraint.label_selector.or_else(|| Some(own_pods(name)));
    TopologySpreadConstraint { label_selector, ..constraint }
}

fn build_container(input: &BuildInput<'_>) -> Container {
    let spec = &input.worker.spec;
    Container {
        name: CONTAINER.to_owned(),
        image: Some(spec.image.clone()),
        env: Some(build_env(input)),
        resources: spec.resources.as_ref().map(api_types::scheduling::Resources::to_kube),
        volume_mounts: Some(vec![
            VolumeMount {
                name: ACCESS_VOLUME.to_owned(),
                mount_path: worker_env::CREDENTIALS_DIR.to_owned(),
                read_only: Some(true),
                ..VolumeMount::default()
            },
            VolumeMount {
                name: SCRATCH_VOLUME.to_owned(),
                mount_path: "/tmp".to_owned(),
                ..VolumeMount::default()
            },
        ]),
        // The worker's last line says why it ended.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        security_context: Some(build_container_security()),
        ..Container::default()
    }
}

/// The contract first, then what the user adds; validation keeps the names apart.
fn build_env(input: &BuildInput<'_>) -> Vec<EnvVar> {
    let job_types: Vec<&str> = input.fleet.job_types.iter().map(|job_type| job_type.name.as_str()).collect();
    let file = |key: &str| format!("{}/{key}", worker_env::CREDENTIALS_DIR);
    let mut env = vec![
        variable(worker_env::JOB_TYPES, job_types.join(",")),
        variable(worker_env::ENGINE_ADDRESS, input.access.address.clone()),
        EnvVar {
            name: worker_env::WORKER_NAME.to_owned(),
            value_from: Some(EnvVarSource {
                field_ref: Some(ObjectFieldSelector {
                    field_path: "metadata.name".to_owned(),
                    api_version: Some("v1".to_owned()),
                }),
                ..EnvVarSource::default()
            }),
            value: None,
        },
        variable(worker_env::CA_FILE, file(CA_CERT_KEY)),
        variable(worker_env::TOKEN_FILE, file(ACCESS_TOKEN_KEY)),
        variable(worker_env::TENANT, input.resolved.tenant_id()),
    ];
    env.extend(input.worker.spec.env.iter().map(build_user_variable));
    env
}

fn variable(name: &str, value: String) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value), value_from: None }
}

/// Without a value an empty one is sent: what is not sent could be set by others.
fn build_user_variable(given: &UserVariable) -> EnvVar {
    EnvVar {
        name: given.name.clone(),
        value: given.value.clone().or_else(|| given.value_from.is_none().then(String::new)),
        value_from: given.value_from.as_ref().map(|source| EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                name: source.secret_key_ref.name.clone(),
                key: source.secret_key_ref.key.clone(),
                optional: None,
            }),
            ..EnvVarSource::default()
        }),
    }
}

/// The root file system is read-only, and hardly a runtime does without a place for temporary files.
fn build_volumes(name: &str) -> Vec<Volume> {
    vec![
        Volume {
            name: ACCESS_VOLUME.to_owned(),
            secret: Some(SecretVolumeSource {
                secret_name: Some(worker_access_secret_name(name)),
                // For whatever user the image runs as.
                default_mode: Some(0o444),
                ..SecretVolumeSource::default()
            }),
            ..Volume::default()
        },
        Volume {
            name: SCRATCH_VOLUME.to_owned(),
            empty_dir: Some(EmptyDirVolumeSource::default()),
            ..Volume::default()
        },
    ]
}

#[cfg(test)]
mod tests;
