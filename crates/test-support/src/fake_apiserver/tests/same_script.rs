//! One script of requests against the fake and against the real apiserver: every answer must be the same.
//!
//! What is compared is what a controller can see: the outcome with its code, reason and message, and the object, with
//! identity, time and defaulted fields taken out, and `resourceVersion` as "moved" or "kept".

use std::fmt::Debug;
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client, ResourceExt};
use serde::Serialize;
use serde_json::{Value, json};

use crate::FakeApiServer;
use crate::snapshot::comparable;
use crate::wait::eventually;

/// What was seen, step by step.
#[derive(Default)]
struct Transcript {
    steps: Vec<(String, Value)>,
    last_version: Option<String>,
}

impl Transcript {
    fn note<T: Serialize + Debug>(&mut self, step: &str, outcome: Result<T, kube::Error>) {
        let seen = match outcome {
            Ok(object) => {
                let object = serde_json::to_value(object).unwrap();
                let version = object["metadata"]["resourceVersion"].as_str().map(str::to_owned);
                let moved = match (&self.last_version, &version) {
                    (Some(before), Some(now)) if before == now => "kept",
                    _ => "moved",
                };
                let shown = json!({"resourceVersion": moved, "object": comparable(&object)});
                if version.is_some() {
                    self.last_version = version;
                }
                shown
            }
            Err(kube::Error::Api(status)) => {
                let mut status = serde_json::to_value(status).unwrap();
                // The fake leaves the uid out of the details.
                status["details"]["uid"] = Value::Null;
                status
            }
            Err(other) => panic!("{step}: {other:?}"),
        };
        self.steps.push((step.to_owned(), seen));
    }
}

fn parcel_crd() -> CustomResourceDefinition {
    let condition = json!({
        "type": "object",
        "properties": {"type": {"type": "string"}, "status": {"type": "string"}},
        "required": ["type"],
    });
    let schema = json!({
        "type": "object",
        "properties": {
            "spec": {"type": "object", "properties": {
                "weight": {"type": "integer"},
                "address": {"type": "object", "additionalProperties": {"type": "string"}},
                "stops": {"type": "array", "items": {"type": "string"}},
            }},
            "status": {"type": "object", "properties": {
                "phase": {"type": "string"},
                "conditions": {
                    "type": "array",
                    "items": condition,
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["type"],
                },
            }},
        },
    });
    serde_json::from_value(json!({
        "metadata": {"name": "parcels.same.example.com"},
        "spec": {
            "group": "same.example.com",
            "names": {"kind": "Parcel", "plural": "parcels"},
            "scope": "Namespaced",
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "schema": {"openAPIV3Schema": schema},
                "subresources": {"status": {}},
            }],
        },
    }))
    .unwrap()
}

/// One run of the script.
struct Script {
    api: Api<DynamicObject>,
    seen: Transcript,
    ours: PatchParams,
    theirs: PatchParams,
    merger: PatchParams,
    poster: PostParams,
}

/// `name` with these further parts.
fn object(name: &str, rest: &Value) -> Value {
    let mut object =
        json!({"apiVersion": "same.example.com/v1", "kind": "Parcel", "metadata": {"name": name}});
    json_patch::merge(&mut object, rest);
    object
}

fn apply_of(name: &str, rest: &Value) -> Patch<Value> {
    Patch::Apply(object(name, rest))
}

fn typed(value: Value) -> DynamicObject {
    serde_json::from_value(value).unwrap()
}

fn parcels(client: Client, namespace: &str) -> Api<DynamicObject> {
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("same.example.com", "v1", "Parcel"));
    Api::namespaced_with(client, namespace, &kind)
}

