//! What a user types and the children get as it stands, on a real API server, which stores much of it in other words.

use api_types::WorkflowWorker;
use api_types::labels::WORKER_CONTROLLER;
use api_types::reason::Reason as _;
use api_types::worker::WorkerReason;
use controller_kit::apply::Writer;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::CustomResourceExt as _;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use test_support::Faults;
use test_support::variation::{emptied, fields, known_fields, shortened};

use crate::world::{PASSED_ON, WORKER, World, parse};

fn manifest() -> Value {
    parse(PASSED_ON)
}

#[test]
fn the_manifest_has_every_field() {
    let crd = serde_json::to_value(WorkflowWorker::crd()).unwrap();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    // References lead elsewhere; nothing of them is passed on.
    let known = known_fields(schema).into_iter().filter(|field| !field.ends_with("Ref.namespace"));
    let used = fields(&manifest()["spec"]);
    assert_eq!(known.filter(|field| !used.contains(field)).collect::<Vec<_>>(), Vec::<String>::new());
}

/// What became of a manifest.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// At admission, or by the API server as a child.
    Refused,
    /// Nothing is written any more.
    Settled,
    /// What a pass writes that follows two others.
    Restless(Vec<String>),
}

async fn outcome(home: &World, variant: &Value) -> Outcome {
    let mut variant = variant.clone();
    variant["metadata"]["namespace"] = json!(home.name);
    let params = PatchParams::apply("kubectl").force();
    let applied = home.api::<WorkflowWorker>().patch(WORKER, &params, &Patch::Apply(&variant)).await;
    if applied.is_err() {
        return Outcome::Refused;
    }
    let faults = Faults::none();
    let counted = faults.wrap(home.client.clone());
    let controller = Writer::new(counted.clone(), WORKER_CONTROLLER.field_manager);
    let mut applied = 0;
    for _ in 0..3 {
        applied = faults.writes().len();
        home.pass_of(&controller, &counted).await;
    }
    if home.ready_reason().await == WorkerReason::InvalidSpec.as_str() {
        return Outcome::Refused;
    }
    match faults.writes().split_off(applied) {
        none if none.is_empty() => Outcome::Settled,
        writes => Outcome::Restless(writes),
    }
}

/// Each variant that is accepted settles; how many were.
async fn settled(home: &World, variants: Vec<(String, Value)>) -> usize {
    let (mut settled, mut restless) = (0, Vec::new());
    for (reported, variant) in variants {
        match outcome(home, &variant).await {
            Outcome::Refused => {}
            Outcome::Settled => settled += 1,
            Outcome::Restless(writes) => restless.push((reported, writes)),
        }
    }
    assert_eq!(restless, [], "written to in every pass");
    settled
}

/// An empty reference or image is another matter.
fn is_passed_on(field: &str) -> bool {
    const PARTS: [&str; 6] = [
        "spec.autoscaling.behavior",
        "spec.resources",
        "spec.authentication",
        "spec.imagePullSecrets",
        "spec.env",
        "spec.scheduling",
    ];
    PARTS.iter().any(|part| field.contains(part))
}

fn passed_on(variants: Vec<(String, Value)>) -> Vec<(String, Value)> {
    variants.into_iter().filter(|(reported, _)| is_passed_on(reported)).collect()
}

#[tokio::test]
async fn an_empty_value_anywhere_costs_no_write_once_it_is_applied() {
    let apiserver = test_support::require_apiserver!();
    let home = World::new(apiserver, "emptied").await;
    assert_eq!(outcome(&home, &manifest()).await, Outcome::Settled);
    let variants = passed_on(emptied(&manifest()));
    let accepted = settled(&home, variants).await;
    assert!(accepted > 50, "{accepted} were accepted");
}

#[tokio::test]
async fn a_field_that_is_left_out_costs_no_write_once_it_is_applied() {
    let apiserver = test_support::require_apiserver!();
    let home = World::new(apiserver, "shortened").await;
    let variants = passed_on(shortened(&manifest()));
    let accepted = settled(&home, variants).await;
    assert!(accepted > 50, "{accepted} were accepted");
}

/// Quantities, texts and numbers in words that the API server does not keep.
#[tokio::test]
async fn the_same_in_other_words_costs_no_write_once_it_is_applied() {
    let apiserver = test_support::require_apiserver!();
    let home = World::new(apiserver, "other-words").await;
    let amount = |text: Value| {
        let mut variant = manifest();
        variant["spec"]["resources"] = json!({"limits": {"cpu": text}});
        (text.to_string(), variant)
    };
    let texts = [
        "+1",
        "1.",
        ".5",
        "0.5",
        "1000m",
        "0.0001",
        "1e3",
        "1E3",
        "1k",
        "1000k",
        "0.001M",
        "1E",
        "0",
        "0m",
        "1n",
        "0.0000000001",
        "1.00000000001",
        "1500u",
        "0.5Ki",
        "1024Ki",
        "1.5Gi",
        "7Ei",
        "9Ei",
        "99999999999999999999999999999999",
    ];
    let variants: Vec<_> = texts.iter().map(|text| amount(json!(text))).chain([amount(json!(3))]).collect();
    let expected = variants.len();
    assert_eq!(settled(&home, variants).await, expected);
    let mut texts = manifest();
    texts["spec"]["env"] =
        json!([{"name": "A", "value": "1000m"}, {"name": "B", "value": "yes"}, {"name": "C"}]);
    texts["spec"]["scheduling"]["podLabels"] = json!({"value": "", "name": ""});
    texts["spec"]["scheduling"]["podAnnotations"] = json!({"example.com/a": "", "example.com/b": "1.0"});
    texts["spec"]["scheduling"]["nodeSelector"] = json!({"key": ""});
    let toleration = json!({"operator": "Exists"});
    texts["spec"]["scheduling"]["tolerations"] = json!([toleration, toleration]);
    assert_eq!(settled(&home, vec![("texts".to_owned(), texts)]).await, 1);
}

