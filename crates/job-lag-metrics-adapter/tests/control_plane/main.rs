//! The points of the conformance list that only a real control plane can judge: kube-apiserver aggregates the adapter's
//! own process, kube-controller-manager's autoscaler scales by it, a fake engine speaks real gRPC to it.
//!
//! Needs `KUBEBUILDER_ASSETS`, see `test_support::apiserver`. Each test has a control plane of its own, because there
//! is one APIService per group; they run one after the other, because a test machine has few cores.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says by panicking that it failed, also in its helpers"
)]

mod objects;
mod world;

use std::time::{Duration, Instant};

use k8s_openapi::{
    ByteString,
    api::{
        apps::v1::Deployment,
        autoscaling::v2::HorizontalPodAutoscaler,
        core::v1::{ConfigMap, Namespace},
        rbac::v1::{ClusterRole, ClusterRoleBinding},
    },
    kube_aggregator::pkg::apis::apiregistration::v1::APIService,
};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::json;
use test_support::{
    certificates::TestCa,
    wait::{await_condition, await_gone, eventually},
};

use objects::{API_SERVICE, SERVICE, apply_rights, apply_tenant, apply_worker};
use world::{AdapterProcess, Fleet, World};

const AUTH_CONFIG: &str = "extension-apiserver-authentication";

fn is_available(api_service: &APIService) -> bool {
    let conditions = api_service.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|all| all.iter().any(|c| c.type_ == "Available" && c.status == "True"))
}

/// Whether the aggregator still reaches the adapter, asked anew.
async fn assert_available(world: &World) {
    let api: Api<APIService> = Api::all(world.client().await);
    let found = api.get(API_SERVICE).await.unwrap();
    assert!(is_available(&found), "{:?}", found.status);
}

#[tokio::test]
async fn conformance_03_api_service_is_available_within_ten_seconds() {
    let Some(world) = World::start().await else { return };
    let api: Api<APIService> = Api::all(world.client().await);
    let trusted = |api_service: &APIService| {
        let bundle = api_service.spec.as_ref().and_then(|spec| spec.ca_bundle.as_ref());
        is_available(api_service)
            && bundle.is_some_and(|pem| pem.0.starts_with(b"-----BEGIN CERTIFICATE-----"))
    };
    await_condition(&api, API_SERVICE, Duration::from_secs(10), "is available and has a caBundle", trusted)
        .await;
    // Available says little: the availability check does not verify the certificate. A read does.
    world.await_value("job_type=charge").await;
}

#[tokio::test]
async fn conformance_04_aggregated_discovery_lists_the_metrics() {
    let Some(world) = World::start().await else { return };
    let client = world.client().await;
    let listed = async || {
        let request = http::Request::get("/apis")
            .header("accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")
            .body(Vec::new())
            .unwrap();
        let document: serde_json::Value = client.request(request).await.ok()?;
        let group = document["items"]
            .as_array()?
            .iter()
            .find(|group| group["metadata"]["name"] == "external.metrics.k8s.io")?
            .clone();
        (group["versions"][0]["freshness"] == "Current").then(|| group["versions"][0]["resources"].clone())
    };
    let resources = eventually("aggregated discovery is current", Duration::from_secs(30), listed).await;
    let names: Vec<_> = resources.as_array().unwrap().iter().map(|resource| &resource["resource"]).collect();
    assert_eq!(names, ["wf_job_backlog", "wf_job_lag_seconds"]);
    let listed = world.kubectl(&[
        "api-resources",
        "--api-group=external.metrics.k8s.io",
        "--no-headers",
        "-o",
        "name",
    ]);
    assert_eq!(
        listed,
        "wf_job_backlog.external.metrics.k8s.io\nwf_job_lag_seconds.external.metrics.k8s.io\n"
    );
}

