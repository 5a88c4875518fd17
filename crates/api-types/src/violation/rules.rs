//! The CEL rules of the CRDs again, in Rust, with the same messages. The tests check both with `testdata/cases.yaml`.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::sync::LazyLock;
use std::time::Duration;

use kube::{CustomResourceExt, ResourceExt};
use regex::Regex;

use super::{Bounds, Checked, Violation};
use crate::backup::BackupDestination;
use crate::quantity::Quantity;
use crate::scheduling::{POD_LABELS_RESERVED, RESOURCES_ORDER, Resources, Scheduling};
use crate::schema::{CelRule, LABEL_KEYS};
use crate::{WorkflowBackup, WorkflowCluster, WorkflowProcess, WorkflowTenant, WorkflowWorker};
use crate::{backup, cluster, grammar, job_type, process, tenant, worker, worker_env};

/// Collects the rules that do not hold.
#[derive(Default)]
struct Broken(Vec<Violation>);

impl Broken {
    fn unless(&mut self, holds: bool, path: impl Into<String>, (_, message): CelRule) {
        if !holds {
            self.0.push(Violation { path: path.into(), message: message.to_owned() });
        }
    }

    fn keys<V>(&mut self, path: &str, map: &BTreeMap<String, V>) {
        self.unless(map.keys().all(|key| is_label_key(key)), path, LABEL_KEYS);
    }

    fn resources(&mut self, path: &str, resources: Option<&Resources>) {
        let Some(resources) = resources else { return };
        self.keys(&format!("{path}.requests"), &resources.requests);
        self.keys(&format!("{path}.limits"), &resources.limits);
        let is_within = |(name, request): (&String, &Quantity)| {
            let limit = resources.limits.get(name).and_then(Quantity::billionths);
            limit.is_none_or(|limit| request.billionths().is_none_or(|request| request <= limit))
        };
        self.unless(resources.requests.iter().all(is_within), path, RESOURCES_ORDER);
    }

    fn destination(&mut self, path: &str, destination: Option<&BackupDestination>) {
        let Some(destination) = destination else { return };
        let one_of = destination.s3.is_some() != destination.volume.is_some();
        self.unless(one_of, path, backup::DESTINATION_ONE_OF);
        let is_inside = |inner: &Option<String>| {
            inner.as_ref().is_none_or(|inner| !inner.split('/').any(|part| part == "." || part == ".."))
        };
        if let Some(s3) = &destination.s3 {
            self.unless(is_inside(&s3.prefix), format!("{path}.s3.prefix"), backup::PATH_INSIDE);
        }
        if let Some(volume) = &destination.volume {
            self.unless(is_inside(&volume.path), format!("{path}.volume.path"), backup::PATH_INSIDE);
        }
    }

    fn scheduling(&mut self, scheduling: Option<&Scheduling>) {
        let Some(scheduling) = scheduling else { return };
        self.keys("spec.scheduling.nodeSelector", &scheduling.node_selector);
        self.keys("spec.scheduling.podLabels", &scheduling.pod_labels);
        self.keys("spec.scheduling.podAnnotations", &scheduling.pod_annotations);
        let is_reserved = scheduling.pod_labels.keys().any(|key| is_reserved(key));
        self.unless(!is_reserved, "spec.scheduling", POD_LABELS_RESERVED);
    }
}

fn is_label_key(key: &str) -> bool {
    static PATTERN: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(grammar::LABEL_KEY).ok());
    key.chars().count() <= grammar::LABEL_KEY_MAX as usize
        && key.find('/').is_none_or(|prefix| prefix <= grammar::DNS_SUBDOMAIN_MAX as usize)
        && PATTERN.as_ref().is_some_and(|pattern| pattern.is_match(key))
}

