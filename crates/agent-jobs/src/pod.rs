//! What the pods of all Jobs of the agent have in common.

use std::collections::BTreeMap;

use api_types::labels::{Component, selector};
use api_types::scheduling::Scheduling;
use controller_kit::restricted::{build_container_security, build_pod_security};
use k8s_openapi::api::batch::v1::{
    Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement,
    PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::{
    Container, EmptyDirVolumeSource, LocalObjectReference, PodSecurityContext, PodSpec, PodTemplateSpec,
    ResourceRequirements, TopologySpreadConstraint, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::ObjectMeta;

use crate::volumes::Parts;

/// Name of the container.
pub const CONTAINER: &str = "agent";
/// User and group of the image.
const USER: i64 = 65532;
/// Exit code of the agent for what would fail again.
const PERMANENT: i32 = 2;
/// Where Kubernetes reads why a container ended.
const RESULT_FILE: &str = "/dev/termination-log";

/// How a Job is tried.
#[derive(Clone, Copy, Debug)]
pub struct Attempts {
    /// Attempts after the first. The pauses between them double, from ten seconds on.
    pub more: i32,
    /// Whether what the agent takes for permanent is tried again, too.
    pub also_permanent: bool,
    /// Seconds for all attempts.
    pub seconds: i64,
}

/// CPU and memory: what is reserved, and at most.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// CPU and memory that are reserved.
    pub requests: (&'static str, &'static str),
    /// CPU and memory at most. Limits are given, so that a namespace with a ResourceQuota accepts the pod.
    pub limits: (&'static str, &'static str),
}

/// Whose a Job is, and where its pods run.
#[derive(Clone, Debug)]
pub struct Frame<'a> {
    /// Name, namespace, labels and owner. The pods have the same labels.
    pub metadata: ObjectMeta,
    /// Name of the cluster: its pods of this component are counted where pods are spread.
    pub cluster: &'a str,
    /// What the pods do.
    pub component: Component,
    /// `spec.scheduling` of the cluster.
    pub scheduling: &'a Scheduling,
    /// The agent's image.
    pub image: &'a AgentImage,
    /// The agent's command.
    pub command: &'a str,
}

/// The image of the agent.
#[derive(Clone, Debug, clap::Args)]
pub struct AgentImage {
    /// Image of the backup agent, with its tag or digest.
    #[arg(
        long = "agent-image",
        env = "BACKUP_AGENT_IMAGE",
        default_value = concat!("ghcr.io/example/workflow-operator/backup-agent:", env!("CARGO_PKG_VERSION"))
    )]
    pub reference: String,

    /// When that image is pulled.
    #[arg(
        long = "agent-image-pull-policy",
        env = "BACKUP_AGENT_IMAGE_PULL_POLICY",
        default_value = "IfNotPresent",
        value_parser = ["Always", "IfNotPresent", "Never"]
    )]
    pub pull_policy: String,

    /// Pull Secrets of that image, by name, separated by commas. Each namespace of a WorkflowCluster has its own.
    #[arg(long = "agent-image-pull-secrets", env = "BACKUP_AGENT_IMAGE_PULL_SECRETS", value_delimiter = ',')]
    pub pull_secrets: Vec<String>,
}

