use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::Status;
use kube::{Api, ResourceExt};
use serde_json::json;

use super::*;
use crate::reply;

mod same_script;

fn named(name: &str, labels: &[(&str, &str)]) -> ConfigMap {
    let mut object = ConfigMap::default();
    object.metadata.name = Some(name.to_owned());
    object.metadata.labels =
        Some(labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect());
    object
}

fn config_maps(apiserver: &FakeApiServer) -> Api<ConfigMap> {
    Api::namespaced(apiserver.client(), "acme")
}

fn deployments(apiserver: &FakeApiServer) -> Api<Deployment> {
    Api::namespaced(apiserver.client(), "acme")
}

fn refusal<T: std::fmt::Debug>(result: Result<T, kube::Error>) -> Status {
    match result {
        Err(kube::Error::Api(status)) => *status,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

fn deployment(replicas: Option<i32>, image: &str) -> Value {
    let labels = json!({"app": "worker"});
    let mut spec = json!({
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "worker", "image": image}]}},
    });
    if let Some(replicas) = replicas {
        spec["replicas"] = replicas.into();
    }
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "worker"}, "spec": spec})
}

async fn apply(api: &Api<Deployment>, manager: &str, config: &Value) -> Result<Deployment, kube::Error> {
    api.patch("worker", &PatchParams::apply(manager), &Patch::Apply(config)).await
}

#[tokio::test]
async fn create_sets_the_fields_that_only_the_server_sets() {
    let apiserver = FakeApiServer::new();
    let created = config_maps(&apiserver).create(&PostParams::default(), &named("a", &[])).await.unwrap();
    assert_eq!(created.uid().as_deref(), Some("00000000-0000-4000-8000-000000000001"));
    assert_eq!(created.resource_version().as_deref(), Some("1"));
    assert_eq!(created.namespace().as_deref(), Some("acme"));
    assert_eq!(created.metadata.generation, None, "a ConfigMap has no generation");
    assert_eq!(created.creation_timestamp().unwrap().0.to_string(), "2026-01-01T00:00:00Z");

    let taken = refusal(config_maps(&apiserver).create(&PostParams::default(), &named("a", &[])).await);
    assert_eq!(taken, reply::already_exists("configmaps", "a"));
}

#[tokio::test]
async fn generate_name_gives_different_names() {
    let apiserver = FakeApiServer::new();
    let mut object = named("", &[]);
    object.metadata.name = None;
    object.metadata.generate_name = Some("job-".to_owned());
    let first = config_maps(&apiserver).create(&PostParams::default(), &object).await.unwrap().name_any();
    let second = config_maps(&apiserver).create(&PostParams::default(), &object).await.unwrap().name_any();
    assert!(first.starts_with("job-") && second.starts_with("job-") && first != second, "{first} {second}");
}

#[tokio::test]
async fn dry_run_stores_nothing() {
    let apiserver = FakeApiServer::new();
    let params = PostParams { dry_run: true, ..PostParams::default() };
    config_maps(&apiserver).create(&params, &named("a", &[])).await.unwrap();
    assert_eq!(apiserver.get::<ConfigMap>("acme", "a"), None);
}

#[tokio::test]
async fn replace_needs_the_latest_resource_version() {
    let apiserver = FakeApiServer::new();
    let api = config_maps(&apiserver);
    let stale = api.create(&PostParams::default(), &named("a", &[])).await.unwrap();
    let mut changed = stale.clone();
    changed.data = Some(BTreeMap::from([("k".to_owned(), "v".to_owned())]));
    api.replace("a", &PostParams::default(), &changed).await.unwrap();
    let status = refusal(api.replace("a", &PostParams::default(), &stale).await);
    assert_eq!(status, reply::conflict("configmaps", "a"));
}

