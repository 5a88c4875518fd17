//! On a real API server, where field ownership, defaults and schemas are.

use std::time::Duration;

use api_types::WorkflowWorker;
use api_types::labels::{TENANT, WORKER_CONTROLLER};
use controller_kit::apply::Writer;
use controller_kit::outcome::{ErrorClass, Next};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::ApiResource;
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};
use test_support::apiserver::TestApiServer;
use test_support::crash::{run_until_settled, survives_crash_at_every_write};
use test_support::snapshot::snapshot_of;
use test_support::{Faults, builders};

use crate::world::{
    CLUSTER, EVERY_FIELD, SEED, WORKER, ca_config_map, caches, context, directory, good_pass, pass, pass_as,
    worker, worker_key,
};

/// One test's namespace, with a cluster of its own in it.
pub(crate) struct Home {
    pub(crate) client: Client,
    pub(crate) namespace: String,
}

impl Home {
    pub(crate) async fn new(apiserver: &TestApiServer, prefix: &str) -> Self {
        Box::pin(apiserver.apply_crds(&api_types::crds())).await;
        let home = Self { client: apiserver.client().await, namespace: apiserver.namespace(prefix).await };
        Box::pin(home.make_neighbours()).await;
        home
    }

    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// A cluster with an endpoint, a tenant that is ready, CA and credentials.
    async fn make_neighbours(&self) {
        let create = PostParams::default();
        let cluster = builders::cluster(&self.namespace, CLUSTER);
        let status = builders::running_cluster(&self.namespace, CLUSTER).status;
        let clusters = self.api();
        clusters.create(&create, &cluster).await.unwrap();
        let status = Patch::Merge(json!({"status": status}));
        clusters.patch_status(CLUSTER, &PatchParams::default(), &status).await.unwrap();
        self.make_tenant("acme").await;
        self.api().create(&create, &ca_config_map(&self.namespace)).await.unwrap();
        self.api().create(&create, &worker_key(&self.namespace)).await.unwrap();
    }

    /// A tenant that is ready.
    pub(crate) async fn make_tenant(&self, name: &str) {
        let cluster = builders::cluster(&self.namespace, CLUSTER);
        let tenant = builders::tenant(&self.namespace, name, &cluster);
        let status = builders::active_tenant(&self.namespace, name, &cluster).status;
        let tenants = self.api();
        tenants.create(&PostParams::default(), &tenant).await.unwrap();
        let status = Patch::Merge(json!({"status": status}));
        tenants.patch_status(name, &PatchParams::default(), &status).await.unwrap();
    }

    /// As `kubectl apply --server-side` does.
    pub(crate) async fn apply(&self, yaml: &str, change: impl FnOnce(&mut Value)) {
        let mut manifest = serde_json::to_value(worker(yaml, &self.namespace, change)).unwrap();
        manifest["apiVersion"] = json!("workflow.example.com/v1alpha1");
        manifest["kind"] = json!("WorkflowWorker");
        manifest["metadata"].as_object_mut().unwrap().remove("uid");
        let params = PatchParams::apply("kubectl").force();
        self.api::<WorkflowWorker>().patch(WORKER, &params, &Patch::Apply(&manifest)).await.unwrap();
    }

    pub(crate) async fn passes(&self, number: usize) {
        for _ in 0..number {
            good_pass(&self.client, &self.namespace).await;
        }
    }

    pub(crate) async fn deployment(&self) -> Deployment {
        self.api().get(WORKER).await.unwrap()
    }

    pub(crate) async fn replicas(&self) -> i32 {
        self.deployment().await.spec.and_then(|spec| spec.replicas).unwrap()
    }

    /// As the HPA controller does.
    async fn scale(&self, replicas: i32) {
        let api = self.api::<Deployment>();
        let mut scale = api.get_scale(WORKER).await.unwrap();
        scale.spec.get_or_insert_default().replicas = Some(replicas);
        let params =
            PostParams { field_manager: Some("kube-controller-manager".into()), ..PostParams::default() };
        api.replace_scale(WORKER, &params, &scale).await.unwrap();
    }

