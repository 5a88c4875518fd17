//! The Secret of a tenant's clients, from the first grant to the end of the last.

use std::time::Duration;

use api_types::condition::CLIENT_ACCESS;
use api_types::engine_access::{Access, access_secret_name};
use api_types::labels::{FORCE_DELETE, TENANT};
use api_types::{WorkflowCluster, WorkflowTenant};
use controller_kit::condition::find;
use controller_kit::outcome::Next;
use controller_testing::World as _;
use engine_client::{Accepted, CredentialVerifier, Role, TenantEpoch, TenantKey};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::ResourceExt as _;
use serde_json::{Value, json};
use test_support::request::RecordedRequest;
use test_support::{builders, reply};

use crate::status::USAGE_INTERVAL;
use crate::testing::{HOME, World, applied, namespace};

mod grants;

const TEAM: &str = "acme-tenant";
const OTHER: &str = "acme-reports";
const SETTLED: Next = Next::Settled { resync: USAGE_INTERVAL };
const CONTROLLER: &str = "system:serviceaccount:workflow-system:workflow-tenant-controller";

/// Tenant acme, which lists [`TEAM`] and is granted [`OTHER`] by label.
fn world() -> World {
    let mut tenant = applied("acme");
    tenant.spec.namespaces = vec![TEAM.into()];
    let world = World::with(&[tenant]);
    world.apiserver.seed(&namespace(TEAM, None));
    world.apiserver.seed(&namespace(OTHER, Some("acme")));
    world
}

async fn served() -> World {
    let world = world();
    assert_eq!(world.settle("acme").await, SETTLED);
    world
}

fn secret(world: &World, namespace: &str) -> Option<Secret> {
    world.apiserver.get(namespace, "acme-client")
}

/// Where the Secret is.
fn places(world: &World) -> Vec<&'static str> {
    [OTHER, TEAM, HOME].into_iter().filter(|namespace| secret(world, namespace).is_some()).collect()
}

fn access(world: &World) -> (String, String, String) {
    let conditions = world.status("acme").conditions;
    find(&conditions, CLIENT_ACCESS).map_or_else(Default::default, |reported| {
        (reported.status.clone(), reported.reason.clone(), reported.message.clone())
    })
}

fn reported(status: &str, reason: &str, message: &str) -> (String, String, String) {
    (status.into(), reason.into(), message.into())
}

fn text(secret: &Secret, key: &str) -> String {
    let value = secret.data.as_ref().and_then(|data| data.get(key)).cloned().unwrap_or_default();
    String::from_utf8(value.0).unwrap()
}

/// Kubernetes' own words where the RoleBinding lacks.
fn forbid(world: &World, closed: &'static [&'static str]) {
    world.apiserver.intercept(move |request: &RecordedRequest| {
        let namespace = closed.iter().find(|namespace| {
            request.path.starts_with(&format!("/api/v1/namespaces/{namespace}/secrets"))
        })?;
        if *namespace == HOME && !request.method.as_str().eq("POST") {
            return None; // it reads the keys there
        }
        let message = format!(
            "secrets \"acme-client\" is forbidden: User \"{CONTROLLER}\" cannot get resource \"secrets\" in API group \"\" \
             in the namespace \"{namespace}\""
        );
        Some(reply::failure(403, "Forbidden", &message).into())
    });
}

fn missing(namespace: &str) -> String {
    format!(
        "no permission in namespace {namespace}: create a RoleBinding there of ClusterRole \
         workflow-tenant-controller-workload-namespace to ServiceAccount workflow-system/workflow-tenant-controller"
    )
}