#[tokio::test]
async fn unchanged_object_keeps_its_resource_version() {
    let apiserver = FakeApiServer::new();
    let api = deployments(&apiserver);
    let first = apply(&api, "ours", &deployment(Some(2), "a:1")).await.unwrap();
    let again = apply(&api, "ours", &deployment(Some(2), "a:1")).await.unwrap();
    let merge = Patch::Merge(json!({"spec": {"replicas": 2}}));
    let merged = api.patch("worker", &PatchParams::default(), &merge).await.unwrap();
    let replaced = api.replace("worker", &PostParams::default(), &merged).await.unwrap();
    assert_eq!([&again, &merged, &replaced], [&first; 3]);
    assert_eq!(apiserver.mutations().len(), 4, "a write without effect counts too");
}

#[tokio::test]
async fn generation_counts_spec_changes_only() {
    let apiserver = FakeApiServer::new();
    let api = deployments(&apiserver);
    apply(&api, "ours", &deployment(Some(2), "a:1")).await.unwrap();
    let labelled = Patch::Merge(json!({"metadata": {"labels": {"a": "b"}}}));
    assert_eq!(
        api.patch("worker", &PatchParams::default(), &labelled).await.unwrap().metadata.generation,
        Some(1)
    );
    let status = Patch::Merge(json!({"status": {"readyReplicas": 2}}));
    assert_eq!(
        api.patch_status("worker", &PatchParams::default(), &status).await.unwrap().metadata.generation,
        Some(1)
    );
    let scaled = apply(&api, "ours", &deployment(Some(3), "a:1")).await.unwrap();
    assert_eq!(scaled.metadata.generation, Some(2));
}

#[tokio::test]
async fn status_is_written_only_through_its_subresource() {
    let apiserver = FakeApiServer::new();
    let api = deployments(&apiserver);
    let mut config = deployment(Some(2), "a:1");
    config["status"] = json!({"readyReplicas": 7});
    assert_eq!(apply(&api, "ours", &config).await.unwrap().status, None);

    let status = json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 9},
        "status": {"readyReplicas": 2}});
    let params = PatchParams::apply("ours");
    let updated = api.patch_status("worker", &params, &Patch::Apply(&status)).await.unwrap();
    assert_eq!(updated.status.clone().unwrap().ready_replicas, Some(2));
    assert_eq!(updated.spec.as_ref().unwrap().replicas, Some(2));

    // A later apply of the spec does not change the status.
    let applied = apply(&api, "ours", &deployment(Some(3), "a:1")).await.unwrap();
    assert_eq!(applied.status, updated.status);
}

#[tokio::test]
async fn apply_removes_what_it_no_longer_sends_and_nothing_else() {
    let apiserver = FakeApiServer::new();
    let api = deployments(&apiserver);
    let mut config = deployment(Some(2), "a:1");
    config["metadata"]["labels"] = json!({"ours": "1", "shared": "1"});
    apply(&api, "ours", &config).await.unwrap();
    let theirs = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"labels": {"theirs": "1", "shared": "1"}}});
    apply(&api, "theirs", &theirs).await.unwrap();

    let left = apply(&api, "ours", &deployment(None, "a:1")).await.unwrap();
    let labels = BTreeMap::from([("theirs".into(), "1".into()), ("shared".into(), "1".into())]);
    assert_eq!(left.metadata.labels, Some(labels));
    assert_eq!(left.spec.unwrap().replicas, None);
}

#[tokio::test]
async fn replicas_left_to_an_autoscaler_stay() {
    let apiserver = FakeApiServer::new();
    let api = deployments(&apiserver);
    apply(&api, "ours", &deployment(Some(2), "a:1")).await.unwrap();
    let scale = Patch::Merge(json!({"spec": {"replicas": 5}}));
    let params = PatchParams { field_manager: Some("autoscaler".to_owned()), ..PatchParams::default() };
    api.patch("worker", &params, &scale).await.unwrap();
    let applied = apply(&api, "ours", &deployment(None, "a:2")).await.unwrap();
    assert_eq!(applied.spec.unwrap().replicas, Some(5));
}