/// Keys with these prefixes belong to the operator.
fn is_reserved(key: &str) -> bool {
    key.starts_with("app.kubernetes.io/") || key.starts_with("workflow.example.com/")
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_dns_label(name: &str, max: usize) -> bool {
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    name.len() <= max
        && ends(bytes.first())
        && ends(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-')
}

impl Checked for WorkflowCluster {
    fn bounds() -> &'static Bounds {
        static BOUNDS: LazyLock<Bounds> = LazyLock::new(|| Bounds::of_spec(&WorkflowCluster::crd()));
        &BOUNDS
    }

    fn broken_rules(&self) -> Vec<Violation> {
        let mut broken = Broken::default();
        let name = self.name_any();
        let starts_with_letter = name.starts_with(|char: char| char.is_ascii_lowercase());
        broken.unless(
            starts_with_letter && is_dns_label(&name, cluster::MAX_CLUSTER_NAME),
            "metadata.name",
            cluster::NAME,
        );

        let postgres = &self.spec.postgres;
        broken.unless(
            postgres.external_ref.is_some() != postgres.managed.is_some(),
            "spec.postgres",
            cluster::POSTGRES_ONE_OF,
        );
        if let Some(external) = &postgres.external_ref {
            // The pattern accepts any text of hex digits and colons; only the parser recognises an IPv6 address. The
            // API server refuses one that maps an IPv4 address.
            let is_address =
                |host: &str| host.parse::<Ipv6Addr>().is_ok_and(|address| address.to_ipv4_mapped().is_none());
            let address_holds = !external.host.contains(':') || is_address(&external.host);
            broken.unless(address_holds, "spec.postgres.externalRef.host", cluster::POSTGRES_HOST);
        }
        if let Some(managed) = &postgres.managed {
            broken.resources("spec.postgres.managed.resources", managed.resources.as_ref());
        }
        if let Some(ingress) = self.spec.enabled_ingress() {
            broken.unless(ingress.host.is_some(), "spec.network.ingress", cluster::INGRESS_HOST);
        }
        if let Some(network) = &self.spec.network {
            let is_address = |host: &String| host.split('.').count() == 4 && host.split('.').all(is_number);
            let of_ingress = network.ingress.as_ref().and_then(|ingress| ingress.host.as_ref());
            let is_name = !of_ingress.is_some_and(is_address);
            broken.unless(is_name, "spec.network.ingress.host", cluster::INGRESS_HOST_NAME);
            let is_name = !network.external_host.as_ref().is_some_and(is_address);
            broken.unless(is_name, "spec.network.externalHost", cluster::EXTERNAL_HOST_NAME);
            broken.keys("spec.network.serviceAnnotations", &network.service_annotations);
            let is_reserved = network.service_annotations.keys().any(|key| is_reserved(key));
            broken.unless(!is_reserved, "spec.network", cluster::SERVICE_ANNOTATIONS_RESERVED);
        }
        if let Some(tracing) = self.spec.enabled_tracing() {
            broken.unless(
                tracing.otlp_endpoint.is_some(),
                "spec.observability.tracing",
                cluster::TRACING_ENDPOINT,
            );
        }
        if let Some(backup) = &self.spec.backup {
            let asks = backup.schedule.is_some() || backup.drill.is_some();
            broken.unless(
                !asks || backup.destination.is_some(),
                "spec.backup",
                cluster::SCHEDULE_NEEDS_DESTINATION,
            );
            broken.destination("spec.backup.destination", backup.destination.as_ref());
        }
        if let Some(recovery) = self.spec.recovery() {
            let one_of = recovery.backup_ref.is_some() != recovery.backup_id.is_some();
            broken.unless(one_of, "spec.bootstrap.recovery", cluster::RECOVERY_ONE_OF);
            let both = recovery.backup_id.is_some() == recovery.destination.is_some();
            broken.unless(both, "spec.bootstrap.recovery", cluster::RECOVERY_DESTINATION);
            broken.destination("spec.bootstrap.recovery.destination", recovery.destination.as_ref());
        }
        let takes_snapshot = self.spec.deletion_policy() == cluster::ClusterDeletionPolicy::Snapshot;
        let has_destination = self.spec.backup.as_ref().is_some_and(|backup| backup.destination.is_some());
        broken.unless(!takes_snapshot || has_destination, "spec", cluster::SNAPSHOT_DESTINATION);
        broken.unless(self.spec.backup_method_fits(), "spec", cluster::METHOD_FITS);
        broken.resources("spec.resources", self.spec.resources.as_ref());
        broken.scheduling(self.spec.scheduling.as_ref());
        broken.0
    }
}

impl Checked for WorkflowBackup {
    fn bounds() -> &'static Bounds {
        static BOUNDS: LazyLock<Bounds> = LazyLock::new(|| Bounds::of_spec(&WorkflowBackup::crd()));
        &BOUNDS
    }

    fn broken_rules(&self) -> Vec<Violation> {
        let mut broken = Broken::default();
        broken.unless(is_dns_label(&self.name_any(), 63), "metadata.name", backup::NAME);
        broken.destination("spec.destination", self.spec.destination.as_ref());
        broken.0
    }
}