async fn run_script(client: Client, namespace: &str) -> Vec<(String, Value)> {
    let mut script = Script {
        api: parcels(client.clone(), namespace),
        seen: Transcript::default(),
        ours: PatchParams::apply("ours"),
        theirs: PatchParams::apply("theirs"),
        merger: PatchParams { field_manager: Some("merger".to_owned()), ..PatchParams::default() },
        poster: PostParams { field_manager: Some("poster".to_owned()), ..PostParams::default() },
    };
    script.create_and_replace().await;
    script.patch().await;
    script.apply().await;
    script.apply_conditions().await;
    script.list().await;
    script.delete().await;
    script.write_built_in_kind(client, namespace).await;
    script.seen.steps
}

impl Script {
    /// Creation, replacement, optimistic locking.
    async fn create_and_replace(&mut self) {
        let Self { api, seen, poster, .. } = self;
        seen.note("get absent", api.get("a").await);
        let first = api
            .create(poster, &typed(object("a", &json!({"spec": {"weight": 1}, "status": {"phase": "X"}}))))
            .await;
        let first_seen = first.as_ref().unwrap().clone();
        seen.note("create", first);
        seen.note("create again", api.create(poster, &typed(object("a", &json!({})))).await);
        let versioned = object("b", &json!({"metadata": {"resourceVersion": "1"}}));
        seen.note("create with resourceVersion", api.create(poster, &typed(versioned)).await);
        let mut changed = first_seen.clone();
        changed.data["spec"]["weight"] = 2.into();
        seen.note("replace", api.replace("a", poster, &changed).await);
        seen.note("replace stale", api.replace("a", poster, &changed).await);
        let mut other_uid = api.get("a").await.unwrap();
        seen.note("replace unchanged", api.replace("a", poster, &other_uid).await);
        other_uid.metadata.uid = Some("00000000-0000-0000-0000-000000000000".to_owned());
        let refused = api.replace("a", poster, &other_uid).await;
        assert!(matches!(refused, Err(kube::Error::Api(status)) if status.code == 409));
    }

    /// Merge and JSON patches, of the status and of the rest.
    async fn patch(&mut self) {
        let Self { api, seen, merger, .. } = self;
        let patch = Patch::Merge(json!({"metadata": {"labels": {"a": "1"}}, "spec": {"weight": 3}}));
        seen.note("merge patch", api.patch("a", merger, &patch).await);
        seen.note("merge patch again", api.patch("a", merger, &patch).await);
        let stale = json!({"metadata": {"resourceVersion": "1"}, "spec": {"weight": 9}});
        seen.note("merge patch stale", api.patch("a", merger, &Patch::Merge(stale)).await);
        let operations = serde_json::from_value(json!([
            {"op": "test", "path": "/spec/weight", "value": 3},
            {"op": "replace", "path": "/spec/weight", "value": 4},
        ]));
        let patch = Patch::Json::<()>(operations.unwrap());
        seen.note("json patch", api.patch("a", merger, &patch).await);
        let refused = api.patch("a", merger, &patch).await;
        assert!(matches!(refused, Err(kube::Error::Api(status)) if status.code == 422));
        seen.note("patch absent", api.patch("absent", merger, &Patch::Merge(json!({}))).await);

        let patch = Patch::Merge(json!({"spec": {"weight": 99}, "status": {"phase": "Ready"}}));
        seen.note("status patch", api.patch_status("a", merger, &patch).await);
        seen.note("status patch again", api.patch_status("a", merger, &patch).await);
        seen.note(
            "status by main endpoint",
            api.patch("a", merger, &Patch::Merge(json!({"status": {"phase": "No"}}))).await,
        );
        seen.note("delete a", api.delete("a", &DeleteParams::default()).await.map(|_| ()));
    }