#[tokio::test]
async fn apply_conflicts_with_another_owner_unless_forced() {
    let apiserver = FakeApiServer::new();
    let api = deployments(&apiserver);
    apply(&api, "theirs", &deployment(Some(2), "a:1")).await.unwrap();
    let status = refusal(apply(&api, "ours", &deployment(Some(3), "a:1")).await);
    assert_eq!(status, reply::apply_conflict(&[(".spec.replicas", "theirs")]));

    let params = PatchParams::apply("ours").force();
    let forced = api.patch("worker", &params, &Patch::Apply(&deployment(Some(3), "a:1"))).await.unwrap();
    assert_eq!(forced.spec.unwrap().replicas, Some(3));
    // Now `ours` owns the field: an apply of `theirs` conflicts.
    assert_eq!(refusal(apply(&api, "theirs", &deployment(Some(2), "a:1")).await).code, 409);
}

#[tokio::test]
async fn keyed_lists_are_merged_and_sets_too() {
    let apiserver = FakeApiServer::new();
    let api = deployments(&apiserver);
    let mut config = deployment(None, "a:1");
    config["metadata"]["finalizers"] = json!(["x.io/ours"]);
    apply(&api, "ours", &config).await.unwrap();
    let sidecar = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"finalizers": ["x.io/theirs"]},
        "spec": {"template": {"spec": {"containers": [{"name": "sidecar", "image": "s:1"}]}}}});
    let merged = apply(&api, "theirs", &sidecar).await.unwrap();
    assert_eq!(merged.finalizers(), ["x.io/ours", "x.io/theirs"]);
    let names: Vec<String> = merged
        .spec
        .and_then(|spec| spec.template.spec)
        .map(|pod| pod.containers.into_iter().map(|c| c.name).collect())
        .unwrap();
    assert_eq!(names, ["worker", "sidecar"]);

    let left = apply(&api, "theirs", &json!({"apiVersion": "apps/v1", "kind": "Deployment"})).await.unwrap();
    assert_eq!(left.finalizers(), ["x.io/ours"]);
    assert_eq!(left.spec.and_then(|spec| spec.template.spec).unwrap().containers.len(), 1);
}

#[tokio::test]
async fn an_item_that_an_apply_no_longer_sends_goes_as_a_whole() {
    let apiserver = FakeApiServer::new();
    let api = deployments(&apiserver);
    let mut config = deployment(None, "engine:1");
    let env = |names: &[&str]| -> Value {
        names.iter().map(|name| json!({"name": name, "value": format!("of {name}")})).collect()
    };
    let container = |config: &mut Value, names: &[&str]| {
        config["spec"]["template"]["spec"]["containers"][0]["env"] = env(names);
    };
    container(&mut config, &["A", "B", "C"]);
    apply(&api, "ours", &config).await.unwrap();
    container(&mut config, &["A", "C"]);
    let applied = json!(apply(&api, "ours", &config).await.unwrap());
    assert_eq!(applied["spec"]["template"]["spec"]["containers"][0]["env"], env(&["A", "C"]));
}

#[tokio::test]
async fn apply_with_a_uid_does_not_create() {
    let apiserver = FakeApiServer::new();
    let api = deployments(&apiserver);
    let mut config = deployment(None, "a:1");
    config["metadata"]["uid"] = "8d7b".into();
    let status = refusal(apply(&api, "ours", &config).await);
    assert!(status.is_conflict() && status.message.contains("uid mismatch"), "{status:?}");
    assert_eq!(apiserver.get::<Deployment>("acme", "worker"), None);
}

