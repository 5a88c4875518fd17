//! What a user types and engine pods get as it stands: the API server stores much of it in other words, or not at all.

use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use test_support::Faults;
use test_support::wait::eventually;

use crate::world::{ENGINE, World};

/// What the writes of some more passes are, once everything is as this scheduling and these resources want it.
async fn writes_once_settled(home: &mut World, scheduling: &Value, resources: &Value) -> Vec<String> {
    home.apply(|cluster| {
        cluster["spec"]["scheduling"] = scheduling.clone();
        cluster["spec"]["resources"] = resources.clone();
        cluster["spec"]["upgrade"] = json!({"canary": {"enabled": false}});
    })
    .await;
    home.settle_with_fresh_rights().await;
    let ready = eventually("the cluster is ready", Duration::from_mins(1), || async {
        home.settle().await;
        let status = home.cluster().await.status.unwrap_or_default();
        if status.ready { Ok(()) } else { Err(status.message.unwrap_or_default()) }
    });
    Box::pin(ready).await;
    let (faults, controller) = (Faults::none(), home.controller.clone());
    home.controller = faults.wrap(controller.clone());
    for _ in 0..3 {
        home.pass().await;
    }
    home.controller = controller;
    faults.writes()
}

#[tokio::test]
async fn empty_values_and_other_words_cost_no_write() {
    let apiserver = test_support::require_apiserver!();
    let mut home = World::new(apiserver, "passed-on").await;
    let nothing = json!({"tolerations": [], "affinity": {}, "nodeSelector": {}, "topologySpreadConstraints": [], "podLabels": {}});
    assert_eq!(
        writes_once_settled(&mut home, &nothing, &json!({"requests": {}})).await,
        Vec::<String>::new()
    );

    let pods = json!({"matchLabels": {"app": ""}, "matchExpressions": []});
    let scheduling = json!({
        "nodeSelector": {"value": ""},
        "podLabels": {"key": ""},
        "podAnnotations": {"example.com/empty": "", "example.com/number": "1.0"},
        "tolerations": [
            {"key": "", "operator": "Exists", "value": "", "effect": ""},
            {"key": "a", "operator": "", "value": ""},
            {"key": "b", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 0},
            {"operator": "Exists"},
            {"operator": "Exists"},
        ],
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {}, "matchLabelKeys": []},
        ],
        "affinity": {
            "nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []},
            "podAffinity": {},
            "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": {
                "topologyKey": "zone", "labelSelector": pods, "namespaceSelector": {}, "namespaces": [], "matchLabelKeys": [],
            }}]},
        },
    });
    let resources = json!({
        "requests": {"cpu": "+0.10", "memory": "65536Ki"},
        "limits": {"cpu": "1000m", "memory": "134217728", "ephemeral-storage": "1e9"},
    });
    assert_eq!(writes_once_settled(&mut home, &scheduling, &resources).await, Vec::<String>::new());
}

#[tokio::test]
async fn what_others_add_to_a_shared_list_costs_no_write() {
    let apiserver = test_support::require_apiserver!();
    let mut home = World::new(apiserver, "added").await;
    assert_eq!(writes_once_settled(&mut home, &json!({}), &json!({})).await, Vec::<String>::new());
    let port = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": ENGINE},
        "spec": {"ports": [{"name": "mesh", "port": 15021, "protocol": "TCP"}]}});
    home.api::<Service>().patch(ENGINE, &PatchParams::apply("mesh"), &Patch::Apply(&port)).await.unwrap();
    assert_eq!(writes_once_settled(&mut home, &json!({}), &json!({})).await, Vec::<String>::new());
    let service = home.api::<Service>().get(ENGINE).await.unwrap();
    assert_eq!(service.spec.unwrap().ports.unwrap().len(), 3);
}