    /// Labels the namespace with this tenant.
    pub(crate) async fn grant(&self, tenant: &str) {
        self.label(json!(tenant)).await;
    }

    /// Takes the label away.
    pub(crate) async fn revoke(&self) {
        self.label(Value::Null).await;
    }

    async fn label(&self, tenant: Value) {
        let label = Patch::Merge(json!({"metadata": {"labels": {TENANT: tenant}}}));
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        namespaces.patch(&self.namespace, &PatchParams::default(), &label).await.unwrap();
    }

    /// Reason of the worker's `Ready`.
    pub(crate) async fn ready_reason(&self) -> String {
        let status = self.api::<WorkflowWorker>().get(WORKER).await.unwrap().status.unwrap();
        status.conditions.into_iter().find(|condition| condition.type_ == "Ready").unwrap().reason
    }

    /// Type and text of the events about other writers.
    async fn conflicts(&self) -> Vec<(String, String)> {
        let events = self.api::<Event>().list(&ListParams::default()).await.unwrap().items;
        let conflicts = events.into_iter().filter(|event| event.reason.as_deref() == Some("Conflict"));
        conflicts.map(|event| (event.type_.unwrap(), event.note.unwrap())).collect()
    }

    async fn versions(&self) -> Vec<Option<String>> {
        vec![
            self.api::<WorkflowWorker>().get(WORKER).await.unwrap().resource_version(),
            self.deployment().await.resource_version(),
            self.api::<HorizontalPodAutoscaler>().get(WORKER).await.unwrap().resource_version(),
            self.api::<PodDisruptionBudget>().get(WORKER).await.unwrap().resource_version(),
            self.api::<Secret>().get("payment-worker-engine-access").await.unwrap().resource_version(),
        ]
    }
}

fn autoscaling(worker: &mut Value) {
    worker["spec"]["autoscaling"] = json!({"minReplicas": 2, "maxReplicas": 20});
}

fn fixed(replicas: i32) -> impl Fn(&mut Value) {
    move |worker| {
        worker["spec"]["replicas"] = json!(replicas);
        worker["spec"].as_object_mut().unwrap().remove("autoscaling");
    }
}

#[tokio::test]
async fn the_seed_applied_unchanged_gives_the_expected_children_and_is_then_left_alone() {
    let apiserver = test_support::require_apiserver!();
    let home = Home::new(apiserver, "seed").await;
    home.apply(SEED, |_| ()).await;
    home.passes(2).await;

    let spec = home.deployment().await.spec.unwrap();
    let pod = spec.template.spec.unwrap();
    let container = &pod.containers[0];
    assert_eq!(
        (spec.replicas, pod.service_account_name.as_deref(), container.image.as_deref()),
        (Some(3), Some("worker-sa"), Some("acme/payment-worker:1.2.3"))
    );
    assert_eq!(
        serde_json::to_value(&container.resources).unwrap(),
        json!({"requests": {"cpu": "500m", "memory": "256Mi"}, "limits": {"cpu": "2", "memory": "1Gi"}})
    );
    let autoscaler = home.api::<HorizontalPodAutoscaler>().get(WORKER).await.unwrap().spec.unwrap();
    let metrics: Vec<_> =
        autoscaler.metrics.into_iter().flatten().filter_map(|metric| metric.external).collect();
    let seen: Vec<_> = metrics
        .iter()
        .map(|external| {
            let labels = external.metric.selector.clone().unwrap().match_labels.unwrap();
            (labels["job_type"].clone(), external.target.average_value.clone().unwrap().0)
        })
        .collect();
    assert_eq!(seen, [("charge-payment".into(), "100".into()), ("refund-payment".into(), "100".to_owned())]);
    assert_eq!((autoscaler.min_replicas, autoscaler.max_replicas), (Some(2), 20));

    let before = home.versions().await;
    let faults = Faults::none();
    let counted = faults.wrap(home.client.clone());
    for _ in 0..50 {
        good_pass(&counted, &home.namespace).await;
    }
    assert_eq!(home.versions().await, before, "a settled worker was written to");
    assert_eq!(faults.writes(), Vec::<String>::new(), "nor was anything asked of the API server");
}