#[tokio::test]
async fn json_patch_tests_and_changes() {
    let apiserver = FakeApiServer::new();
    let api = config_maps(&apiserver);
    api.create(&PostParams::default(), &named("a", &[("old", "1")])).await.unwrap();
    let patch = |text: Value| Patch::<ConfigMap>::Json(serde_json::from_value(text).unwrap());
    let good = patch(json!([{"op": "test", "path": "/metadata/labels/old", "value": "1"},
        {"op": "add", "path": "/metadata/finalizers", "value": ["x.io/f"]}]));
    let patched = api.patch("a", &PatchParams::default(), &good).await.unwrap();
    assert_eq!(patched.finalizers(), ["x.io/f"]);
    let bad = patch(json!([{"op": "test", "path": "/metadata/labels/old", "value": "2"}]));
    assert_eq!(refusal(api.patch("a", &PatchParams::default(), &bad).await).code, 422);
}

#[tokio::test]
async fn deletion_waits_for_the_last_finalizer() {
    let apiserver = FakeApiServer::new();
    let api = config_maps(&apiserver);
    let mut object = named("a", &[]);
    object.metadata.finalizers = Some(vec!["x.io/f".to_owned()]);
    api.create(&PostParams::default(), &object).await.unwrap();
    api.delete("a", &DeleteParams::default()).await.unwrap();
    let deleting = api.get("a").await.unwrap();
    assert!(deleting.metadata.deletion_timestamp.is_some());
    api.delete("a", &DeleteParams::default()).await.unwrap();
    assert_eq!(api.get("a").await.unwrap(), deleting, "deleting twice changes nothing");

    let late = Patch::Merge(json!({"metadata": {"finalizers": ["x.io/f", "x.io/late"]}}));
    assert_eq!(refusal(api.patch("a", &PatchParams::default(), &late).await).code, 422);

    let release = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    api.patch("a", &PatchParams::default(), &release).await.unwrap();
    assert_eq!(api.get_opt("a").await.unwrap(), None);
    assert_eq!(refusal(api.delete("a", &DeleteParams::default()).await), reply::not_found("configmaps", "a"));
}

#[tokio::test]
async fn delete_preconditions_protect_a_new_object_of_the_same_name() {
    let apiserver = FakeApiServer::new();
    let api = config_maps(&apiserver);
    let first = api.create(&PostParams::default(), &named("a", &[])).await.unwrap();
    api.delete("a", &DeleteParams::default()).await.unwrap();
    api.create(&PostParams::default(), &named("a", &[])).await.unwrap();
    for preconditions in [
        Preconditions { uid: first.uid(), resource_version: None },
        Preconditions { uid: None, resource_version: first.resource_version() },
    ] {
        let params = DeleteParams::default().preconditions(preconditions);
        assert!(refusal(api.delete("a", &params).await).is_conflict());
    }
    assert!(apiserver.get::<ConfigMap>("acme", "a").is_some());
}

#[tokio::test]
async fn lists_select_by_label_and_field() {
    let apiserver = FakeApiServer::new();
    let api = config_maps(&apiserver);
    for (name, labels) in [("a", vec![("app", "x"), ("tier", "1")]), ("b", vec![("app", "y")]), ("c", vec![])]
    {
        api.create(&PostParams::default(), &named(name, &labels)).await.unwrap();
    }
    let table = [
        ("app=x", "a"),
        ("app!=x", "b c"),
        ("app", "a b"),
        ("!app", "c"),
        ("app in (x, y),!tier", "b"),
        ("app notin (x,y)", "c"),
        ("", "a b c"),
    ];
    for (selector, expected) in table {
        let found = api.list(&ListParams::default().labels(selector)).await.unwrap();
        let names: Vec<String> = found.iter().map(ResourceExt::name_any).collect();
        assert_eq!(names.join(" "), expected, "{selector}");
    }
    let by_name = api.list(&ListParams::default().fields("metadata.name=b")).await.unwrap();
    assert_eq!(by_name.items.len(), 1);
    let elsewhere: Api<ConfigMap> = Api::namespaced(apiserver.client(), "other");
    assert!(elsewhere.list(&ListParams::default()).await.unwrap().items.is_empty());
    let everywhere: Api<ConfigMap> = Api::all(apiserver.client());
    assert_eq!(everywhere.list_metadata(&ListParams::default()).await.unwrap().items.len(), 3);

    api.delete_collection(&DeleteParams::default(), &ListParams::default().labels("app")).await.unwrap();
    assert_eq!(apiserver.list::<ConfigMap>("acme").len(), 1);
}