/// Who takes an empty value for none must not take another one for it, too.
#[tokio::test]
async fn what_somebody_else_writes_where_we_want_nothing_is_set_back() {
    let apiserver = test_support::require_apiserver!();
    let home = World::new(apiserver, "drift").await;
    let mut wanted = manifest();
    wanted["spec"]["env"] = json!([{"name": "PROXY", "value": ""}, {"name": "NONE"}]);
    wanted["spec"]["scheduling"] = json!({"tolerations": [{"operator": "Exists", "key": ""}]});
    assert_eq!(outcome(&home, &wanted).await, Outcome::Settled);
    let template = home.deployment().await.spec.unwrap().template;

    let drift = json!({"spec": {"template": {"spec": {
        "containers": [{"name": "worker", "env": [{"name": "PROXY", "value": "x"}, {"name": "NONE", "value": "y"}]}],
        "tolerations": [{"operator": "Exists", "key": "dedicated"}],
        "automountServiceAccountToken": null,
    }}}});
    let params = PatchParams::default();
    home.api::<Deployment>().patch(WORKER, &params, &Patch::Strategic(drift)).await.unwrap();
    assert_ne!(home.deployment().await.spec.unwrap().template, template);
    home.passes(1).await;
    assert_eq!(home.deployment().await.spec.unwrap().template, template);
}

/// Lists that server-side apply merges: no apply of ours takes another manager's element away.
#[tokio::test]
async fn what_others_add_to_a_shared_list_costs_no_write() {
    let apiserver = test_support::require_apiserver!();
    let home = World::new(apiserver, "added").await;
    assert_eq!(outcome(&home, &manifest()).await, Outcome::Settled);
    let added = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": WORKER},
        "spec": {"template": {"spec": {
            "containers": [{
                "name": "worker",
                "env": [{"name": "MESH", "value": "on"}],
                "volumeMounts": [{"name": "extra", "mountPath": "/extra"}],
            }, {"name": "sidecar", "image": "registry.example.com/mesh:1"}],
            "volumes": [{"name": "extra", "emptyDir": {}}],
            "imagePullSecrets": [{"name": "another"}],
            "topologySpreadConstraints": [
                {"topologyKey": "rack", "maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway",
                    "labelSelector": {"matchLabels": {"a": "b"}}},
            ],
        }}},
    });
    let params = PatchParams::apply("mesh");
    home.api::<Deployment>().patch(WORKER, &params, &Patch::Apply(&added)).await.unwrap();
    assert_eq!(outcome(&home, &manifest()).await, Outcome::Settled);
    let pod = home.deployment().await.spec.unwrap().template.spec.unwrap();
    let added = (
        pod.containers.len(),
        pod.image_pull_secrets.unwrap().len(),
        pod.topology_spread_constraints.unwrap().len(),
    );
    assert_eq!(added, (2, 3, 2));
}

/// A fleet whose spec once had every field runs like one that never had them.
#[tokio::test]
async fn what_is_taken_out_of_the_spec_is_taken_out_of_the_children() {
    let apiserver = test_support::require_apiserver!();
    let (former, fresh) = (World::new(apiserver, "former").await, World::new(apiserver, "fresh").await);
    assert_eq!(outcome(&former, &manifest()).await, Outcome::Settled);
    let mut children = Vec::new();
    for home in [&former, &fresh] {
        let mut minimal = manifest();
        minimal["spec"].as_object_mut().unwrap().retain(|field, _| !is_passed_on(&format!("spec.{field}")));
        minimal["spec"]["autoscaling"] = json!({"minReplicas": 2, "maxReplicas": 20});
        assert_eq!(outcome(home, &minimal).await, Outcome::Settled);
        let mut template = home.deployment().await.spec.unwrap().template;
        let digest = template.metadata.as_mut().unwrap().annotations.as_mut().unwrap();
        digest.remove("workflow.example.com/config-digest");
        let autoscaler = home.api::<HorizontalPodAutoscaler>().get(WORKER).await.unwrap();
        let mut reported = serde_json::to_value((template.spec, template.metadata, autoscaler.spec)).unwrap();
        mask(&mut reported, &home.name);
        children.push(serde_json::to_string_pretty(&reported).unwrap());
    }
    let of_fresh: Vec<_> = children[1].lines().collect();
    let left: Vec<_> = children[0].lines().filter(|line| !of_fresh.contains(line)).collect();
    assert_eq!(left, Vec::<&str>::new(), "left of a former spec");
    assert_eq!(children[0], children[1]);
}

/// Addresses name the namespace.
fn mask(value: &mut Value, namespace: &str) {
    match value {
        Value::String(text) => *text = text.replace(namespace, "<namespace>"),
        Value::Array(elements) => elements.iter_mut().for_each(|element| mask(element, namespace)),
        Value::Object(fields) => fields.values_mut().for_each(|field| mask(field, namespace)),
        _ => {}
    }
}
