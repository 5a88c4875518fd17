//! The CRDs in a real apiserver, which decides what is accepted, and with which message.

use api_types::{WorkflowBackup, WorkflowCluster, WorkflowProcess, WorkflowTenant, WorkflowWorker};
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::Status;
use kube::{Api, Client};
use serde_json::{Value, json};
use test_support::TestApiServer;

use crate::cases::{Case, Side, cases, fixture, missing, seeds};

/// The apiserver with the CRDs, and a namespace of the test's own.
async fn prepared(apiserver: &TestApiServer, prefix: &str) -> (Client, String) {
    Box::pin(apiserver.apply_crds(&api_types::crds())).await;
    (apiserver.client().await, apiserver.namespace(prefix).await)
}

fn api(client: &Client, namespace: &str, kind: &str) -> Api<DynamicObject> {
    let resource = match kind {
        "WorkflowCluster" => ApiResource::erase::<WorkflowCluster>(&()),
        "WorkflowTenant" => ApiResource::erase::<WorkflowTenant>(&()),
        "WorkflowProcess" => ApiResource::erase::<WorkflowProcess>(&()),
        "WorkflowWorker" => ApiResource::erase::<WorkflowWorker>(&()),
        "WorkflowBackup" => ApiResource::erase::<WorkflowBackup>(&()),
        other => panic!("{other}"),
    };
    Api::namespaced_with(client.clone(), namespace, &resource)
}

fn strict() -> PatchParams {
    PatchParams {
        field_validation: Some(kube::api::ValidationDirective::Strict),
        ..PatchParams::apply("user")
    }
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap()
}

async fn apply(api: &Api<DynamicObject>, object: &Value) -> Result<DynamicObject, kube::Error> {
    api.patch(name(object), &strict(), &Patch::Apply(object)).await
}

/// Field and message of every cause of a refusal.
fn causes(status: &Status) -> Vec<(String, String)> {
    status
        .details
        .iter()
        .flat_map(|details| &details.causes)
        .map(|cause| (cause.field.clone(), cause.message.clone()))
        .collect()
}

async fn check(client: &Client, namespace: &str, case: &Case) -> Result<(), String> {
    let api = api(client, namespace, &case.kind);
    let created: DynamicObject = serde_json::from_value(case.created()).map_err(|error| error.to_string())?;
    let mut outcome = api.create(&PostParams::default(), &created).await;
    if let Some(updated) = case.updated() {
        outcome.map_err(|error| format!("not even created: {error}"))?;
        // An update, not another apply: a field that is left out must be removed.
        let current = api.get(name(&updated)).await.map_err(|error| error.to_string())?;
        let mut updated = updated;
        updated["metadata"]["resourceVersion"] = current.metadata.resource_version.into();
        let updated: DynamicObject = serde_json::from_value(updated).map_err(|error| error.to_string())?;
        outcome = api
            .replace(&updated.metadata.name.clone().unwrap_or_default(), &PostParams::default(), &updated)
            .await;
    }
    let result = compare(case, outcome);
    let _ = api.delete(name(&case.created()), &kube::api::DeleteParams::default()).await;
    result
}

fn compare(case: &Case, outcome: Result<DynamicObject, kube::Error>) -> Result<(), String> {
    match (&case.refused, outcome) {
        (None, Ok(_)) => Ok(()),
        (Some(_), Ok(_)) if case.only == Some(Side::Code) => Ok(()),
        (Some(_), Ok(_)) => Err("accepted".to_owned()),
        (None, Err(error)) => Err(format!("refused: {error}")),
        (Some(refusal), Err(kube::Error::Api(status))) => {
            let causes = causes(&status);
            let path = refusal.apiserver.as_ref().unwrap_or(&refusal.path);
            let reported = causes.iter().any(|(field, message)| {
                // A rule about metadata.name is at the root, which has no path; its message names the field.
                let at = field == path || message.contains(path.as_str());
                at && refusal.message.as_ref().is_none_or(|words| message.ends_with(words))
            });
            if reported {
                Ok(())
            } else {
                Err(format!("refused for something else: {causes:?} {}", status.message))
            }
        }
        (Some(_), Err(error)) => Err(format!("no verdict: {error}")),
    }
}