#[tokio::test]
async fn every_granted_namespace_gets_the_secret_with_address_authority_and_token() {
    let world = served().await;
    assert_eq!(places(&world), [OTHER, TEAM, HOME]);
    let found = secret(&world, TEAM).unwrap();
    let key = TenantKey::parse(builders::CLIENT_KEY).unwrap();
    let shown: Value = serde_json::to_value(&found).unwrap();
    assert_eq!(
        json!([
            shown["type"],
            shown["metadata"]["labels"],
            shown["metadata"]["ownerReferences"],
            shown["immutable"]
        ]),
        json!([
            "Opaque",
            {
                "app.kubernetes.io/name": "workflow-client",
                "app.kubernetes.io/instance": "acme",
                "app.kubernetes.io/component": "client",
                "app.kubernetes.io/part-of": "workflow",
                "app.kubernetes.io/managed-by": "workflow-operator",
                "workflow.example.com/tenant": "acme",
                "workflow.example.com/cluster": "prod-east",
            },
            null,
            null
        ])
    );
    assert_eq!(found.annotations()["workflow.example.com/owned-by"], "workflow-system/acme/uid-of-acme");
    let token = text(&found, "token");
    let entries: Vec<_> = ["host", "port", "uri", "tenant", "ca.crt"].map(|key| text(&found, key)).into();
    assert_eq!(
        entries,
        [
            "prod-east-engine.workflow-system.svc",
            "26500",
            "https://prod-east-engine.workflow-system.svc:26500",
            "acme",
            "not a certificate"
        ]
    );
    assert_eq!(found.data.unwrap().len(), 6);

    // As the engine judges it.
    let accepted = Accepted { client: vec![key.clone()], ..Accepted::default() };
    let verifier = CredentialVerifier::new(accepted).unwrap();
    let life = TenantEpoch { tenant_id: "acme".into(), epoch: "uid-of-acme".into() };
    assert_eq!(verifier.verify(&format!("Bearer {token}")), Some(Role::Client(life)));

    let owners = secret(&world, HOME).unwrap().metadata.owner_references.unwrap();
    assert_eq!(
        serde_json::to_value(owners).unwrap(),
        json!([{
            "apiVersion": "workflow.example.com/v1alpha1", "kind": "WorkflowTenant", "name": "acme",
            "uid": "uid-of-acme", "controller": true, "blockOwnerDeletion": true,
        }])
    );
    let status = world.status("acme");
    assert_eq!(status.client_namespaces, [OTHER, TEAM, HOME]);
    assert_eq!(status.client_key_id.as_deref(), Some(key.id()));
    let message = "Secret acme-client is up to date in: acme-reports, acme-tenant, workflow-system";
    assert_eq!(access(&world), reported("True", "ClientSecretsCurrent", message));
    // Nothing that is reported anywhere holds the token.
    let reported = format!("{status:?}{:?}", world.events("acme"));
    assert!(!reported.contains(&token), "{reported}");
}

