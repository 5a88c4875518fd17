//! Two candidates for one Lease of a real apiserver.

use kube::config::{KubeConfigOptions, Kubeconfig};
use test_support::{FakeApiServer, Faults, TestApiServer, require_apiserver};

use super::*;
use crate::client::{CallGate, build_client};
use crate::metrics::Metrics;
use crate::watch::{LOCAL_CLUSTER, Progress};

/// Long enough for one renewal before the fence closes.
const SHORT: Duration = Duration::from_secs(5);

fn candidate(api: Api<Lease>, identity: &str) -> (LeaderLease, Fence) {
    let fence = Fence::closed();
    let lease = LeaderLease::new(api, "leader", identity.into(), SHORT, Clock::precise(), fence.clone());
    (lease, fence)
}

/// Creates a Lease that is released, as after an orderly end: to acquire a missing one takes its whole duration.
async fn create_released(api: &Api<Lease>) {
    let free = Draft { holder: Holder::Released, duration: SHORT, token: 0 };
    let wall = Clock::precise().now();
    api.create(&PostParams::default(), &build_lease("leader", None, free, wall)).await.unwrap();
}

async fn leases(apiserver: &TestApiServer) -> Api<Lease> {
    let api = Api::namespaced(apiserver.client().await, &apiserver.namespace("lease").await);
    create_released(&api).await;
    api
}

#[tokio::test]
async fn a_paused_holder_has_stopped_writing_before_another_takes_over() {
    let apiserver = require_apiserver!();
    let api = leases(apiserver).await;
    let (mut paused, paused_fence) = candidate(api.clone(), "paused");
    let (mut other, other_fence) = candidate(api.clone(), "other");
    assert!(paused.acquire(&CancellationToken::new()).await);
    assert!(paused_fence.is_open());

    // Nothing runs `paused` from here on, as if its process were suspended.
    let began = since_boot();
    let closed_after = async {
        while paused_fence.is_open() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        since_boot() - began
    };
    let taken_after = async {
        assert!(other.acquire(&CancellationToken::new()).await);
        assert!(!paused_fence.is_open(), "two writers");
        since_boot() - began
    };
    let (closed_after, taken_after) = tokio::join!(closed_after, taken_after);
    assert!(closed_after < SHORT && taken_after >= SHORT, "closed {closed_after:?}, taken {taken_after:?}");
    assert!(other_fence.is_open());

    // It runs again, and its first look shows the other holder.
    let lost = paused.hold(CancellationToken::new()).await.unwrap_err();
    assert_eq!(lost.to_string(), "lost lease leader: it is held by \"other\" now");
    assert!(!paused_fence.is_open());
    assert!(other_fence.is_open(), "one renewal interval has passed, not the window");
    let record = api.get("leader").await.unwrap().spec.unwrap();
    assert_eq!((record.holder_identity.as_deref(), record.lease_transitions), (Some("other"), Some(2)));
    assert!(other_fence.token() > paused_fence.token(), "{other_fence:?} {paused_fence:?}");
}

#[tokio::test]
async fn a_released_lease_is_free_at_once_and_one_of_two_candidates_gets_it() {
    let apiserver = require_apiserver!();
    let api = leases(apiserver).await;
    let (mut first, fence) = candidate(api.clone(), "first");
    let stop = CancellationToken::new();
    assert!(first.acquire(&stop).await);
    stop.cancel();
    first.hold(stop).await.unwrap();
    assert!(!fence.is_open());

    let (mut a, a_fence) = candidate(api.clone(), "a");
    let (mut b, b_fence) = candidate(api.clone(), "b");
    let stop = CancellationToken::new();
    let race = async {
        tokio::join!(a.acquire(&stop), b.acquire(&stop));
    };
    let wait = Duration::from_secs(3);
    assert!(tokio::time::timeout(wait, race).await.is_err(), "both hold it");
    assert_ne!(a_fence.is_open(), b_fence.is_open());
}

