//! CloudNativePG: a `Cluster` of `postgresql.cnpg.io/v1`.

use std::collections::BTreeMap;

use api_types::cluster::{BARMAN_CLOUD, BARMAN_CLOUD_INSTALL, DEFAULT_DATABASE, PostgresProvider};
use api_types::quantity::Quantity;
use controller_kit::plan::Desired;
use k8s_openapi::api::core::v1::{
    NodeAffinity, PodAffinity, PodAntiAffinity, ResourceRequirements, Toleration, TopologySpreadConstraint,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::{ApiResource, DynamicObject};
use kube::{CustomResource, ResourceExt as _};
use serde::{Deserialize, Serialize};

use super::{KeptSize, Order, Provider, State, WhyKept};

mod object_store;
mod status;

/// Annotation by which CloudNativePG sends a cluster to sleep.
const HIBERNATION: &str = "cnpg.io/hibernation";
/// Label of every pod of a `Cluster`.
const CLUSTER_LABEL: &str = "cnpg.io/cluster";
/// A primary that ends refuses new connections at once and waits so long for the open ones. An engine keeps its own open: with
/// the provider's 180 s nobody would write for three minutes.
const SMART_SHUTDOWN_SECONDS: i32 = 1;
/// What an engine pod opens at most: its pool, one that listens, one that starts.
const CONNECTIONS_OF_ENGINE_POD: i32 = 18;
/// Migrations, backups and the operator.
const OTHER_CONNECTIONS: i32 = 20;

/// The provider.
pub struct CloudNativePg;

/// The fields of `Cluster` that we mean.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "postgresql.cnpg.io",
    version = "v1",
    kind = "Cluster",
    plural = "clusters",
    namespaced,
    schema = "disabled",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ClusterSpec {
    pub(crate) instances: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_name: Option<String>,
    storage: Storage,
    bootstrap: Bootstrap,
    postgresql: PostgresConfiguration,
    smart_shutdown_timeout: i32,
    affinity: Placement,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    topology_spread_constraints: Vec<TopologySpreadConstraint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resources: Option<ResourceRequirements>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority_class_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inherited_metadata: Option<InheritedMetadata>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    plugins: Vec<object_store::Plugin>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_clusters: Vec<object_store::ExternalCluster>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Storage {
    size: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    storage_class: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Bootstrap {
    #[serde(skip_serializing_if = "Option::is_none")]
    initdb: Option<InitDb>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery: Option<object_store::Recovery>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct InitDb {
    database: String,
    owner: String,
    encoding: String,
    locale_collate: String,
    locale_c_type: String,
    data_checksums: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct PostgresConfiguration {
    parameters: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    synchronous: Option<Synchronous>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Synchronous {
    method: String,
    number: i32,
    data_durability: String,
    /// Whether an instance is promoted only if it surely has every commit.
    failover_quorum: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Placement {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    node_selector: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tolerations: Vec<Toleration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_affinity: Option<NodeAffinity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    additional_pod_affinity: Option<PodAffinity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    additional_pod_anti_affinity: Option<PodAntiAffinity>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct InheritedMetadata {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

impl Provider for CloudNativePg {
    fn name(&self) -> &'static str {
        "CloudNativePG"
    }

    fn resource(&self) -> ApiResource {
        ApiResource::erase::<Cluster>(&())
    }

    fn install_command(&self) -> &'static str {
        "helm upgrade --install cnpg --repo https://cloudnative-pg.github.io/charts cloudnative-pg -n cnpg-system --create-namespace"
    }

    fn object_name(&self, cluster: &str) -> String {
        PostgresProvider::CloudNativePg.object_name(cluster)
    }

    fn build(&self, order: &Order<'_>, live: Option<&DynamicObject>) -> Desired {
        let mut metadata = order.metadata.clone();
        metadata.name = Some(self.object_name(&order.cluster.name_any()));
        metadata
            .annotations
            .get_or_insert_default()
            .insert(HIBERNATION.to_owned(), if order.circumstances.asleep { "on" } else { "off" }.to_owned());
        Desired::of(&Cluster { metadata, spec: build_spec(order, live) })
    }

    fn judge(&self, order: &Order<'_>, live: &DynamicObject, converged: bool) -> State {
        status::judge(order, live, converged)
    }

    fn fingerprint(&self, live: &DynamicObject) -> u64 {
        status::fingerprint(live)
    }

    fn archives(&self, live: &DynamicObject) -> bool {
        let plugins = live.data.pointer("/spec/plugins").and_then(serde_json::Value::as_array);
        plugins.is_some_and(|plugins| plugins.iter().any(|plugin| plugin["name"] == BARMAN_CLOUD))
    }

    fn was_recovered(&self, live: &DynamicObject) -> bool {
        live.data.pointer("/spec/bootstrap/recovery").is_some()
    }

    fn recovering_pods(&self, live: &DynamicObject) -> Option<String> {
        let primary = live.data.pointer("/status/currentPrimary").and_then(serde_json::Value::as_str);
        let is_recovering = self.was_recovered(live) && primary.is_none_or(str::is_empty);
        is_recovering.then(|| format!("{CLUSTER_LABEL}={},cnpg.io/jobRole=full-recovery", live.name_any()))
    }

    fn volume_labels(&self, cluster: &str) -> String {
        format!("{CLUSTER_LABEL}={}", self.object_name(cluster))
    }

    fn store_resource(&self) -> ApiResource {
        ApiResource::erase::<object_store::ObjectStore>(&())
    }

    fn store_names(&self, cluster: &str) -> [String; 2] {
        object_store::names(&self.object_name(cluster))
    }

    fn build_stores(&self, order: &Order<'_>) -> Vec<Desired> {
        object_store::build_all(order, &self.object_name(&order.cluster.name_any()))
    }

    fn plugin_install_command(&self) -> &'static str {
        BARMAN_CLOUD_INSTALL
    }

    fn was_sent_to_sleep(&self, live: &DynamicObject) -> bool {
        live.annotations().get(HIBERNATION).is_some_and(|value| value == "on")
    }

    fn kept_size(&self, order: &Order<'_>, live: &DynamicObject) -> Option<KeptSize> {
        let (wanted, size) = (order.managed.storage_size(), live_size(live)?);
        let why = match (is_less(&wanted, &size), is_less(&size, &wanted), order.circumstances.fixed_class) {
            (true, ..) => WhyKept::Shrinks,
            (_, true, Some(class)) => WhyKept::ClassIsFixed(class.to_owned()),
            _ => return None,
        };
        Some(KeptSize { size: size.to_string(), why })
    }
}

fn build_spec(order: &Order<'_>, live: Option<&DynamicObject>) -> ClusterSpec {
    let managed = order.managed;
    let scheduling = order.cluster.spec.scheduling.clone().unwrap_or_default();
    let name = CloudNativePg.object_name(&order.cluster.name_any());
    let kept = live.and_then(|live| CloudNativePg.kept_size(order, live));
    let size = kept.map_or_else(|| managed.storage_size().to_string(), |kept| kept.size);
    let affinity = scheduling.affinity.unwrap_or_default();
    let (bootstrap, external_clusters) = build_bootstrap(order, live, &name);
    let has_metadata = !scheduling.pod_labels.is_empty() || !scheduling.pod_annotations.is_empty();
    ClusterSpec {
        instances: managed.replicas(),
        image_name: build_image(order, live),
        storage: Storage { size, storage_class: managed.storage_class_name.clone() },
        bootstrap,
        postgresql: PostgresConfiguration {
            parameters: [("max_connections".to_owned(), max_connections(order.cluster.spec.replicas))].into(),
            synchronous: build_synchronous(managed.replicas()),
        },
        smart_shutdown_timeout: SMART_SHUTDOWN_SECONDS,
        affinity: Placement {
            node_selector: scheduling.node_selector,
            tolerations: scheduling.tolerations,
            node_affinity: affinity.node_affinity,
            additional_pod_affinity: affinity.pod_affinity,
            additional_pod_anti_affinity: affinity.pod_anti_affinity,
        },
        topology_spread_constraints: scheduling
            .topology_spread_constraints
            .into_iter()
            .map(|constraint| counting_own_pods(constraint, &name))
            .collect(),
        resources: managed.resources.as_ref().map(api_types::scheduling::Resources::to_kube),
        priority_class_name: scheduling.priority_class_name,
        inherited_metadata: has_metadata.then_some(InheritedMetadata {
            labels: scheduling.pod_labels,
            annotations: scheduling.pod_annotations,
        }),
        plugins: object_store::build_archiver(order, &name).into_iter().collect(),
        external_clusters,
    }
}

/// Another image may be another major version: only the spec changes it.
fn build_image(order: &Order<'_>, live: Option<&DynamicObject>) -> Option<String> {
    let named = || order.managed.image.clone();
    let kept = || live?.data.pointer("/spec/imageName")?.as_str().map(str::to_owned);
    let default = || order.default_image.filter(|_| live.is_none()).map(str::to_owned);
    named().or_else(kept).or_else(default)
}

/// A `Cluster` begins once: what it began with stays as it is, also when the backup that it was is gone.
fn build_bootstrap(
    order: &Order<'_>,
    live: Option<&DynamicObject>,
    name: &str,
) -> (Bootstrap, Vec<object_store::ExternalCluster>) {
    let kept =
        live.and_then(|live| serde_json::from_value::<ClusterSpec>(live.data.get("spec")?.clone()).ok());
    match (kept, order.circumstances.origin) {
        (Some(kept), _) => (kept.bootstrap, kept.external_clusters),
        (None, Some(origin)) => {
            let (recovery, external) = object_store::build_recovery(origin, name);
            (Bootstrap { initdb: None, recovery: Some(recovery) }, vec![external])
        }
        (None, None) => (Bootstrap { initdb: Some(build_database()), recovery: None }, Vec::new()),
    }
}

/// The same order of texts on every server, whatever its system's locale is.
fn build_database() -> InitDb {
    InitDb {
        database: DEFAULT_DATABASE.to_owned(),
        owner: DEFAULT_DATABASE.to_owned(),
        encoding: "UTF8".to_owned(),
        locale_collate: "C".to_owned(),
        locale_c_type: "C".to_owned(),
        data_checksums: true,
    }
}

/// A commit counts when another instance has it too, so that none is lost with the primary. With two instances the loss of
/// one would stop all writes: there the other is only preferred.
fn build_synchronous(instances: i32) -> Option<Synchronous> {
    let (data_durability, failover_quorum) = match instances {
        ..=1 => return None,
        2 => ("preferred", false),
        3.. => ("required", true),
    };
    Some(Synchronous {
        method: "any".to_owned(),
        number: 1,
        data_durability: data_durability.to_owned(),
        failover_quorum,
    })
}

/// In hundreds: another number restarts Postgres. One pod more than asked for runs while pods are replaced.
fn max_connections(engine_pods: i32) -> String {
    let needed = CONNECTIONS_OF_ENGINE_POD * (engine_pods + 1) + OTHER_CONNECTIONS;
    ((needed + 99) / 100 * 100).max(100).to_string()
}

fn counting_own_pods(constraint: TopologySpreadConstraint, name: &str) -> TopologySpreadConstraint {
    let own = || LabelSelector {
        match_labels: Some([(CLUSTER_LABEL.to_owned(), name.to_owned())].into()),
        ..LabelSelector::default()
    };
    TopologySpreadConstraint {
        label_selector: constraint.label_selector.or_else(|| Some(own())),
        ..constraint
    }
}

fn live_size(live: &DynamicObject) -> Option<Quantity> {
    serde_json::from_value(live.data.pointer("/spec/storage/size")?.clone()).ok()
}

fn is_less(wanted: &Quantity, size: &Quantity) -> bool {
    matches!((wanted.billionths(), size.billionths()), (Some(wanted), Some(size)) if wanted < size)
}
