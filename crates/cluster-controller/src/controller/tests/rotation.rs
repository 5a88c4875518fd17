//! Tokens and keys that are replaced, and Secrets that were left behind or planted.

use api_types::WorkflowWorker;
use api_types::cluster::{AccessKeyIds, ClusterPhase, ClusterReason as Reason};
use api_types::engine_access::{Access, CURRENT_KEY, NEXT_KEY, PREVIOUS_KEY, access_secret_name};
use api_types::labels::{ADOPT, PROOF, ROTATE_CREDENTIALS};
use controller_kit::condition::find;
use controller_kit::outcome::Next;
use controller_testing::World as _;
use engine_client::TenantKey;
use jiff::ToSpan as _;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Secret;
use serde_json::json;

use crate::testing::world::{World, as_reported};
use crate::testing::{MINIMAL, days, reachable};

/// Ids of the current keys in the Secrets.
pub(super) fn key_ids(world: &World, namespace: &str, cluster: &str) -> AccessKeyIds {
    let id = |access| key_id(world, namespace, &access_secret_name(cluster, access), CURRENT_KEY);
    AccessKeyIds { worker: id(Access::WorkerKey), client: id(Access::ClientKey) }
}

fn key_id(world: &World, namespace: &str, secret: &str, key: &str) -> Option<String> {
    let mut data = world.apiserver.get::<Secret>(namespace, secret).unwrap().data.unwrap();
    let text = String::from_utf8(data.remove(key)?.0).unwrap();
    Some(TenantKey::parse(&text).unwrap().id().to_owned())
}

pub(super) fn ask(world: &World, value: &str) {
    world.edit("dev", |cluster| cluster["metadata"]["annotations"][ROTATE_CREDENTIALS] = json!(value));
}

/// The keys of each of the four Secrets.
fn stages(world: &World) -> [Vec<String>; 4] {
    Access::ALL.map(|access| {
        let secret = world.apiserver.get::<Secret>("acme", &access_secret_name("dev", access)).unwrap();
        secret.data.unwrap().into_keys().collect()
    })
}

fn all(keys: &[&str]) -> [Vec<String>; 4] {
    std::array::from_fn(|_| keys.iter().map(|key| (*key).to_owned()).collect())
}

fn rotating(world: &World) -> Option<(String, String)> {
    let status = world.status("dev");
    find(&status.conditions, "RotatingCredentials").map(|found| (found.reason.clone(), found.message.clone()))
}

/// A worker whose pods have a token of this key.
fn report_worker(world: &World, key_id: Option<&String>) {
    let worker = json!({
        "apiVersion": "workflow.example.com/v1alpha1", "kind": "WorkflowWorker",
        "metadata": {"name": "payment", "namespace": "acme", "uid": "uid-payment"},
        "spec": {"clusterRef": {"name": "dev"}, "image": "registry.example.com/w:1", "jobTypes": ["pay"], "replicas": 1},
        "status": {"ready": true, "accessKeyId": key_id},
    });
    world.apiserver.remove::<WorkflowWorker>("acme", "payment");
    world.apiserver.seed(&serde_json::from_value::<WorkflowWorker>(worker).unwrap());
}

#[tokio::test]
async fn a_rotation_overlaps_and_waits_for_the_last_worker() {
    let world = World::running(MINIMAL).await;
    let former = key_ids(&world, "acme", "dev");
    report_worker(&world, former.worker.as_ref());
    ask(&world, "2026-06");
    world.settle("dev").await;
    assert_eq!(stages(&world), all(&[CURRENT_KEY, NEXT_KEY]));
    assert_eq!(key_ids(&world, "acme", "dev"), former);
    let message = "the engine accepts new tokens and keys; callers use them from 2026-06-01T12:10:00Z on";
    assert_eq!(rotating(&world), Some(("CredentialsAnnounced".to_owned(), message.to_owned())));

    world.pass_time(10.minutes().try_into().unwrap());
    world.settle("dev").await;
    assert_eq!(stages(&world), all(&[CURRENT_KEY, PREVIOUS_KEY]));
    let new = key_ids(&world, "acme", "dev");
    assert_eq!(world.status("dev").access_key_ids, Some(new.clone()));
    assert_eq!(key_id(&world, "acme", "dev-engine-worker-key", PREVIOUS_KEY), former.worker);
    assert_ne!((&new.worker, &new.client), (&former.worker, &former.client));
    let message = "callers use the new tokens and keys; the former are accepted until 2026-06-02T12:10:00Z at least, \
                   and by then must have left: WorkflowWorker acme/payment";
    assert_eq!(rotating(&world), Some(("CredentialsRotated".to_owned(), message.to_owned())));

    world.pass_time(days(1));
    world.settle("dev").await;
    let message =
        "the former tokens and keys are still accepted, because these have them: WorkflowWorker acme/payment";
    assert_eq!(rotating(&world), Some(("CredentialsHeld".to_owned(), message.to_owned())));
    let mut held = all(&[CURRENT_KEY]);
    held[2].push(PREVIOUS_KEY.to_owned());
    held[3] = held[2].clone();
    // Nobody has a token of the client key, and that was seen in the pass that changed it.
    held[3].pop();
    assert_eq!(stages(&world), held);

    report_worker(&world, new.worker.as_ref());
    world.settle("dev").await;
    world.pass_time(10.minutes().try_into().unwrap());
    world.settle("dev").await;
    assert_eq!(stages(&world), all(&[CURRENT_KEY]));
    assert_eq!((key_ids(&world, "acme", "dev"), rotating(&world)), (new, None));
    let reported: Vec<_> = world
        .event_lines("dev")
        .iter()
        .map(|event| event.split(' ').take(2).collect::<Vec<_>>().join(" "))
        .collect();
    let expected = [
        "Normal CredentialsAnnounced",
        "Normal CredentialsRotated",
        "Warning CredentialsHeld",
        "Normal CredentialsRotated",
        "Normal CredentialsRetired",
    ];
    assert_eq!(reported, expected);
    world.apiserver.forget_requests();
    world.settle("dev").await;
    assert_eq!(world.apiserver.mutations(), [], "a word is handled once");
}