#[tokio::test]
async fn every_field_is_accepted_and_settles() {
    let apiserver = test_support::require_apiserver!();
    let home = Home::new(apiserver, "every-field").await;
    let tenant = |worker: &mut Value| {
        worker["spec"]["clusterRef"] = json!({"name": CLUSTER});
        worker["spec"]["tenantRef"] = json!({"name": "acme"});
    };
    home.apply(EVERY_FIELD, tenant).await;
    home.passes(2).await;
    let before = home.versions().await;
    home.passes(5).await;
    assert_eq!(home.versions().await, before, "a settled worker was written to");
}

#[tokio::test]
async fn what_the_autoscaler_scaled_stays_whatever_else_changes() {
    let apiserver = test_support::require_apiserver!();
    let home = Home::new(apiserver, "scale").await;
    home.apply(SEED, |worker| worker["spec"]["replicas"] = json!(2)).await;
    home.passes(2).await;
    assert_eq!(home.replicas().await, 2);

    home.scale(8).await;
    home.passes(3).await;
    assert_eq!(home.replicas().await, 8);
    home.apply(SEED, |worker| worker["spec"]["image"] = json!("acme/payment-worker:2.0.0")).await;
    home.passes(2).await;
    assert_eq!(home.replicas().await, 8);
    let image = home.deployment().await.spec.unwrap().template.spec.unwrap().containers.remove(0).image;
    assert_eq!(image.as_deref(), Some("acme/payment-worker:2.0.0"));
    home.scale(5).await;
    home.passes(2).await;
    assert_eq!(home.replicas().await, 5);
}

/// Another controller that sets the image whenever it differs from what it wants, for as long as anybody likes.
#[tokio::test]
async fn a_fight_over_a_field_is_reported_and_not_fought_at_full_speed() {
    let apiserver = test_support::require_apiserver!();
    let home = Home::new(apiserver, "fight").await;
    home.apply(SEED, |worker| worker["spec"]["image"] = json!("ours:1")).await;
    home.passes(2).await;
    let faults = Faults::none();
    let counted = faults.wrap(home.client.clone());
    let writer = Writer::new(counted.clone(), WORKER_CONTROLLER.field_manager);
    let pass = || async {
        let caches = caches(&home.client, &home.namespace).await;
        let context = context(&counted, directory(&home.client).await, caches);
        Box::pin(pass_as(&writer, context, &home.client, &home.namespace)).await
    };
    let rival = async || {
        let image = json!([{"name": "worker", "image": "theirs:1"}]);
        let patch = Patch::Strategic(json!({"spec": {"template": {"spec": {"containers": image}}}}));
        let params = PatchParams { field_manager: Some("image-updater".into()), ..PatchParams::default() };
        home.api::<Deployment>().patch(WORKER, &params, &patch).await.unwrap();
    };
    let image = async || {
        home.deployment().await.spec.unwrap().template.spec.unwrap().containers.remove(0).image.unwrap()
    };
    let of_deployment =
        |writes: Vec<String>| writes.into_iter().filter(|write| write.contains("/deployments/")).count();

    rival().await;
    pass().await;
    assert_eq!(image().await, "ours:1");
    let fields = r#""image-updater" set .spec.template.spec.containers[name="worker"].image"#;
    let object = format!("Deployment {}/{WORKER}", home.namespace);
    let note = format!("Conflict: set back what others changed: {object}: {fields}");
    assert_eq!(home.conflicts().await, [("Warning".to_owned(), note)]);

    rival().await;
    let writes_before = of_deployment(faults.writes());
    for _ in 0..10 {
        assert_eq!(pass().await.next, Next::Failed(ErrorClass::FieldConflict));
    }
    assert_eq!(of_deployment(faults.writes()) - writes_before, 1, "asked once, and then left alone");
    assert_eq!(image().await, "theirs:1");
    let status = home.api::<WorkflowWorker>().get(WORKER).await.unwrap().status.unwrap();
    let conditions: Vec<_> = status
        .conditions
        .iter()
        .filter(|condition| ["Ready", "Reconciling", "Stalled"].contains(&condition.type_.as_str()))
        .map(|condition| (condition.type_.as_str(), condition.status.as_str(), condition.reason.as_str()))
        .collect();
    assert_eq!(conditions, [("Ready", "False", "Conflict"), ("Stalled", "True", "Conflict")]);
    let message =
        format!("changed by others again and again, set back at most once a minute: {object}: {fields}");
    assert_eq!(status.message, Some(message));

    tokio::time::sleep(Duration::from_secs(2)).await;
    pass().await;
    assert_eq!(
        (image().await.as_str(), home.ready_reason().await.as_str()),
        ("ours:1", "ServiceAccountMissing")
    );
}