#[tokio::test]
async fn a_client_without_the_lease_cannot_write() {
    let apiserver = require_apiserver!();
    let namespace = apiserver.namespace("fenced").await;
    let kubeconfig = Kubeconfig::read_from(apiserver.kubeconfig()).unwrap();
    let config =
        kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    let fence = Fence::closed();
    let gate =
        CallGate { fence: fence.clone(), metrics: Metrics::new(), progress: Progress::of(LOCAL_CLUSTER) };
    let client = build_client(config, &gate).unwrap();
    let config_maps: Api<k8s_openapi::api::core::v1::ConfigMap> = Api::namespaced(client.clone(), &namespace);
    let mut object = k8s_openapi::api::core::v1::ConfigMap::default();
    object.metadata.name = Some("a".into());
    let refused = config_maps.create(&PostParams::default(), &object).await.unwrap_err();
    assert_eq!(crate::outcome::ErrorClass::of_kube(&refused), crate::outcome::ErrorClass::Transient);
    assert_eq!(config_maps.get_opt("a").await.unwrap(), None);

    let leases = Api::namespaced(client, &namespace);
    create_released(&leases).await;
    let mut lease = LeaderLease::new(leases, "leader", "me".into(), SHORT, Clock::precise(), fence);
    assert!(lease.acquire(&CancellationToken::new()).await);
    config_maps.create(&PostParams::default(), &object).await.unwrap();
}

#[tokio::test]
async fn a_holder_that_cannot_renew_gives_up_within_its_window() {
    let (apiserver, faults) = (FakeApiServer::new(), Faults::stop_before_write(2));
    create_released(&Api::namespaced(apiserver.client(), "ns")).await;
    let api = Api::namespaced(faults.wrap(apiserver.client()), "ns");
    let (mut lease, fence) = candidate(api, "cut off");
    assert!(lease.acquire(&CancellationToken::new()).await);
    let began = since_boot();
    let lost = lease.hold(CancellationToken::new()).await.unwrap_err();
    assert!(matches!(lost, LeaseError::NotRenewed { .. }), "{lost}");
    assert!(!fence.is_open());
    assert!(since_boot() < began + SHORT, "{:?}", since_boot() - began);
}

#[tokio::test]
async fn a_holder_whose_lease_is_deleted_ends_and_the_next_one_waits_for_the_whole_duration() {
    let apiserver = require_apiserver!();
    let api = leases(apiserver).await;
    let (mut holder, holder_fence) = candidate(api.clone(), "holder");
    let (mut paused, paused_fence) = candidate(api.clone(), "paused");
    assert!(paused.acquire(&CancellationToken::new()).await);
    let renewed = api.get("leader").await.unwrap();
    api.delete("leader", &kube::api::DeleteParams::default()).await.unwrap();

    // A renewal that was under way does not create it again.
    let late = api.replace("leader", &PostParams::default(), &renewed).await.unwrap_err();
    assert!(matches!(&late, kube::Error::Api(status) if matches!(status.code, 404 | 409)), "{late}");
    assert_eq!(api.get_opt("leader").await.unwrap(), None);

    let began = since_boot();
    assert!(paused_fence.is_open(), "it does not know yet");
    assert!(holder.acquire(&CancellationToken::new()).await);
    let waited = since_boot() - began;
    assert!(!paused_fence.is_open(), "two writers");
    assert!(waited >= SHORT && waited < SHORT + Duration::from_secs(2), "{waited:?}");
    assert!(holder_fence.token() > paused_fence.token());

    api.delete("leader", &kube::api::DeleteParams::default()).await.unwrap();
    let lost = holder.hold(CancellationToken::new()).await.unwrap_err();
    assert_eq!(lost.to_string(), "lost lease leader: somebody deleted it or took its holder out");
    assert!(!holder_fence.is_open());
    assert_eq!(api.get_opt("leader").await.unwrap(), None, "the process that ends does not create it again");
}

#[tokio::test]
async fn a_lease_with_a_write_under_way_is_left_to_expire() {
    let apiserver = require_apiserver!();
    let api = leases(apiserver).await;
    let (mut holder, fence) = candidate(api.clone(), "holder");
    let stop = CancellationToken::new();
    assert!(holder.acquire(&stop).await);
    drop(fence.begin_write(Duration::from_secs(3)));
    stop.cancel();
    holder.hold(stop).await.unwrap();
    assert!(!fence.is_open());
    let record = record_of(&api.get("leader").await.unwrap());
    assert_eq!(record.holder, Holder::Held("holder".to_owned()));
}