/// A Job of the agent.
#[must_use]
pub fn build_job(frame: Frame<'_>, parts: Parts, size: Size, attempts: Attempts) -> Job {
    let Frame { metadata, cluster, component, scheduling, image, command } = frame;
    let scheduling = scheduling.clone();
    let mut labels = scheduling.pod_labels;
    labels.extend(metadata.labels.clone().unwrap_or_default());
    let annotations = (!scheduling.pod_annotations.is_empty()).then_some(scheduling.pod_annotations);
    let own_pods = selector(component, cluster);
    let Parts { env, mut volumes, mut mounts } =
        parts.with_variable("WORKFLOW_BACKUP_RESULT_FILE", RESULT_FILE);
    // The root file system is read-only.
    volumes.push(Volume {
        name: "scratch".to_owned(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    });
    mounts.push(VolumeMount {
        name: "scratch".to_owned(),
        mount_path: "/tmp".to_owned(),
        ..VolumeMount::default()
    });
    let container = Container {
        name: CONTAINER.to_owned(),
        image: Some(image.reference.clone()),
        image_pull_policy: Some(image.pull_policy.clone()),
        args: Some(vec![command.to_owned()]),
        env: Some(env),
        volume_mounts: Some(mounts),
        resources: Some(build_resources(size)),
        termination_message_path: Some(RESULT_FILE.to_owned()),
        security_context: Some(build_container_security()),
        ..Container::default()
    };
    let spread = scheduling.topology_spread_constraints;
    let pod = PodSpec {
        restart_policy: Some("Never".to_owned()),
        containers: vec![container],
        volumes: Some(volumes),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        security_context: Some(PodSecurityContext {
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            fs_group: Some(USER),
            // A volume full of backups is not walked through each time.
            fs_group_change_policy: Some("OnRootMismatch".to_owned()),
            ..build_pod_security()
        }),
        affinity: scheduling.affinity,
        node_selector: (!scheduling.node_selector.is_empty()).then_some(scheduling.node_selector),
        tolerations: (!scheduling.tolerations.is_empty()).then_some(scheduling.tolerations),
        topology_spread_constraints: (!spread.is_empty())
            .then(|| spread.into_iter().map(|constraint| counting(constraint, &own_pods)).collect()),
        priority_class_name: scheduling.priority_class_name,
        image_pull_secrets: build_pull_secrets(&image.pull_secrets),
        ..PodSpec::default()
    };
    let spec = JobSpec {
        backoff_limit: Some(attempts.more),
        active_deadline_seconds: Some(attempts.seconds),
        pod_failure_policy: Some(build_failure_policy(attempts.also_permanent)),
        template: PodTemplateSpec {
            metadata: Some(ObjectMeta { labels: Some(labels), annotations, ..ObjectMeta::default() }),
            spec: Some(pod),
        },
        ..JobSpec::default()
    };
    Job { metadata, spec: Some(spec), status: None }
}

/// A pod that a node drain or a pod of higher priority ended is no failed attempt.
fn build_failure_policy(also_permanent: bool) -> PodFailurePolicy {
    let mut rules = vec![PodFailurePolicyRule {
        action: "Ignore".to_owned(),
        on_pod_conditions: Some(vec![PodFailurePolicyOnPodConditionsPattern {
            type_: "DisruptionTarget".to_owned(),
            status: "True".to_owned(),
        }]),
        on_exit_codes: None,
    }];
    if !also_permanent {
        rules.push(PodFailurePolicyRule {
            action: "FailJob".to_owned(),
            on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement {
                container_name: Some(CONTAINER.to_owned()),
                operator: "In".to_owned(),
                values: vec![PERMANENT],
            }),
            on_pod_conditions: None,
        });
    }
    PodFailurePolicy { rules }
}

fn build_resources(size: Size) -> ResourceRequirements {
    let amounts = |(cpu, memory): (&str, &str)| -> BTreeMap<String, Quantity> {
        [("cpu".to_owned(), Quantity(cpu.to_owned())), ("memory".to_owned(), Quantity(memory.to_owned()))]
            .into()
    };
    ResourceRequirements {
        requests: Some(amounts(size.requests)),
        limits: Some(amounts(size.limits)),
        claims: None,
    }
}

fn build_pull_secrets(names: &[String]) -> Option<Vec<LocalObjectReference>> {
    let references = || names.iter().map(|name| LocalObjectReference { name: name.clone() }).collect();
    (!names.is_empty()).then(references)
}

fn counting(
    constraint: TopologySpreadConstraint,
    own_pods: &BTreeMap<String, String>,
) -> TopologySpreadConstraint {
    let own = || LabelSelector { match_labels: Some(own_pods.clone()), ..LabelSelector::default() };
    TopologySpreadConstraint {
        label_selector: constraint.label_selector.or_else(|| Some(own())),
        ..constraint
    }
}