/// The number of pods is the autoscaler's until it is switched off: taking it back is no conflict. Later it is one.
#[tokio::test]
async fn a_handover_of_the_number_of_pods_is_no_conflict() {
    let apiserver = test_support::require_apiserver!();
    let home = Home::new(apiserver, "handover").await;
    home.apply(SEED, autoscaling).await;
    home.passes(2).await;
    home.scale(9).await;
    home.passes(1).await;
    home.apply(SEED, fixed(4)).await;
    home.passes(2).await;
    assert_eq!((home.replicas().await, home.conflicts().await), (4, Vec::new()));

    home.scale(7).await;
    home.passes(1).await;
    let reported = format!(
        r#"Conflict: set back what others changed: Deployment {}/{WORKER}: "kube-controller-manager" set .spec.replicas"#,
        home.namespace
    );
    assert_eq!((home.replicas().await, home.conflicts().await), (4, vec![("Warning".to_owned(), reported)]));
}

/// Without the handover the apply that no longer names the number would set it to 1.
#[tokio::test]
async fn autoscaling_switched_on_and_off_never_drops_a_pod() {
    let apiserver = test_support::require_apiserver!();
    let home = Home::new(apiserver, "toggle").await;
    home.apply(SEED, fixed(6)).await;
    home.passes(2).await;
    assert_eq!(home.replicas().await, 6);

    home.apply(SEED, autoscaling).await;
    home.passes(2).await;
    assert_eq!(home.replicas().await, 6);
    home.apply(SEED, |worker| {
        autoscaling(worker);
        worker["spec"]["image"] = json!("acme/payment-worker:2.0.0");
    })
    .await;
    home.passes(2).await;
    assert_eq!(home.replicas().await, 6, "still nobody else owns the number");
    home.scale(9).await;
    home.passes(2).await;
    assert_eq!(home.replicas().await, 9);

    // The seed's `replicas: 3` is what the autoscaled fleet does not follow.
    home.apply(SEED, fixed(3)).await;
    home.passes(3).await;
    assert_eq!(home.replicas().await, 9, "switched off, the pods that run stay");
    assert_eq!(home.api::<HorizontalPodAutoscaler>().get_opt(WORKER).await.unwrap(), None);
    home.apply(SEED, |worker| {
        fixed(3)(worker);
        worker["spec"]["image"] = json!("acme/payment-worker:3.0.0");
    })
    .await;
    home.passes(2).await;
    assert_eq!(home.replicas().await, 9, "whatever else changes");
    home.apply(SEED, fixed(4)).await;
    home.passes(2).await;
    assert_eq!(home.replicas().await, 4, "until the spec names another number");
    home.apply(SEED, autoscaling).await;
    home.passes(2).await;
    assert_eq!(home.replicas().await, 4);
}