#[tokio::test(start_paused = true)]
async fn a_settled_tenant_is_not_looked_at_for_minutes_and_costs_no_write() {
    let world = served().await;
    let mut reconciler = world.started();
    world.pass_of(&mut reconciler, "acme").await;
    let writes = world.writes();
    world.apiserver.forget_requests();
    world.pass_of(&mut reconciler, "acme").await;
    assert_eq!(world.apiserver.requests(), []);

    // Somebody deletes it: no watch tells.
    world.apiserver.remove::<Secret>(TEAM, "acme-client");
    tokio::time::advance(Duration::from_mins(6)).await;
    world.pass_of(&mut reconciler, "acme").await;
    assert_eq!(places(&world), [OTHER, TEAM, HOME]);
    assert_eq!(world.writes().1, writes.1);
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_has_not_opted_in_is_reported_and_tried_again_slowly() {
    let world = world();
    forbid(&world, &[TEAM]);
    assert_eq!(world.settle("acme").await, SETTLED);
    assert_eq!(places(&world), [OTHER, HOME]);
    assert_eq!(access(&world), reported("False", "ClientSecretNotPermitted", &missing(TEAM)));
    let status = world.status("acme");
    assert!(status.ready);
    assert_eq!(status.client_namespaces, [OTHER, HOME]);
    assert!(status.client_key_id.is_some(), "every Secret that is there has the newest token");
    let warned: Vec<_> =
        world.events("acme").into_iter().filter(|(reason, _)| reason == "ClientSecretNotPermitted").collect();
    let note = format!("ClientSecretNotPermitted: {}", missing(TEAM));
    assert_eq!(warned, [("ClientSecretNotPermitted".to_owned(), note)]);

    let mut reconciler = world.started();
    world.pass_of(&mut reconciler, "acme").await;
    world.apiserver.forget_requests();
    for _ in 0..10 {
        world.pass_of(&mut reconciler, "acme").await;
    }
    assert_eq!(world.apiserver.requests(), [], "within a minute nothing is asked again");
    world.apiserver.intercept(|request| {
        // The RoleBinding is there.
        let is_team = request.path.starts_with("/api/v1/namespaces/acme-tenant/secrets");
        (is_team && request.method == "GET").then(|| reply::not_found("secrets", "acme-client").into())
    });
    tokio::time::advance(Duration::from_secs(61)).await;
    world.pass_of(&mut reconciler, "acme").await;
    let asked: Vec<_> = world.apiserver.requests().iter().map(ToString::to_string).collect();
    assert!(
        asked.contains(&"GET /api/v1/namespaces/acme-tenant/secrets/acme-client".to_owned()),
        "{asked:?}"
    );
}

#[tokio::test]
async fn what_may_not_be_made_costs_no_write_at_all() {
    // Secrets may be read here, as in the namespace of a cluster, and not made.
    let world = World::with(&[applied("acme")]);
    forbid(&world, &[HOME]);
    world.settle("acme").await;
    assert_eq!(access(&world), reported("False", "ClientSecretNotPermitted", &missing(HOME)));
    assert_eq!(world.status("acme").client_namespaces, Vec::<String>::new());
    let writes = world.writes();
    world.settle("acme").await;
    assert_eq!(world.writes(), writes);
}

#[tokio::test]
async fn the_cluster_s_own_namespace_need_not_opt_in_while_applications_are_elsewhere() {
    let world = world();
    forbid(&world, &[HOME]);
    world.settle("acme").await;
    assert_eq!(places(&world), [OTHER, TEAM]);
    let message = "Secret acme-client is up to date in: acme-reports, acme-tenant";
    assert_eq!(access(&world), reported("True", "ClientSecretsCurrent", message));
}

#[tokio::test]
async fn a_secret_of_somebody_else_is_reported_and_left_alone() {
    let world = world();
    let mut theirs = Secret::default();
    theirs.metadata.name = Some("acme-client".into());
    theirs.metadata.namespace = Some(TEAM.into());
    // Not even of a former life of this tenant.
    theirs.metadata.annotations =
        Some([("workflow.example.com/owned-by".into(), "workflow-system/acme/former-uid".into())].into());
    world.apiserver.seed(&theirs);
    let before = secret(&world, TEAM);
    assert_eq!(world.settle("acme").await, SETTLED);
    let message = "Secret acme-tenant/acme-client exists and belongs to something else; delete or rename it";
    assert_eq!(access(&world), reported("False", "ClientSecretNameTaken", message));
    world.edit("acme", |tenant| tenant["spec"]["namespaces"] = json!([]));
    world.settle("acme").await;
    world.delete("acme").await;
    world.settle("acme").await;
    assert_eq!(secret(&world, TEAM), before);
    assert_eq!(places(&world), [TEAM]);
}

#[tokio::test]
async fn a_namespace_that_does_not_exist_is_reported_and_awaited() {
    let world = world();
    world.apiserver.remove::<Namespace>("", TEAM);
    world.settle("acme").await;
    let message = "namespace acme-tenant does not exist";
    assert_eq!(access(&world), reported("False", "ClientNamespaceMissing", message));
    world.apiserver.seed(&namespace(TEAM, None));
    world.settle("acme").await;
    assert_eq!(access(&world).0, "True");
}

#[tokio::test]
async fn a_grant_that_ends_takes_the_secret_along() {
    let world = served().await;
    world.edit("acme", |tenant| tenant["spec"]["namespaces"] = json!([]));
    world.settle("acme").await;
    assert_eq!(places(&world), [OTHER, HOME]);
    world.apiserver.edit::<Namespace>("", OTHER, |it| it["metadata"]["labels"] = json!({TENANT: "beta"}));
    world.settle("acme").await;
    assert_eq!(places(&world), [HOME]);
    assert_eq!(world.status("acme").client_namespaces, [HOME]);
}

#[tokio::test]
async fn a_pause_makes_and_changes_nothing_and_keeps_no_grant_alive() {
    let world = served().await;
    world.edit("acme", |tenant| tenant["spec"]["paused"] = json!(true));
    world.settle("acme").await;
    let writes = world.writes();
    world.apiserver.remove::<Secret>(OTHER, "acme-client");
    rotate(&world, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
    world.settle("acme").await;
    assert_eq!(places(&world), [TEAM, HOME]);
    assert_eq!(world.writes().0 - writes.0, 1, "the status forgets where none is");
    world.edit("acme", |tenant| tenant["spec"]["namespaces"] = json!([]));
    world.settle("acme").await;
    assert_eq!(places(&world), [HOME]);
}

#[tokio::test]
async fn a_suspended_tenant_keeps_its_secrets() {
    let world = served().await;
    world.edit("acme", |tenant| tenant["spec"]["suspended"] = json!(true));
    assert_eq!(world.settle("acme").await, SETTLED);
    assert_eq!(places(&world), [OTHER, TEAM, HOME]);
}

/// What the cluster-controller does when a key shall be replaced.
fn rotate(world: &World, key: &str) {
    let name = access_secret_name("prod-east", Access::ClientKey);
    world.apiserver.edit::<Secret>(HOME, &name, |secret| secret["data"]["current"] = base64_of(key));
}

fn base64_of(text: &str) -> Value {
    serde_json::to_value(k8s_openapi::ByteString(text.as_bytes().to_vec())).unwrap()
}

#[tokio::test]
async fn another_key_authority_or_address_reaches_every_secret_and_the_status_names_the_key() {
    let world = served().await;
    let former = text(&secret(&world, TEAM).unwrap(), "token");
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
    rotate(&world, key);
    world.settle("acme").await;
    assert_eq!(world.status("acme").client_key_id, Some(TenantKey::parse(key).unwrap().id().to_owned()));
    let tokens: Vec<_> = [OTHER, TEAM, HOME].map(|at| text(&secret(&world, at).unwrap(), "token")).into();
    assert!(tokens.iter().all(|token| *token == tokens[0] && *token != former));

    world.apiserver.edit::<k8s_openapi::api::core::v1::ConfigMap>(HOME, "prod-east-engine-ca", |map| {
        map["data"]["ca.crt"] = json!("another");
    });
    world.apiserver.edit::<WorkflowCluster>(HOME, "prod-east", |cluster| {
        cluster["status"]["endpoint"]["port"] = json!(26501);
        cluster["status"]["endpoint"]["url"] = json!("https://prod-east-engine.workflow-system.svc:26501");
    });
    let _ = world.engines.at("prod-east-engine.workflow-system.svc", 26501);
    world.settle("acme").await;
    let found = secret(&world, OTHER).unwrap();
    assert_eq!([text(&found, "ca.crt"), text(&found, "port")], ["another", "26501"]);
}

#[tokio::test]
async fn while_one_secret_cannot_be_renewed_no_key_is_named() {
    let world = served().await;
    rotate(&world, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
    forbid(&world, &[TEAM]);
    world.settle("acme").await;
    let status = world.status("acme");
    assert_eq!(
        (status.client_key_id, status.client_namespaces),
        (None, vec![OTHER.into(), TEAM.into(), HOME.into()])
    );
    assert_eq!(access(&world), reported("False", "ClientSecretNotPermitted", &missing(TEAM)));
}

#[tokio::test]
async fn a_cluster_without_a_key_is_reported_and_no_secret_is_touched() {
    let world = served().await;
    let before = secret(&world, TEAM);
    world.apiserver.remove::<Secret>(HOME, &access_secret_name("prod-east", Access::ClientKey));
    assert_eq!(world.settle("acme").await, SETTLED);
    let message = "Secret prod-east-engine-client-key of WorkflowCluster workflow-system/prod-east: key current is \
                   missing; the cluster-controller writes it anew when it is deleted";
    assert_eq!(access(&world), reported("False", "EngineCredentialsMissing", message));
    assert_eq!(secret(&world, TEAM), before);
}

#[tokio::test]
async fn a_deleted_tenant_takes_its_secrets_along_once_the_engine_has_none_of_it() {
    let world = served().await;
    world.engine().set_usage(crate::testing::usage(3, 0, &[]));
    world.delete("acme").await;
    world.pass("acme").await;
    assert_eq!(places(&world), [OTHER, TEAM, HOME], "applications may still cancel what runs");
    world.engine().set_usage(crate::testing::usage(0, 0, &[]));
    assert_eq!(world.settle("acme").await, Next::Gone);
    assert_eq!(places(&world), Vec::<&str>::new());
    assert!(world.apiserver.get::<WorkflowTenant>(HOME, "acme").is_none());
}

#[tokio::test]
async fn a_namespace_that_opted_out_does_not_hold_a_deletion_and_is_reported() {
    let world = served().await;
    forbid(&world, &[TEAM]);
    world.delete("acme").await;
    assert_eq!(world.settle("acme").await, Next::Gone);
    assert_eq!(places(&world), [TEAM]);
    let note = "ClientSecretsLeft: no permission any more to delete Secret acme-client in: acme-tenant; the engine \
                refuses its token";
    assert_eq!(world.events("acme").pop(), Some(("ClientSecretsLeft".into(), note.into())));
}

/// A Role of somebody's own that lacks a verb.
#[tokio::test]
async fn a_right_to_read_but_not_to_delete_does_not_hold_a_deletion_either() {
    let world = served().await;
    world.apiserver.intercept(|request| {
        let is_team = request.path.starts_with("/api/v1/namespaces/acme-tenant/secrets/");
        (is_team && request.method == "DELETE").then(|| {
            reply::forbidden("secrets", "acme-client", "User \"u\" cannot delete resource \"secrets\"").into()
        })
    });
    world.delete("acme").await;
    assert_eq!(world.settle("acme").await, Next::Gone);
    assert_eq!(places(&world), [TEAM]);
    assert_eq!(world.events("acme").pop().unwrap().0, "ClientSecretsLeft");
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_now_holds_the_object_also_of_a_forced_deletion() {
    let world = served().await;
    world.edit("acme", |tenant| tenant["metadata"]["annotations"] = json!({FORCE_DELETE: "true"}));
    world.apiserver.intercept(|request| {
        let is_team = request.path.starts_with("/api/v1/namespaces/acme-tenant/secrets");
        is_team.then(|| reply::failure(503, "ServiceUnavailable", "etcd is away").into())
    });
    world.delete("acme").await;
    assert_eq!(world.pass("acme").await, Next::Wait { recheck: Duration::from_secs(30) });
    let message = "in namespace acme-tenant: failed to read Secret acme-tenant/acme-client: etcd is away";
    assert_eq!(world.reported("acme"), ("Deleting".into(), message.into()));
}