#[tokio::test]
async fn conformance_17_old_sample_freezes_the_autoscaler() {
    let Some(world) = World::start().await else { return };
    world.put_deployment_and_autoscaler(10).await;
    world.say_lag("charge", 10_000, 400);
    let deployments: Api<Deployment> = Api::namespaced(world.client().await, &world.namespace);
    let at_maximum = |deployment: &Deployment| replicas(deployment) == Some(10);
    await_condition(&deployments, "worker", Duration::from_mins(1), "is at its maximum", at_maximum).await;

    world.stop_the_engines_clock();
    let autoscalers: Api<HorizontalPodAutoscaler> = Api::namespaced(world.client().await, &world.namespace);
    let inactive = |autoscaler: &HorizontalPodAutoscaler| {
        let conditions = autoscaler.status.as_ref().and_then(|status| status.conditions.as_ref());
        conditions.is_some_and(|all| {
            all.iter().any(|c| {
                c.type_ == "ScalingActive"
                    && c.status == "False"
                    && c.reason.as_deref() == Some("FailedGetExternalMetric")
            })
        })
    };
    let limit = world::MAX_SAMPLE_AGE + Duration::from_secs(30);
    await_condition(&autoscalers, "worker", limit, "does not scale by old samples", inactive).await;
    assert_eq!(world.read("job_type=charge").await.map_err(|status| status.code), Err(503));
    // Some periods of the autoscaler later nothing has moved.
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(replicas(&deployments.get("worker").await.unwrap()), Some(10));

    world.run_the_engines_clock();
    world.await_value("job_type=charge").await;
}

#[tokio::test]
async fn conformance_18_engine_that_is_gone_hurts_nobody_else() {
    let Some(mut world) = World::start().await else { return };
    world.await_value("job_type=charge").await;
    world.kill_engine();
    let refused = world.await_refusal("job_type=charge").await;
    assert_eq!((refused.code, refused.reason.as_str()), (503, "ServiceUnavailable"), "{refused:?}");
    let began = Instant::now();
    assert!(world.read("job_type=charge").await.is_err());
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_available(&world).await;

    let namespaces: Api<Namespace> = Api::all(world.client().await);
    let namespace = serde_json::from_value(json!({"metadata": {"name": "doomed"}})).unwrap();
    namespaces.create(&PostParams::default(), &namespace).await.unwrap();
    namespaces.delete("doomed", &DeleteParams::default()).await.unwrap();
    await_gone(&namespaces, "doomed", Duration::from_secs(30)).await;

    world.start_engine().await;
    let back = Instant::now();
    world.await_value("job_type=charge").await;
    assert!(back.elapsed() < Duration::from_secs(5), "{:?}", back.elapsed());
}

#[tokio::test]
async fn listed_namespace_sees_a_tenant_only_if_it_works_for_it() {
    let Some(world) = World::start().await else { return };
    let client = world.client().await;
    let (workers, victim) =
        (world.apiserver.namespace("workers").await, world.apiserver.namespace("victim").await);
    apply_tenant(&client, &world.namespace, "initech", &[&workers, &victim]).await;
    apply_worker(&client, &workers, &world.namespace, "initech").await;
    world.say_lag_of("initech", "charge", 0, 0);
    let selector = "job_type=charge,tenant=initech";
    eventually("the worker's namespace sees it", Duration::from_secs(30), async || {
        world.read_in(&workers, selector).await
    })
    .await;
    assert_eq!(world.read_in(&victim, selector).await.map_err(|status| status.code), Err(404));
    assert_eq!(world.read_in(&victim, "job_type=charge").await.map_err(|status| status.code), Err(404));

    // An autoscaler beside the worker scales by it.
    let fleet = Fleet { namespace: &workers, tenant: Some("initech"), target_seconds: 10, minimum: 1 };
    world.put_fleet(fleet).await;
    world.say_lag_of("initech", "charge", 10_000, 400);
    let deployments: Api<Deployment> = Api::namespaced(client, &workers);
    let at_maximum = |deployment: &Deployment| replicas(deployment) == Some(10);
    await_condition(&deployments, "worker", Duration::from_mins(1), "is at its maximum", at_maximum).await;
}