#[tokio::test]
async fn a_deleted_secret_is_replaced_at_once_and_its_id_is_reported() {
    let world = World::running(MINIMAL).await;
    let former = key_ids(&world, "acme", "dev");
    world.apiserver.remove::<Secret>("acme", "dev-engine-worker-key");
    let next = world.pass("dev").await;
    assert_eq!(next, Next::Wait { recheck: std::time::Duration::from_secs(1) });
    world.settle("dev").await;
    let new = key_ids(&world, "acme", "dev");
    assert_ne!(new.worker, former.worker);
    assert_eq!((new.client.clone(), stages(&world)), (former.client, all(&[CURRENT_KEY])));
    assert_eq!(world.status("dev").access_key_ids, Some(new));
}

/// As `deletionPolicy: Retain` leaves a Secret, but with a key that somebody knows.
fn plant(world: &World) {
    let planted = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {
            "name": "dev-engine-controller-token", "namespace": "acme", "uid": "uid-planted",
            "labels": {"app.kubernetes.io/managed-by": "workflow-operator", "workflow.example.com/cluster": "dev"},
            "annotations": {PROOF: "v1.AAAA"},
        },
        "data": {"current": "a25vd24="},
    });
    world.apiserver.seed(&serde_json::from_value::<Secret>(planted).unwrap());
}

#[tokio::test]
async fn no_engine_is_started_with_a_planted_token_before_a_person_vouches_for_it() {
    let world = World::new(MINIMAL);
    plant(&world);
    let planted = world.apiserver.get::<Secret>("acme", "dev-engine-controller-token");
    world.settle("dev").await;
    let message = "Secret acme/dev-engine-controller-token has no proof that this installation wrote it: delete it, \
                   or take it over with annotation workflow.example.com/adopt: uid-planted";
    assert_eq!(world.reported(), as_reported(ClusterPhase::Failed, Reason::SecretUnproven, message));
    assert_eq!(world.apiserver.get::<Secret>("acme", "dev-engine-controller-token"), planted);
    assert!(world.apiserver.get::<StatefulSet>("acme", "dev-engine").is_none());
    assert_eq!(world.status("dev").endpoint, None);

    world.edit("dev", |cluster| cluster["metadata"]["annotations"][ADOPT] = json!("uid-planted"));
    world.settle("dev").await;
    assert!(world.status("dev").ready, "{:?}", world.reported());
    world.edit("dev", |cluster| cluster["metadata"]["annotations"] = json!({}));
    world.settle("dev").await;
    assert!(world.status("dev").ready, "it has a proof now");
}

/// The database is migrated already, so that nothing else holds the engine up.
#[tokio::test]
async fn no_engine_is_started_before_there_is_a_proof() {
    let world = World::new(MINIMAL);
    world.set_postgres(reachable(Some("1.2.3")));
    plant(&world);
    world.pass("dev").await;
    assert!(world.apiserver.get::<StatefulSet>("acme", "dev-engine").is_none());
    assert_eq!(world.status("dev").endpoint, None);
}

#[tokio::test]
async fn a_cluster_that_retains_runs_on_without_its_proof_until_a_person_vouches_for_its_secrets() {
    let world = World::running(&MINIMAL.replace("spec:", "spec:\n  deletionPolicy: Retain")).await;
    let keys = key_ids(&world, "acme", "dev");
    world.apiserver.remove::<Secret>("workflow-system", "proof");
    world.settle("dev").await;
    let (phase, reason, _) = world.reported();
    assert_eq!((phase, reason.as_str()), (Some(ClusterPhase::Degraded), "SecretUnproven"));
    assert!(world.apiserver.get::<StatefulSet>("acme", "dev-engine").is_some());
    let secrets = world.apiserver.list::<Secret>("acme");
    let uids: Vec<_> = secrets.iter().filter_map(|secret| secret.metadata.uid.clone()).collect();
    world.edit("dev", |cluster| cluster["metadata"]["annotations"][ADOPT] = json!(uids.join(" ")));
    world.settle("dev").await;
    assert!(world.status("dev").ready, "{:?}", world.reported());
    assert_eq!(key_ids(&world, "acme", "dev"), keys);
}

#[tokio::test]
async fn a_proof_that_was_lost_is_made_anew_for_a_living_cluster() {
    let world = World::running(MINIMAL).await;
    let (before, keys) = (world.end_state(), key_ids(&world, "acme", "dev"));
    world.apiserver.remove::<Secret>("workflow-system", "proof");
    world.settle("dev").await;
    assert_eq!((world.end_state(), key_ids(&world, "acme", "dev")), (before, keys));
    assert!(world.status("dev").ready);
}
