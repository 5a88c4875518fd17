//! A load balancer, whose address a cloud writes into the status of the Service: here the test does.

use api_types::engine_access::TLS_CERT_KEY;
use cluster_controller::certificate::names_of;
use k8s_openapi::api::core::v1::{Secret, Service};
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::world::{CLUSTER, ENGINE, World};

const NAMED: &str = "engine.example.com";
const GIVEN: &str = "lb-17.example.net";

async fn endpoint(home: &World) -> Value {
    json!(home.cluster().await.status.unwrap().endpoint)
}

async fn reason(home: &World) -> String {
    let conditions = home.cluster().await.status.unwrap().conditions;
    conditions.into_iter().find(|condition| condition.type_ == "Ready").unwrap().reason
}

/// The certificate's names that lead to the engine from outside.
async fn outer_names(home: &World) -> Vec<String> {
    let secret = home.api::<Secret>().get("prod-east-engine-tls").await.unwrap().data.unwrap();
    let names = names_of(&secret[TLS_CERT_KEY].0).unwrap();
    names.into_iter().filter(|name| name.contains("example")).collect()
}

#[tokio::test]
async fn the_address_of_a_load_balancer_is_awaited_shown_and_certified() {
    let apiserver = test_support::require_apiserver!();
    let home = World::new(apiserver, "balanced").await;
    let hostname = "external-dns.alpha.kubernetes.io/hostname";
    let network = json!({"serviceType": "LoadBalancer", "externalHost": NAMED, "serviceAnnotations": {hostname: NAMED}});
    let request = |word: &str| json!({"name": CLUSTER, "namespace": home.name, "annotations": {"workflow.example.com/request": word}});
    home.apply(|manifest| {
        manifest["metadata"] = request("create");
        manifest["spec"]["network"] = network.clone();
    })
    .await;
    home.settle_with_fresh_rights().await;
    let service = home.api::<Service>().get(ENGINE).await.unwrap();
    assert_eq!(service.annotations().get(hostname).map(String::as_str), Some(NAMED));
    assert_eq!(service.spec.unwrap().type_.as_deref(), Some("LoadBalancer"));
    let status = home.cluster().await.status.unwrap();
    assert_eq!((status.ready, status.stalled), (false, false));
    assert_eq!(status.observed_request.as_deref(), Some("create"));
    assert_eq!(
        (reason(&home).await, endpoint(&home).await["externalHost"].clone()),
        ("LoadBalancerPending".to_owned(), Value::Null)
    );
    assert_eq!(outer_names(&home).await, [NAMED]);

    let given = json!({"status": {"loadBalancer": {"ingress": [{"hostname": GIVEN}]}}});
    home.api::<Service>().patch_status(ENGINE, &PatchParams::default(), &Patch::Merge(given)).await.unwrap();
    home.settle().await;
    assert!(home.cluster().await.status.unwrap().ready);
    assert_eq!(endpoint(&home).await["externalHost"], NAMED);
    assert_eq!(endpoint(&home).await["externalUrl"], "https://engine.example.com:26500");
    assert_eq!(outer_names(&home).await, [NAMED, GIVEN]);

    // Settled again: nothing is written any more.
    home.settle().await;
    let before = home.written_versions().await;
    home.settle().await;
    assert_eq!(home.written_versions().await, before);

    home.apply(|manifest| manifest["metadata"] = request("close")).await;
    home.settle().await;
    let service = home.api::<Service>().get(ENGINE).await.unwrap();
    assert_eq!(service.annotations().get(hostname), None);
    assert_eq!(service.spec.unwrap().type_.as_deref(), Some("ClusterIP"));
    let status = home.cluster().await.status.unwrap();
    assert_eq!((status.ready, status.observed_request.as_deref()), (true, Some("close")));
    // The seed has an Ingress.
    assert_eq!(endpoint(&home).await["externalHost"], "wf.example.com");
    assert_eq!(outer_names(&home).await, ["wf.example.com"]);
}