    /// Server-side apply: what is removed, what stays, and which managers conflict.
    async fn apply(&mut self) {
        let Self { api, seen, ours, theirs, merger, .. } = self;
        let mine = |weight: i32, labels: Value| {
            apply_of(
                "s",
                &json!({"metadata": {"labels": labels}, "spec": {
            "weight": weight, "address": {"city": "Bonn"}, "stops": ["x", "y"]}}),
            )
        };
        seen.note("apply creates", api.patch("s", ours, &mine(1, json!({"ours": "1", "shared": "1"}))).await);
        seen.note("apply again", api.patch("s", ours, &mine(1, json!({"ours": "1", "shared": "1"}))).await);
        let their_part = |spec: Value| {
            apply_of("s", &json!({"metadata": {"labels": {"shared": "1", "theirs": "1"}}, "spec": spec}))
        };
        seen.note(
            "apply of others",
            api.patch("s", theirs, &their_part(json!({"address": {"street": "A 1"}}))).await,
        );
        seen.note("apply less", api.patch("s", ours, &mine(1, json!({}))).await);
        seen.note(
            "apply conflict",
            api.patch("s", theirs, &their_part(json!({"weight": 5, "stops": ["z"]}))).await,
        );
        seen.note("apply same value", api.patch("s", theirs, &their_part(json!({"weight": 1}))).await);
        let forced = theirs.clone().force();
        seen.note(
            "apply forced",
            api.patch("s", &forced, &their_part(json!({"weight": 5, "stops": ["z"]}))).await,
        );
        seen.note("conflict the other way", api.patch("s", ours, &mine(1, json!({}))).await);
        seen.note(
            "merge takes over",
            api.patch("s", merger, &Patch::Merge(json!({"spec": {"weight": 6}}))).await,
        );
        seen.note(
            "apply after merge conflicts",
            api.patch("s", theirs, &their_part(json!({"weight": 5}))).await,
        );
        let nothing = apply_of("s", &json!({}));
        seen.note("apply nothing", api.patch("s", theirs, &nothing).await);
        let uid = apply_of("nowhere", &json!({"metadata": {"uid": "12345"}}));
        let refused = api.patch("nowhere", ours, &uid).await;
        assert!(matches!(refused, Err(kube::Error::Api(status)) if status.is_conflict()));
        let dry = PatchParams { dry_run: true, ..ours.clone() };
        let dry_run = api.patch("dry", &dry, &apply_of("dry", &json!({}))).await;
        assert_eq!(dry_run.unwrap().name_any(), "dry");
        seen.note("dry run left nothing", api.get("dry").await);
    }

    /// Conditions are a keyed list, here with two writers.
    async fn apply_conditions(&mut self) {
        let Self { api, seen, ours, theirs, .. } = self;
        let nothing = apply_of("s", &json!({}));
        let condition = |name: &str, status: &str| {
            apply_of("s", &json!({"status": {"conditions": [{"type": name, "status": status}]}}))
        };
        seen.note("condition of ours", api.patch_status("s", ours, &condition("Ready", "False")).await);
        seen.note("condition of others", api.patch_status("s", theirs, &condition("Synced", "True")).await);
        seen.note(
            "condition of ours changes",
            api.patch_status("s", ours, &condition("Ready", "True")).await,
        );
        seen.note("condition of others goes", api.patch_status("s", theirs, &nothing).await);
        seen.note(
            "status of absent",
            api.patch_status("absent", ours, &apply_of("absent", &json!({}))).await,
        );
    }

    /// Selectors, and metadata-only reads.
    async fn list(&mut self) {
        let Self { api, seen, ours, .. } = self;
        for (name, labels) in [("l1", json!({"app": "x"})), ("l2", json!({"app": "y", "tier": "1"}))] {
            let applied = apply_of(name, &json!({"metadata": {"labels": labels}}));
            api.patch(name, ours, &applied).await.unwrap();
        }
        let selectors = [
            "app=x",
            "app!=x",
            "app",
            "!app",
            "app in (x,y),tier",
            "app notin (x)",
            "tier==1",
            "app=x,app=y",
        ];
        for selector in selectors {
            let found = api.list(&ListParams::default().labels(selector)).await.unwrap();
            let names: Vec<String> = found.iter().map(ResourceExt::name_any).collect();
            seen.steps.push((selector.to_owned(), json!(names)));
        }
        let by_name = api.list(&ListParams::default().fields("metadata.name=l1")).await.unwrap();
        seen.steps.push(("by name".to_owned(), json!(by_name.items.len())));
        let metadata = api.get_metadata("l1").await.unwrap();
        seen.steps.push(("metadata".to_owned(), json!([metadata.types, metadata.metadata.labels])));
    }