#[tokio::test]
async fn every_case_is_accepted_or_refused_as_written() {
    let apiserver = test_support::require_apiserver!();
    let (client, namespace) = prepared(apiserver, "cases").await;
    let mut wrong = Vec::new();
    for case in cases() {
        if let Err(why) = check(&client, &namespace, &case).await {
            wrong.push(format!("{}: {why}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn seeds_are_accepted_unchanged_and_apply_again_without_a_difference() {
    let apiserver = test_support::require_apiserver!();
    let (client, namespace) = prepared(apiserver, "seeds").await;
    for (file, mut manifest) in seeds() {
        manifest["metadata"]["namespace"] = namespace.clone().into();
        let api = api(&client, &namespace, manifest["kind"].as_str().unwrap());
        let first = apply(&api, &manifest).await.unwrap_or_else(|error| panic!("{file}: {error}"));
        let live = serde_json::to_value(&first).unwrap();
        assert_eq!(missing(&manifest["spec"], &live["spec"], "spec"), None, "{file}");
        // The first write after the creation also stores the status that the apiserver defaults.
        let second = apply(&api, &manifest).await.unwrap();
        let again = apply(&api, &manifest).await.unwrap();
        assert_eq!(again, second, "{file}");
        api.delete(name(&manifest), &kube::api::DeleteParams::default()).await.unwrap();
    }
}

#[tokio::test]
async fn integer_cpu_stays_an_integer() {
    let apiserver = test_support::require_apiserver!();
    let (client, namespace) = prepared(apiserver, "quantity").await;
    let mut manifest = fixture("seeds/workflowcluster.yaml");
    manifest["metadata"]["namespace"] = namespace.clone().into();
    let live = apply(&api(&client, &namespace, "WorkflowCluster"), &manifest).await.unwrap();
    assert_eq!(live.data["spec"]["resources"]["requests"], json!({"cpu": 2, "memory": "4Gi"}));
}

#[tokio::test]
async fn misspelt_field_is_named() {
    let apiserver = test_support::require_apiserver!();
    let (client, namespace) = prepared(apiserver, "strict").await;
    let mut manifest = fixture("minimal/WorkflowWorker.yaml");
    manifest["spec"]["privileged"] = true.into();
    match apply(&api(&client, &namespace, "WorkflowWorker"), &manifest).await {
        Err(kube::Error::Api(status)) => {
            assert!(status.message.contains("spec.privileged"), "{}", status.message);
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn scale_subresource_reads_and_writes_replicas() {
    let apiserver = test_support::require_apiserver!();
    let (client, namespace) = prepared(apiserver, "scale").await;
    for kind in ["WorkflowCluster", "WorkflowWorker"] {
        let api = api(&client, &namespace, kind);
        let manifest = fixture(&format!("minimal/{kind}.yaml"));
        apply(&api, &manifest).await.unwrap();
        let scale = api.get_scale(name(&manifest)).await.unwrap();
        assert_eq!(scale.spec.unwrap().replicas, Some(1), "{kind}");
        let patch = json!({"spec": {"replicas": 5}});
        api.patch_scale(name(&manifest), &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
        assert_eq!(api.get(name(&manifest)).await.unwrap().data["spec"]["replicas"], 5, "{kind}");
    }
}

/// Two field managers of conditions do not remove each other's.
#[tokio::test]
async fn conditions_are_merged_by_type() {
    let apiserver = test_support::require_apiserver!();
    let (client, namespace) = prepared(apiserver, "conditions").await;
    let api = api(&client, &namespace, "WorkflowTenant");
    let manifest = fixture("minimal/WorkflowTenant.yaml");
    apply(&api, &manifest).await.unwrap();
    for (manager, condition) in [("one", "Ready"), ("two", "Synced")] {
        let status = json!({
            "apiVersion": manifest["apiVersion"], "kind": manifest["kind"],
            "status": {"conditions": [{
                "type": condition, "status": "True", "reason": "Synced", "message": "",
                "lastTransitionTime": "2026-11-22T00:00:00Z",
            }]},
        });
        api.patch_status(name(&manifest), &PatchParams::apply(manager), &Patch::Apply(&status))
            .await
            .unwrap();
    }
    let live = api.get(name(&manifest)).await.unwrap();
    let types: Vec<&Value> = live.data["status"]["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|condition| &condition["type"])
        .collect();
    assert_eq!(types, ["Ready", "Synced"]);
}

/// Otherwise kstatus takes the object for current, and Flux and Helm go on. A defaulted field has no field manager: a
/// controller's first status must replace all of them, whatever it says.
#[tokio::test]
async fn unseen_object_says_so_until_a_controller_writes_its_status() {
    let apiserver = test_support::require_apiserver!();
    let (client, namespace) = prepared(apiserver, "unseen").await;
    let text = "no controller has seen the object yet";
    let unseen = json!({
        "observedGeneration": -1,
        "phase": "Pending",
        "ready": false,
        "message": text,
        "conditions": [{
            "type": "Ready", "status": "Unknown", "reason": "Unseen", "message": text,
            "lastTransitionTime": "1970-01-01T00:00:00Z",
        }],
    });
    for kind in ["WorkflowCluster", "WorkflowTenant", "WorkflowProcess", "WorkflowWorker", "WorkflowBackup"] {
        let api = api(&client, &namespace, kind);
        let manifest = fixture(&format!("minimal/{kind}.yaml"));
        apply(&api, &manifest).await.unwrap();
        let mut status = api.get(name(&manifest)).await.unwrap().data["status"].take();
        // The status of a cluster has two more defaulted fields.
        if let Some(fields) = status.as_object_mut() {
            fields.retain(|field, _| !["acceptsDeployments", "stalled"].contains(&field.as_str()));
        }
        assert_eq!(status, unseen, "{kind}");

        // The controllers add a finalizer before they write a status.
        let finalizer = json!({"metadata": {"finalizers": ["workflow.example.com/test"]}});
        api.patch(name(&manifest), &PatchParams::default(), &Patch::Merge(&finalizer)).await.unwrap();
        let condition = |type_: &str, status: &str| {
            json!({
                "type": type_, "status": status, "reason": "InvalidSpec", "message": "m",
                "lastTransitionTime": "2026-11-22T00:00:00Z", "observedGeneration": 1,
            })
        };
        let first = json!({
            "observedGeneration": 1, "phase": "Failed", "ready": false, "message": "m",
            "conditions": [condition("Ready", "False"), condition("Stalled", "True")],
        });
        let body = json!({"apiVersion": manifest["apiVersion"], "kind": manifest["kind"], "status": first});
        let params = PatchParams::apply("controller").force();
        api.patch_status(name(&manifest), &params, &Patch::Apply(&body)).await.unwrap();
        let mut status = api.get(name(&manifest)).await.unwrap().data["status"].take();
        if let Some(fields) = status.as_object_mut() {
            fields.retain(|field, _| !["acceptsDeployments", "stalled"].contains(&field.as_str()));
        }
        assert_eq!(status, first, "{kind}");
        let finalizer = json!({"metadata": {"finalizers": null}});
        api.patch(name(&manifest), &PatchParams::default(), &Patch::Merge(&finalizer)).await.unwrap();
    }
}

/// GitOps tools compare what they apply with the live object: the apiserver may rewrite nothing.
#[tokio::test]
async fn crds_apply_again_without_a_difference() {
    let apiserver = test_support::require_apiserver!();
    let (client, _) = prepared(apiserver, "crds").await;
    let api: Api<
        k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    > = Api::all(client);
    for crd in api_types::crds() {
        let name = crd.metadata.name.clone().unwrap();
        let wanted = serde_json::to_value(&crd.spec).unwrap();
        let live = serde_json::to_value(api.get(&name).await.unwrap().spec).unwrap();
        assert_eq!(missing(&wanted, &live, &name), None);
    }
}

#[tokio::test]
async fn status_words_are_closed() {
    let apiserver = test_support::require_apiserver!();
    let (client, namespace) = prepared(apiserver, "status").await;
    for (kind, phase) in [
        ("WorkflowCluster", "RunningWell"),
        ("WorkflowTenant", "active"),
        ("WorkflowProcess", ""),
        ("WorkflowWorker", "Scaling"),
    ] {
        let api = api(&client, &namespace, kind);
        let manifest = fixture(&format!("minimal/{kind}.yaml"));
        apply(&api, &manifest).await.unwrap();
        let status = json!({"status": {"phase": phase}});
        let refused =
            api.patch_status(name(&manifest), &PatchParams::default(), &Patch::Merge(&status)).await;
        assert!(
            matches!(refused, Err(kube::Error::Api(ref status)) if status.code == 422),
            "{kind}: {refused:?}"
        );
    }
}

/// What `kubectl get -o wide` shows: the columns and cells come from the apiserver.
async fn table(client: &Client, namespace: &str, plural: &str) -> (Vec<String>, Vec<Vec<Value>>) {
    let path = format!("/apis/workflow.example.com/v1alpha1/namespaces/{namespace}/{plural}");
    let mut request = kube::core::Request::new(path).list(&kube::api::ListParams::default()).unwrap();
    request.headers_mut().insert("accept", "application/json;as=Table;v=v1;g=meta.k8s.io".parse().unwrap());
    let table: Value = client.request(request).await.unwrap();
    let columns: Vec<_> = table["columnDefinitions"].as_array().unwrap().iter().collect();
    // The age changes with time.
    let shown: Vec<usize> = (0..columns.len()).filter(|n| columns[*n]["name"] != "Age").collect();
    let names = shown.iter().map(|n| columns[*n]["name"].as_str().unwrap().to_owned()).collect();
    let rows = table["rows"].as_array().unwrap().iter();
    (names, rows.map(|row| shown.iter().map(|n| row["cells"][*n].clone()).collect()).collect())
}

#[tokio::test]
async fn kubectl_get_shows_phase_readiness_and_each_kinds_own_figures() {
    let apiserver = test_support::require_apiserver!();
    let (client, namespace) = prepared(apiserver, "columns").await;
    let expected = [
        (
            "WorkflowCluster",
            "workflowclusters",
            json!({"phase": "Running", "ready": true, "version": "1.2.3", "readyReplicas": 3, "message": "m",
                "upgrade": {"stage": "Rolling", "step": 2, "rollbackable": true}}),
            ["Name", "Phase", "Ready", "Version", "Replicas", "Upgrade", "Step", "Message"].as_slice(),
            json!(["prod-east", "Running", true, "1.2.3", 3, "Rolling", 2, "m"]),
        ),
        (
            "WorkflowTenant",
            "workflowtenants",
            json!({"phase": "Active", "ready": true, "currentInstances": 4231, "currentStorageGB": 12.3, "message": "m"}),
            &["Name", "Phase", "Ready", "Instances", "Message"],
            json!(["acme", "Active", true, 4231, "m"]),
        ),
        (
            "WorkflowProcess",
            "workflowprocesses",
            json!({"phase": "Deployed", "ready": true, "version": 3, "versionTag": "v7", "sourceRevision": "4db5582", "processDefinitionKey": 2_251_799_813_685_250_i64, "openIncidents": 2, "message": "m"}),
            &["Name", "Phase", "Ready", "Version", "Tag", "Revision", "Key", "Incidents", "Message"],
            json!(["order-flow", "Deployed", true, 3, "v7", "4db5582", 2_251_799_813_685_250_i64, 2, "m"]),
        ),
        (
            "WorkflowWorker",
            "workflowworkers",
            json!({"phase": "Running", "ready": true, "readyReplicas": 8, "currentLagSeconds": 85, "message": "m"}),
            &["Name", "Phase", "Ready", "Replicas", "Lag-Seconds", "Message"],
            json!(["payment-worker", "Running", true, 8, 85, "m"]),
        ),
    ];
    for (kind, plural, status, columns, cells) in expected {
        let (_, manifest) = seeds().into_iter().find(|(_, manifest)| manifest["kind"] == kind).unwrap();
        let api = api(&client, &namespace, kind);
        let mut manifest = manifest;
        manifest["metadata"]["namespace"] = json!(namespace);
        apply(&api, &manifest).await.unwrap();
        let status = Patch::Merge(json!({"status": status}));
        api.patch_status(name(&manifest), &PatchParams::default(), &status).await.unwrap();
        let (shown, rows) = table(&client, &namespace, plural).await;
        assert_eq!((shown, json!(rows)), (columns.iter().map(ToString::to_string).collect(), json!([cells])));
    }
}