#[tokio::test]
async fn cluster_scoped_objects_work() {
    let apiserver = FakeApiServer::new();
    let api: Api<Namespace> = Api::all(apiserver.client());
    let mut namespace = Namespace::default();
    namespace.metadata.name = Some("acme".to_owned());
    api.create(&PostParams::default(), &namespace).await.unwrap();
    let status = Patch::Merge(json!({"status": {"phase": "Active"}}));
    api.patch_status("acme", &PatchParams::default(), &status).await.unwrap();
    let stored = apiserver.get::<Namespace>("", "acme").unwrap();
    assert_eq!(stored.status.unwrap().phase.as_deref(), Some("Active"));
}

#[tokio::test]
async fn seeded_and_edited_objects_are_not_counted() {
    let apiserver = FakeApiServer::new();
    let mut object = Deployment::default();
    object.metadata.name = Some("worker".to_owned());
    object.metadata.namespace = Some("acme".to_owned());
    apiserver.seed(&object);
    apiserver.edit::<Deployment>("acme", "worker", |o| o["status"] = json!({"readyReplicas": 1}));
    apiserver.edit::<Deployment>("acme", "worker", |o| o["spec"] = json!({"paused": true}));
    let stored = deployments(&apiserver).get("worker").await.unwrap();
    assert_eq!(stored.metadata.generation, Some(2));
    assert_eq!(stored.metadata.resource_version.as_deref(), Some("3"));
    assert_eq!(apiserver.requests().len(), 1);
    apiserver.remove::<Deployment>("acme", "worker");
    assert_eq!(apiserver.get::<Deployment>("acme", "worker"), None);
}

#[tokio::test]
async fn kind_can_be_absent() {
    let apiserver = FakeApiServer::new();
    apiserver.without_api::<PodDisruptionBudget>();
    let api: Api<PodDisruptionBudget> = Api::namespaced(apiserver.client(), "acme");
    assert_eq!(refusal(api.get("a").await).message, "404 page not found");
    assert_eq!(refusal(api.list(&ListParams::default()).await).code, 404);
    assert!(deployments(&apiserver).list(&ListParams::default()).await.is_ok());
}

#[tokio::test]
async fn interceptor_answers_first() {
    let apiserver = FakeApiServer::new();
    apiserver.intercept(|request| {
        request.is_mutating().then(|| reply::forbidden("configmaps", "a", "quota").into())
    });
    let api = config_maps(&apiserver);
    assert!(refusal(api.create(&PostParams::default(), &named("a", &[])).await).is_forbidden());
    assert_eq!(api.get_opt("a").await.unwrap(), None);
    assert_eq!(apiserver.mutations().len(), 1);
    apiserver.forget_requests();
    assert_eq!(apiserver.requests(), []);
}

#[tokio::test]
async fn snapshots_of_equal_runs_are_equal_and_events_are_left_out() {
    let run = async |names: [&str; 2]| {
        let apiserver = FakeApiServer::new();
        for name in names {
            config_maps(&apiserver).create(&PostParams::default(), &named(name, &[])).await.unwrap();
        }
        let events: Api<k8s_openapi::api::core::v1::Event> = Api::namespaced(apiserver.client(), "acme");
        let mut event = k8s_openapi::api::core::v1::Event::default();
        event.metadata.name = Some(names[0].to_owned());
        events.create(&PostParams::default(), &event).await.unwrap();
        apiserver.snapshot()
    };
    let snapshot = run(["a", "b"]).await;
    assert_eq!(snapshot, run(["b", "a"]).await);
    assert_eq!(snapshot.keys().collect::<Vec<_>>(), ["configmaps/acme/a", "configmaps/acme/b"]);
}