    /// Preconditions and finalizers.
    async fn delete(&mut self) {
        let Self { api, seen, merger, .. } = self;
        let of_other = DeleteParams::default().preconditions(Preconditions {
            uid: Some("00000000-0000-0000-0000-000000000000".to_owned()),
            resource_version: None,
        });
        let refused = api.delete("l1", &of_other).await;
        assert!(matches!(refused, Err(kube::Error::Api(status)) if status.is_conflict()));
        let finalizer = Patch::Merge(json!({"metadata": {"finalizers": ["same.example.com/f"]}}));
        seen.note("finalizer on", api.patch("l1", merger, &finalizer).await);
        api.delete("l1", &DeleteParams::default()).await.unwrap();
        seen.note("deleting", api.get("l1").await);
        api.delete("l1", &DeleteParams::default()).await.unwrap();
        seen.note("deleting twice", api.get("l1").await);
        let late = Patch::Merge(
            json!({"metadata": {"finalizers": ["same.example.com/f", "same.example.com/late"]}}),
        );
        let refused = api.patch("l1", merger, &late).await;
        assert!(matches!(refused, Err(kube::Error::Api(status)) if status.is_invalid()));
        let release = Patch::Merge(json!({"metadata": {"finalizers": []}}));
        api.patch("l1", merger, &release).await.unwrap();
        seen.note("released", api.get("l1").await);
        seen.note("delete absent", api.delete("l1", &DeleteParams::default()).await.map(|_| ()));
        api.delete_collection(&DeleteParams::default(), &ListParams::default().labels("app")).await.unwrap();
        let left = api.list(&ListParams::default()).await.unwrap();
        seen.steps
            .push(("left".to_owned(), json!(left.iter().map(ResourceExt::name_any).collect::<Vec<_>>())));
    }

    /// A kind of the core group: no generation, and no type in the items of a list.
    async fn write_built_in_kind(&mut self, client: Client, namespace: &str) {
        let Self { seen, ours, merger, .. } = self;
        let kind = ApiResource::erase::<ConfigMap>(&());
        let api: Api<DynamicObject> = Api::namespaced_with(client, namespace, &kind);
        let config = |data: Value| {
            Patch::Apply(
                json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data}),
            )
        };
        seen.note("core: apply", api.patch("c", ours, &config(json!({"a": "1", "b": "1"}))).await);
        seen.note("core: apply less", api.patch("c", ours, &config(json!({"a": "1"}))).await);
        seen.note("core: merge", api.patch("c", merger, &Patch::Merge(json!({"data": {"c": "1"}}))).await);
        let listed = api.list(&ListParams::default().fields("metadata.name=c")).await.unwrap();
        seen.steps.push(("core: list".to_owned(), json!([listed.types, listed.items[0].types])));
        seen.note("core: delete", api.delete("c", &DeleteParams::default()).await.map(|_| ()));
    }
}

#[tokio::test]
async fn fake_and_real_apiserver_answer_alike() {
    let apiserver = crate::require_apiserver!();
    apiserver.apply_crds(&[parcel_crd()]).await;
    let namespace = apiserver.namespace("same").await;
    let client = apiserver.client().await;
    eventually("the new kind can be listed", Duration::from_secs(20), || async {
        parcels(client.clone(), &namespace).list(&ListParams::default()).await
    })
    .await;
    let real = run_script(client, &namespace).await;
    let fake = run_script(FakeApiServer::new().client(), &namespace).await;
    let differing: Vec<String> = real
        .iter()
        .zip(&fake)
        .filter(|(real, fake)| real != fake)
        .map(|((step, real), (_, fake))| format!("{step}\n  real {real}\n  fake {fake}"))
        .collect();
    assert!(differing.is_empty(), "{}", differing.join("\n"));
    assert_eq!(fake.len(), real.len());
}