impl Checked for WorkflowTenant {
    fn bounds() -> &'static Bounds {
        static BOUNDS: LazyLock<Bounds> = LazyLock::new(|| Bounds::of_spec(&WorkflowTenant::crd()));
        &BOUNDS
    }

    fn broken_rules(&self) -> Vec<Violation> {
        let mut broken = Broken::default();
        broken.unless(is_dns_label(&self.name_any(), 63), "metadata.name", tenant::NAME);
        let rls = self.spec.isolation.as_ref().and_then(|isolation| isolation.rls);
        broken.unless(rls != Some(false), "spec.isolation.rls", tenant::RLS_ON);
        broken.0
    }
}

fn is_inside(path: &str) -> bool {
    !path.split('/').any(|part| part == ".." || part == ".")
}

impl Checked for WorkflowProcess {
    fn bounds() -> &'static Bounds {
        static BOUNDS: LazyLock<Bounds> = LazyLock::new(|| Bounds::of_spec(&WorkflowProcess::crd()));
        &BOUNDS
    }

    fn broken_rules(&self) -> Vec<Violation> {
        let mut broken = Broken::default();
        let source = &self.spec.source;
        let given = [
            source.bpmn.is_some(),
            source.config_map_ref.is_some(),
            source.git_ref.is_some(),
            source.flux_ref.is_some(),
        ]
        .map(usize::from);
        broken.unless(given.iter().sum::<usize>() == 1, "spec.source", process::SOURCE_ONE_OF);
        // The schema bounds characters, which may be several bytes each.
        if let Some(bpmn) = source.bpmn.as_ref().filter(|bpmn| bpmn.len() > process::MAX_BPMN_BYTES) {
            broken.0.push(Violation {
                path: "spec.source.bpmn".to_owned(),
                message: format!(
                    "spec.source.bpmn has {} bytes, expected at most {}",
                    bpmn.len(),
                    process::MAX_BPMN_BYTES
                ),
            });
        }
        if let Some(git) = &source.git_ref {
            broken.unless(is_inside(&git.path), "spec.source.gitRef.path", process::GIT_PATH_INSIDE);
            let day = Duration::from_hours(24);
            let is_allowed = git
                .interval()
                .is_some_and(|interval| interval >= process::MIN_GIT_INTERVAL && interval <= day);
            broken.unless(is_allowed, "spec.source.gitRef.interval", process::GIT_INTERVAL);
        }
        if let Some(flux) = &source.flux_ref {
            broken.unless(is_inside(&flux.path), "spec.source.fluxRef.path", process::FLUX_PATH_INSIDE);
        }
        broken.0
    }
}

impl Checked for WorkflowWorker {
    fn bounds() -> &'static Bounds {
        static BOUNDS: LazyLock<Bounds> = LazyLock::new(|| Bounds::of_spec(&WorkflowWorker::crd()));
        &BOUNDS
    }

    fn broken_rules(&self) -> Vec<Violation> {
        let mut broken = Broken::default();
        broken.unless(is_dns_label(&self.name_any(), 63), "metadata.name", worker::NAME);
        if let Some(autoscaling) = &self.spec.autoscaling {
            broken.unless(
                autoscaling.min_replicas <= autoscaling.max_replicas,
                "spec.autoscaling",
                worker::REPLICAS_ORDER,
            );
        }
        let too_long = |job_type: &String| {
            matches!(job_type::encode(job_type), Err(job_type::JobTypeError::TooLong { .. }))
        };
        broken.unless(!self.spec.job_types.iter().any(too_long), "spec.jobTypes", worker::JOB_TYPES_ENCODE);
        for (index, variable) in self.spec.env.iter().enumerate() {
            let is_reserved = variable.name.starts_with(worker_env::PREFIX);
            broken.unless(!is_reserved, format!("spec.env[{index}].name"), worker::ENV_NAME_RESERVED);
            let both = variable.value.is_some() && variable.value_from.is_some();
            broken.unless(!both, format!("spec.env[{index}]"), worker::ENV_ONE_OF);
        }
        broken.resources("spec.resources", self.spec.resources.as_ref());
        broken.scheduling(self.spec.scheduling.as_ref());
        broken.0
    }
}