#[tokio::test]
async fn a_fleet_that_stands_at_zero_is_woken_for_its_autoscaler() {
    let apiserver = test_support::require_apiserver!();
    let home = Home::new(apiserver, "zero").await;
    home.apply(SEED, fixed(0)).await;
    home.passes(2).await;
    assert_eq!(home.replicas().await, 0);
    home.apply(SEED, |worker| {
        autoscaling(worker);
        worker["spec"]["replicas"] = json!(0);
    })
    .await;
    home.passes(2).await;
    assert_eq!(home.replicas().await, 2);
}

#[tokio::test]
async fn drift_of_our_fields_is_undone_once_and_foreign_fields_stay() {
    let apiserver = test_support::require_apiserver!();
    let home = Home::new(apiserver, "drift").await;
    home.apply(SEED, |_| ()).await;
    home.passes(2).await;
    let edit = Patch::Strategic(json!({
        "metadata": {"annotations": {"example.com/note": "theirs"}, "labels": {"app.kubernetes.io/managed-by": "me"}},
        "spec": {
            "minReadySeconds": 0,
            "template": {"spec": {"containers": [{"name": "worker", "image": "evil/image"}], "hostNetwork": true}},
        },
    }));
    let by_hand = PatchParams { field_manager: Some("kubectl-edit".into()), ..PatchParams::default() };
    home.api::<Deployment>().patch(WORKER, &by_hand, &edit).await.unwrap();
    home.passes(1).await;
    let deployment = home.deployment().await;
    assert_eq!(deployment.annotations()["example.com/note"], "theirs");
    assert_eq!(deployment.labels()["app.kubernetes.io/managed-by"], "workflow-operator");
    let spec = deployment.spec.clone().unwrap();
    let image = &spec.template.spec.unwrap().containers[0].image;
    assert_eq!((spec.min_ready_seconds, image.as_deref()), (Some(10), Some("acme/payment-worker:1.2.3")));
    let before = home.versions().await;
    home.passes(3).await;
    assert_eq!(home.versions().await, before, "a settled worker was written to");
}

#[tokio::test]
async fn a_variable_that_somebody_adds_to_the_deployment_costs_no_writes() {
    let apiserver = test_support::require_apiserver!();
    let home = Home::new(apiserver, "added").await;
    home.apply(SEED, |_| ()).await;
    home.passes(2).await;
    let add = Patch::Strategic(json!({
        "spec": {"template": {"spec": {"containers": [{"name": "worker", "env": [{"name": "THEIRS", "value": "1"}]}]}}},
    }));
    let by_hand = PatchParams { field_manager: Some("kubectl-set".into()), ..PatchParams::default() };
    home.api::<Deployment>().patch(WORKER, &by_hand, &add).await.unwrap();
    home.passes(2).await;
    let faults = Faults::none();
    good_pass(&faults.wrap(home.client.clone()), &home.namespace).await;
    assert_eq!(faults.writes(), Vec::<String>::new());
}

#[tokio::test]
async fn we_own_what_we_apply_and_not_the_number_of_pods() {
    let apiserver = test_support::require_apiserver!();
    let home = Home::new(apiserver, "owners").await;
    home.apply(SEED, |_| ()).await;
    home.passes(1).await;
    home.scale(8).await;
    home.passes(1).await;
    let owners: Vec<_> = home
        .deployment()
        .await
        .managed_fields()
        .iter()
        .filter(|entry| {
            entry.fields_v1.as_ref().is_some_and(|fields| fields.0.pointer("/f:spec/f:replicas").is_some())
        })
        .map(|entry| (entry.manager.clone().unwrap(), entry.subresource.clone().unwrap_or_default()))
        .collect();
    assert_eq!(owners, [("kube-controller-manager".to_owned(), "scale".to_owned())]);
}

#[tokio::test]
async fn a_deleted_child_is_made_again() {
    let apiserver = test_support::require_apiserver!();
    let home = Home::new(apiserver, "deleted").await;
    home.apply(SEED, |_| ()).await;
    home.passes(2).await;
    let delete = DeleteParams::default();
    home.api::<Deployment>().delete(WORKER, &delete).await.unwrap();
    home.api::<HorizontalPodAutoscaler>().delete(WORKER, &delete).await.unwrap();
    home.api::<PodDisruptionBudget>().delete(WORKER, &delete).await.unwrap();
    home.api::<Secret>().delete("payment-worker-engine-access", &delete).await.unwrap();
    home.passes(2).await;
    assert_eq!(home.versions().await.len(), 5);
}