#[tokio::test]
async fn conformance_34_new_front_proxy_authority_is_trusted_on_an_open_connection() {
    let Some(world) = World::start().await else { return };
    world.await_value("job_type=charge").await;
    let next = TestCa::new("front-proxy-2");
    let direct = world.connect_directly(&next.client("front-proxy-2-client", None)).await;
    let read = async || {
        let request = http::Request::get("/apis/external.metrics.k8s.io/v1beta1")
            .header("x-remote-user", "admin")
            .header("x-remote-group", "system:masters")
            .body(Vec::new())
            .unwrap();
        direct.request::<serde_json::Value>(request).await
    };
    let refused = read().await.expect_err("nobody trusts this authority yet");
    assert!(matches!(&refused, kube::Error::Api(status) if status.code == 401), "{refused}");

    // As kube-apiserver does when its front proxy is rotated: what is new comes beside what is old.
    let config_maps: Api<ConfigMap> = Api::namespaced(world.client().await, "kube-system");
    let found = config_maps.get(AUTH_CONFIG).await.unwrap();
    let trusted = found.data.unwrap().remove("requestheader-client-ca-file").unwrap();
    let patch = json!({"data": {
        "requestheader-client-ca-file": format!("{trusted}{}", next.pem()),
        "requestheader-allowed-names": r#"["front-proxy-client","front-proxy-2-client"]"#,
    }});
    config_maps.patch(AUTH_CONFIG, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    eventually("the new authority is trusted", Duration::from_secs(10), read).await;
    world.await_value("job_type=charge").await;
}

#[tokio::test]
async fn conformance_37_wrong_ca_bundle_fails_the_read_that_is_alerted_on() {
    let Some(world) = World::start().await else { return };
    world.await_value("job_type=charge").await;
    // Without its rights the adapter cannot mend what follows.
    let client = world.client().await;
    let bindings: Api<ClusterRoleBinding> = Api::all(client.clone());
    bindings.delete(SERVICE, &DeleteParams::default()).await.unwrap();
    let api: Api<APIService> = Api::all(client.clone());
    let bundle = ByteString(TestCa::new("somebody-else").pem().into_bytes());
    let patch = Patch::Merge(json!({"spec": {"caBundle": bundle}}));
    api.patch(API_SERVICE, &PatchParams::default(), &patch).await.unwrap();
    let refused = world.await_refusal("job_type=charge").await;
    assert_eq!(refused.code, 503, "{refused:?}");
    assert!(refused.message.contains("failed to verify certificate"), "{refused:?}");
    // The aggregator looks again when an APIService changes: it does not verify, and sees nothing wrong.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_available(&world).await;

    apply_rights(&client).await;
    eventually("the adapter mends it", Duration::from_mins(1), async || world.read("job_type=charge").await)
        .await;
}

#[tokio::test]
async fn conformance_38_missing_role_ends_the_process_with_a_hint() {
    let Some(world) = World::start().await else { return };
    world.unbind_auth_reader().await;
    let mut process = AdapterProcess::start(&world);
    let status = tokio::time::timeout(Duration::from_secs(30), process.wait()).await.expect("it should end");
    assert!(!status.success());
    let log = process.log();
    assert!(log.contains("kubectl create rolebinding"), "{log}");
}

#[tokio::test]
async fn conformance_40_sigterm_ends_the_process_in_order() {
    let Some(mut world) = World::start().await else { return };
    world.await_value("job_type=charge").await;
    let began = Instant::now();
    world.adapter.terminate();
    // While the endpoint is taken out of the Service, requests are still answered.
    assert_eq!(world.read("job_type=charge").await.map_err(|status| status.code), Ok("0".to_owned()));
    let status =
        tokio::time::timeout(Duration::from_secs(10), world.adapter.wait()).await.expect("it should end");
    assert!(status.success(), "{}", world.adapter.log());
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn conformance_41_autoscaler_follows_the_lag_out_and_in() {
    let Some(world) = World::start().await else { return };
    world.put_deployment_and_autoscaler(10).await;
    let deployments: Api<Deployment> = Api::namespaced(world.client().await, &world.namespace);
    let scaled_to = async |wanted: i32, what: &str| {
        await_condition(&deployments, "worker", Duration::from_mins(1), what, |d| {
            replicas(d) == Some(wanted)
        })
        .await;
    };
    // 31 s at 10 s per worker; the lag grows while we look, and stays below 40 s for long enough.
    world.say_lag("charge", 31, 4);
    scaled_to(4, "is scaled to ceil(lag / 10)").await;
    world.say_lag("charge", 0, 0);
    scaled_to(1, "is scaled in to the minimum").await;
    world.say_lag("charge", 10_000, 400);
    scaled_to(10, "is scaled out to the maximum").await;
}

#[tokio::test]
async fn conformance_45_api_of_another_product_is_left_to_it() {
    let Some(world) = World::start_beside_another_product().await else { return };
    let api: Api<APIService> = Api::all(world.client().await);
    let before = api.get(API_SERVICE).await.unwrap();
    let reported = eventually("the adapter says why it is not ready", Duration::from_secs(30), async || {
        let answer = world.adapter.readiness().await;
        answer.filter(|answer| answer.contains("keda/keda-metrics-apiserver")).ok_or("not yet")
    })
    .await;
    assert!(reported.starts_with("HTTP/1.1 503"), "{reported}");
    // Some of its looks later.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let after = api.get(API_SERVICE).await.unwrap();
    assert_eq!((after.metadata.uid, after.spec), (before.metadata.uid, before.spec));

    // The other product is uninstalled: the API is served from here without any help.
    api.delete(API_SERVICE, &DeleteParams::default()).await.unwrap();
    world.await_value("job_type=charge").await;
    let ready = world.adapter.readiness().await.unwrap();
    assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
}

#[tokio::test]
async fn conformance_45_uninstalling_leaves_no_api_service_behind() {
    let Some(mut world) = World::start().await else { return };
    world.await_value("job_type=charge").await;
    // As an uninstallation does it, in whatever order: the process ends, its role is deleted.
    world.adapter.terminate();
    world.adapter.wait().await;
    let roles: Api<ClusterRole> = Api::all(world.client().await);
    roles.delete(SERVICE, &DeleteParams::default()).await.unwrap();
    let api: Api<APIService> = Api::all(world.client().await);
    await_gone(&api, API_SERVICE, Duration::from_mins(1)).await;
}

#[tokio::test]
async fn conformance_42_fleet_of_none_is_scaled_out_by_the_lag() {
    let Some(world) = World::start_with_scale_to_zero().await else { return };
    let fleet = Fleet { namespace: &world.namespace, tenant: None, target_seconds: 10, minimum: 0 };
    world.put_fleet(fleet).await;
    let deployments: Api<Deployment> = Api::namespaced(world.client().await, &world.namespace);
    // Idle: a zero is read, and nothing is started for it.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(replicas(&deployments.get("worker").await.unwrap()), Some(0));
    world.say_lag("charge", 31, 4);
    let scaled = |deployment: &Deployment| replicas(deployment) == Some(4);
    await_condition(&deployments, "worker", Duration::from_mins(1), "is scaled to ceil(lag / 10)", scaled)
        .await;
    world.say_lag("charge", 0, 0);
    let none = |deployment: &Deployment| replicas(deployment) == Some(0);
    await_condition(&deployments, "worker", Duration::from_mins(1), "is scaled in to none", none).await;
}

fn replicas(deployment: &Deployment) -> Option<i32> {
    deployment.spec.as_ref()?.replicas
}