#[tokio::test]
async fn a_worker_in_another_namespace_needs_a_grant() {
    let apiserver = test_support::require_apiserver!();
    let home = Home::new(apiserver, "owner").await;
    let guest = Home { client: home.client.clone(), namespace: apiserver.namespace("guest").await };
    guest
        .apply(SEED, |worker| {
            worker["spec"]["clusterRef"] = json!({"name": CLUSTER, "namespace": home.namespace});
            worker["spec"]["tenantRef"] = json!({"name": "acme", "namespace": home.namespace});
        })
        .await;
    pass(&guest.client, &guest.client, &guest.namespace).await;
    assert_eq!(guest.api::<Deployment>().get_opt(WORKER).await.unwrap(), None);

    guest.grant("acme").await;
    guest.passes(2).await;
    assert_eq!(guest.replicas().await, 3);

    guest.revoke().await;
    pass(&guest.client, &guest.client, &guest.namespace).await;
    let secret = guest.api::<Secret>().get_opt("payment-worker-engine-access").await.unwrap();
    let deployment = guest.api::<Deployment>().get_opt(WORKER).await.unwrap();
    assert_eq!((secret, deployment), (None, None));
}

#[tokio::test]
async fn what_the_apiserver_refuses_of_the_spec_is_reported_as_the_specs_fault() {
    let apiserver = test_support::require_apiserver!();
    let home = Home::new(apiserver, "refused").await;
    let valued = json!({"tolerations": [{"operator": "Exists", "key": "dedicated", "value": "workflow"}]});
    home.apply(SEED, |worker| worker["spec"]["scheduling"] = valued).await;
    pass(&home.client, &home.client, &home.namespace).await;
    let status = home.api::<WorkflowWorker>().get(WORKER).await.unwrap().status.unwrap();
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
    assert_eq!(ready.reason, "InvalidSpec");
    assert!(ready.message.starts_with("spec.scheduling.tolerations[0]"), "{}", ready.message);
}

#[tokio::test]
async fn a_crash_at_any_write_ends_where_an_undisturbed_run_ends() {
    let apiserver = test_support::require_apiserver!();
    let report = survives_crash_at_every_write(
        async || {
            let home = Home::new(apiserver, "crash").await;
            home.apply(SEED, |_| ()).await;
            home
        },
        async |home, faults| {
            let client = faults.wrap(home.client.clone());
            run_until_settled(faults, 10, async || {
                match pass(&client, &home.client, &home.namespace).await.next {
                    controller_kit::outcome::Next::Failed(class) => Err(class),
                    _ => Ok(()),
                }
            })
            .await
        },
        async |home| {
            let kinds = [
                ApiResource::erase::<WorkflowWorker>(&()),
                ApiResource::erase::<Secret>(&()),
                ApiResource::erase::<Deployment>(&()),
                ApiResource::erase::<HorizontalPodAutoscaler>(&()),
                ApiResource::erase::<PodDisruptionBudget>(&()),
            ];
            let mut snapshot = snapshot_of(&home.client, &home.namespace, &kinds).await.unwrap();
            // Hashes cover the uids and the namespace, which differ on each run.
            snapshot.values_mut().for_each(mask_hashes);
            snapshot
        },
    )
    .await;
    assert!(report.crashes >= 10, "{report:?}");
}

fn mask_hashes(value: &mut Value) {
    if let Some(hash) = value.pointer_mut("/metadata/annotations/workflow.example.com~1applied-hash") {
        *hash = json!("<masked>");
    }
    if let Some(digest) =
        value.pointer_mut("/spec/template/metadata/annotations/workflow.example.com~1config-digest")
    {
        *digest = json!("<masked>");
    }
}
