//! A tenant from its creation to its end, run until nothing is written any more.

use api_types::condition::{READY, WITHIN_QUOTA};
use api_types::labels::{FORCE_DELETE, TENANT};
use api_types::{WorkflowCluster, WorkflowTenant};
use controller_kit::condition::find;
use controller_kit::outcome::{ErrorClass, Next};
use controller_testing::World as _;
use engine_client::model::{Capability, Owner, QuotaKind, Tenant};
use engine_client::{Operation, TenantKey};
use k8s_openapi::api::core::v1::Namespace;
use serde_json::{Value, json};
use test_support::builders;

use crate::status::{PURGE_RECHECK, USAGE_INTERVAL};
use crate::testing::{HOME, World, applied, cluster, held, owner, usage};

const SETTLED: Next = Next::Settled { resync: USAGE_INTERVAL };

fn event(reason: &str, note: &str) -> (String, String) {
    (reason.to_owned(), note.to_owned())
}

fn reported(phase: &str, message: &str) -> (String, String) {
    (phase.to_owned(), message.to_owned())
}

async fn active() -> World {
    let world = World::with(&[applied("acme")]);
    assert_eq!(world.settle("acme").await, SETTLED);
    world
}

fn is_gone(world: &World) -> bool {
    world.apiserver.get::<WorkflowTenant>(HOME, "acme").is_none()
}

fn condition(type_: &str, reason: &str, message: &str) -> Value {
    json!({
        "type": type_,
        "status": "True",
        "reason": reason,
        "message": message,
        "observedGeneration": 1,
        "lastTransitionTime": "2026-05-14T10:30:00Z",
    })
}

#[tokio::test]
async fn a_new_tenant_is_put_into_the_engine_and_its_usage_read_back() {
    let world = active().await;
    assert_eq!(world.engine().tenant("acme"), Some(held("acme")));
    let message = "tenant acme is in the engine as the spec says";
    assert_eq!(
        serde_json::to_value(world.status("acme")).unwrap(),
        json!({
            "observedGeneration": 1,
            "phase": "Active",
            "ready": true,
            "message": message,
            "conditions": [
                condition(
                    "ClientAccess",
                    "ClientSecretsCurrent",
                    "Secret acme-client is up to date in: workflow-system"
                ),
                condition("Ready", "Synced", message),
                condition("Synced", "Synced", message),
                condition("WithinQuota", "WithinQuota", "usage is below every quota"),
            ],
            "currentInstances": 0,
            "currentJobsPerMinute": 0,
            "currentStorageGB": 0.0,
            "clientNamespaces": [HOME],
            "clientKeyId": TenantKey::parse(builders::CLIENT_KEY).unwrap().id(),
        })
    );
    assert_eq!(world.events("acme"), [event("Synced", message)]);
}

#[tokio::test]
async fn a_settled_tenant_costs_no_write() {
    let world = active().await;
    let (before, mut reconciler) = (world.writes(), world.started());
    let writes = "finalizer, where the clients' Secret will be, the Secret, status, usage; one upsert";
    assert_eq!(before, (5, 1), "{writes}");
    for _ in 0..20 {
        assert_eq!(world.pass_of(&mut reconciler, "acme").await, SETTLED);
    }
    assert_eq!(world.writes(), before);
}

#[tokio::test]
async fn drift_in_the_engine_is_corrected_and_reported() {
    let world = active().await;
    for _ in 0..2 {
        let mut drifted = held("acme");
        drifted.quotas.max_active_instances = Some(1);
        world.engine().set_tenant(drifted);
        assert_eq!(world.settle("acme").await, SETTLED);
        assert_eq!(world.engine().tenant("acme"), Some(held("acme")));
    }
    let note = "the tenant in the engine differed from the spec and was corrected";
    assert_eq!(world.events("acme")[1..], [event("DriftCorrected", note), event("DriftCorrected", note)]);
}

#[tokio::test]
async fn an_edited_spec_is_no_drift() {
    let world = active().await;
    world.edit("acme", |tenant| tenant["spec"]["quotas"]["maxActiveInstances"] = json!(5));
    world.settle("acme").await;
    assert_eq!(world.engine().tenant("acme").unwrap().quotas.max_active_instances, Some(5));
    assert_eq!(world.events("acme").len(), 1);
}

#[tokio::test]
async fn small_moves_of_the_usage_are_not_written_and_large_ones_are() {
    let world = active().await;
    world.engine().set_usage(usage(1_000, 12_340_000_000, &[]));
    world.settle("acme").await;
    let (writes, _) = world.writes();
    for active in [1_001, 1_050, 950, 1_000] {
        world.engine().set_usage(usage(active, 12_350_000_000, &[]));
        world.settle("acme").await;
    }
    assert_eq!(world.writes().0, writes);
    let figures = |world: &World| {
        let status = world.status("acme");
        (status.current_instances, status.current_jobs_per_minute, status.current_storage_gb)
    };
    assert_eq!(figures(&world), (Some(1_000), Some(7), Some(12.3)));
    for (active, shown) in [(1_051, 1_051), (1, 1), (0, 0)] {
        world.engine().set_usage(usage(active, 12_400_000_000, &[]));
        world.settle("acme").await;
        assert_eq!(figures(&world), (Some(shown), Some(7), Some(12.4)));
    }
}

#[tokio::test]
async fn a_quota_that_is_used_up_is_reported_once() {
    let world = active().await;
    world.engine().set_usage(usage(10_000, 0, &[QuotaKind::ActiveInstances]));
    world.settle("acme").await;
    world.settle("acme").await;
    let message = "used up: spec.quotas.maxActiveInstances; raise it, or let the tenant use less";
    let conditions = world.status("acme").conditions;
    let within = find(&conditions, WITHIN_QUOTA).unwrap();
    assert_eq!((within.status.as_str(), within.message.as_str()), ("False", message));
    assert!(world.status("acme").ready);
    assert_eq!(world.events("acme")[1..], [event("QuotaExceeded", &format!("QuotaExceeded: {message}"))]);
}

#[tokio::test]
async fn a_suspended_tenant_is_suspended_in_the_engine() {
    let world = active().await;
    world.edit("acme", |tenant| tenant["spec"]["suspended"] = json!(true));
    assert_eq!(world.settle("acme").await, SETTLED);
    assert!(world.engine().tenant("acme").unwrap().suspended);
    assert_eq!(world.reported("acme").0, "Suspended");
}

#[tokio::test]
async fn an_outage_of_the_engine_rewrites_nothing_and_is_tried_with_backoff() {
    let world = active().await;
    let (status, writes) = (world.status("acme"), world.writes());
    world.engine().set_unreachable(true);
    for _ in 0..3 {
        assert_eq!(world.pass("acme").await, Next::Failed(ErrorClass::Transient));
    }
    assert_eq!((world.status("acme"), world.writes()), (status, writes));
}

#[tokio::test]
async fn a_cluster_that_becomes_ready_right_after_a_refused_call_is_asked_at_once() {
    let world = World::with(&[applied("acme")]);
    let mut reconciler = world.started();
    world.engine().set_unreachable(true);
    assert_eq!(world.pass_of(&mut reconciler, "acme").await, Next::Failed(ErrorClass::Transient));
    world.engine().set_unreachable(false);
    world.apiserver.edit::<WorkflowCluster>(HOME, "prod-east", |cluster| {
        cluster["status"]["readyReplicas"] = json!(1);
    });
    assert_eq!(world.pass_of(&mut reconciler, "acme").await, SETTLED);
    let message = "tenant acme is in the engine as the spec says";
    assert_eq!(world.reported("acme"), reported("Active", message));
    assert_eq!(world.engine().tenant("acme"), Some(held("acme")));
}

#[tokio::test]
async fn a_name_that_another_object_has_is_never_taken_over() {
    let world = World::with(&[applied("acme")]);
    let theirs = Tenant { owner: Some(Owner { id: "another".into(), ..owner("uid", 0) }), ..held("acme") };
    world.engine().set_tenant(theirs.clone());
    assert_eq!(world.pass("acme").await, Next::Wait { recheck: std::time::Duration::from_mins(5) });
    let message = "put tenant: tenant acme is managed by another owner; a WorkflowTenant of this name uses the same \
                   engine: delete that one, or rename this one";
    assert_eq!(world.reported("acme"), reported("Failed", message));
    assert_eq!(world.events("acme"), [event("NameTaken", &format!("NameTaken: {message}"))]);

    world.delete("acme").await;
    assert_eq!(world.settle("acme").await, Next::Gone);
    assert_eq!(world.engine().tenant("acme"), Some(theirs));
}

#[tokio::test]
async fn fifty_tenants_of_one_cluster_cost_two_reads_per_interval() {
    let tenants: Vec<_> = (0..50).map(|n| applied(&format!("tenant-{n}"))).collect();
    let world = World::with(&tenants);
    for tenant in &tenants {
        world.settle(tenant.metadata.name.as_deref().unwrap()).await;
    }
    let mut reconciler = world.started();
    world.engine().forget_calls();
    world.apiserver.forget_requests();
    let mut pass_all = async || {
        for tenant in &tenants {
            assert_eq!(
                world.pass_of(&mut reconciler, tenant.metadata.name.as_deref().unwrap()).await,
                SETTLED
            );
        }
    };
    pass_all().await;
    let operations: Vec<_> = world.engine().calls().into_iter().map(|call| call.operation).collect();
    assert_eq!(operations, [Operation::ListTenants, Operation::ListTenantUsage]);
    let requests: Vec<_> = world.apiserver.requests().iter().map(ToString::to_string).collect();
    let of_all = [
        "configmaps/prod-east-engine-ca",
        "secrets/prod-east-engine-controller-token",
        "configmaps/prod-east-engine-ca",
        "secrets/prod-east-engine-client-key",
    ];
    let of_each =
        tenants.iter().map(|tenant| format!("secrets/{}-client", tenant.metadata.name.as_ref().unwrap()));
    let expected = of_all.into_iter().map(ToOwned::to_owned).chain(of_each);
    let expected: Vec<_> =
        expected.map(|path| format!("GET /api/v1/namespaces/workflow-system/{path}")).collect();
    assert_eq!(requests, expected);
    world.apiserver.forget_requests();
    pass_all().await;
    assert_eq!(world.apiserver.requests(), [], "the Secrets of clients are looked at every few minutes only");
}

#[tokio::test]
async fn a_deleted_tenant_goes_with_its_data() {
    let world = active().await;
    world.delete("acme").await;
    assert_eq!(world.settle("acme").await, Next::Gone);
    assert_eq!((is_gone(&world), world.engine().tenant("acme")), (true, None));
}

#[tokio::test]
async fn a_tenant_with_much_to_delete_keeps_its_object_until_all_of_it_is_gone() {
    let world = active().await;
    world.engine().set_purge("acme", 2);
    world.delete("acme").await;
    let message = "the engine is deleting what the tenant has; the object goes when nothing is left";
    for _ in 0..2 {
        assert_eq!(world.pass("acme").await, Next::Wait { recheck: PURGE_RECHECK });
        assert_eq!(world.reported("acme"), reported("Deleting", message));
        assert!(!is_gone(&world));
    }
    assert_eq!(world.settle("acme").await, Next::Gone);
    assert_eq!((is_gone(&world), world.engine().tenant("acme")), (true, None));
}

#[tokio::test]
async fn a_retained_tenant_stays_without_an_owner() {
    let world = active().await;
    world.edit("acme", |tenant| tenant["spec"]["deletionPolicy"] = json!("Retain"));
    world.settle("acme").await;
    world.delete("acme").await;
    world.settle("acme").await;
    assert!(is_gone(&world));
    assert_eq!(world.engine().tenant("acme").unwrap().owner, None);
    assert_eq!(world.events("acme").pop(), Some(event("Retained", "tenant acme stays in the engine")));
}

#[tokio::test]
async fn a_tenant_with_running_instances_waits_for_them() {
    let world = active().await;
    world.engine().set_usage(usage(3, 0, &[]));
    world.delete("acme").await;
    for _ in 0..3 {
        assert_eq!(world.pass("acme").await, Next::Failed(ErrorClass::Transient));
    }
    let message = "resolve or cancel what runs, or set spec.deletionPolicy to Purge: tenant acme has 3 active instances";
    assert_eq!(world.reported("acme"), reported("Deleting", message));
    let reported = world.events("acme");
    assert_eq!(
        reported[reported.len() - 2..],
        [
            event("DeletionBlocked", &format!("DeletionBlocked: {message}")),
            event(
                "DeletionBlocked",
                "DeletionBlocked: to cancel it all: kubectl -n workflow-system patch wft acme --type merge \
                 -p '{\"spec\":{\"deletionPolicy\":\"Purge\"}}'"
            ),
        ]
    );
    world.engine().set_usage(usage(0, 0, &[]));
    assert_eq!(world.settle("acme").await, Next::Gone);
    assert!(is_gone(&world));
}

#[tokio::test]
async fn a_tenant_that_waits_for_what_runs_is_purged_as_soon_as_its_policy_says_so() {
    let world = active().await;
    world.engine().set_usage(usage(3, 0, &[]));
    world.delete("acme").await;
    world.pass("acme").await;
    assert_eq!(world.reported("acme").0, "Deleting");
    // As the event says.
    world.edit("acme", |tenant| tenant["spec"]["deletionPolicy"] = json!("Purge"));
    assert_eq!(world.pass("acme").await, Next::Gone);
    assert_eq!((is_gone(&world), world.engine().tenant("acme")), (true, None));
    let purged = event("Purged", "tenant acme was deleted from the engine with everything that ran");
    assert_eq!(world.events("acme").pop(), Some(purged));
}

#[tokio::test]
async fn an_unreachable_engine_blocks_until_a_person_gives_the_tenant_up() {
    let world = active().await;
    world.engine().set_unreachable(true);
    world.delete("acme").await;
    assert_eq!(world.settle("acme").await, Next::Failed(ErrorClass::Transient));
    assert_eq!(world.reported("acme").0, "Deleting");
    assert_eq!(world.events("acme").pop().unwrap().0, "DeletionBlocked");
    world.edit("acme", |tenant| tenant["metadata"]["annotations"] = json!({FORCE_DELETE: "true"}));
    world.settle("acme").await;
    assert!(is_gone(&world));
    assert_eq!(
        world.events("acme").pop(),
        Some(event("DeletionForced", "DeletionForced: tenant acme may still be in the engine"))
    );
}

#[tokio::test]
async fn a_cluster_that_is_gone_lets_its_tenants_go_and_tells_what_is_left() {
    let world = active().await;
    world.apiserver.remove::<WorkflowCluster>(HOME, "prod-east");
    world.engine().forget_calls();
    world.delete("acme").await;
    world.settle("acme").await;
    assert!(is_gone(&world));
    assert_eq!(world.engine().calls(), []);
    let note = "LeftInDatabase: tenant acme may still be in the database of its cluster, which is gone; the same object \
                applied again takes it over";
    assert_eq!(world.events("acme").pop(), Some(event("LeftInDatabase", note)));
}

/// The cluster waits for what is deleted with it.
#[tokio::test]
async fn a_cluster_that_is_being_deleted_is_still_asked() {
    let world = active().await;
    world.apiserver.edit::<WorkflowCluster>(HOME, "prod-east", |cluster| {
        cluster["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        cluster["metadata"]["finalizers"] = json!(["workflow.example.com/cluster-cleanup"]);
    });
    world.delete("acme").await;
    assert_eq!(world.settle("acme").await, Next::Gone);
    assert_eq!((is_gone(&world), world.engine().tenant("acme")), (true, None));
}

#[tokio::test]
async fn a_cluster_without_an_endpoint_holds_its_tenants() {
    let world = active().await;
    world.apiserver.edit::<WorkflowCluster>(HOME, "prod-east", |cluster| cluster["status"] = json!({}));
    world.delete("acme").await;
    assert_eq!(world.settle("acme").await, Next::Wait { recheck: std::time::Duration::from_mins(1) });
    let message = "WorkflowCluster workflow-system/prod-east has no endpoint, so its engine cannot be asked; correct or \
                   delete that cluster";
    assert_eq!(world.reported("acme"), reported("Deleting", message));
    assert_eq!(
        world.events("acme").pop(),
        Some(event("DeletionBlocked", &format!("DeletionBlocked: {message}")))
    );
}

/// As when a GitOps tool deletes everything and applies it again on the same database.
#[tokio::test]
async fn the_same_tenant_applied_again_takes_over_what_was_left() {
    let world = active().await;
    world.apiserver.remove::<WorkflowCluster>(HOME, "prod-east");
    world.delete("acme").await;
    world.settle("acme").await;
    assert!(is_gone(&world));

    world.apiserver.seed(&cluster());
    let mut again = applied("acme");
    again.metadata.uid = Some("uid-of-acme-again".into());
    again.metadata.creation_timestamp = serde_json::from_value(json!("2026-01-02T00:00:00Z")).unwrap();
    world.apiserver.seed(&again);
    assert_eq!(world.settle("acme").await, SETTLED);
    assert_eq!(world.engine().tenant("acme").unwrap().owner.unwrap().uid, "uid-of-acme-again");
    let note = "tenant acme was in the engine already; this object manages it now";
    assert!(world.events("acme").contains(&event("Adopted", note)), "{:?}", world.events("acme"));
}

#[tokio::test]
async fn a_tenant_elsewhere_needs_the_label_of_its_namespace_and_is_cleaned_up_without() {
    let world = World::with(&[]);
    let mut elsewhere = applied("acme");
    elsewhere.metadata.namespace = Some("acme-home".into());
    elsewhere.spec.cluster_ref.namespace = Some(HOME.into());
    world.apiserver.seed(&elsewhere);
    let mut namespace = Namespace::default();
    namespace.metadata.name = Some("acme-home".into());
    world.apiserver.seed(&namespace);
    let reconciler = world.started();
    let pass = async || {
        use controller_kit::controller::Reconciler as _;
        let tenant: Option<WorkflowTenant> = world.apiserver.get("acme-home", "acme");
        match tenant {
            Some(tenant) => reconciler.reconcile(std::sync::Arc::new(tenant)).await.next,
            None => Next::Gone,
        }
    };
    let label = |labels: Value| {
        world
            .apiserver
            .edit::<Namespace>("", "acme-home", |namespace| namespace["metadata"]["labels"] = labels);
    };

    assert_eq!(pass().await, Next::Failed(ErrorClass::Invalid));
    assert_eq!(world.engine().calls(), []);
    label(json!({TENANT: "acme"}));
    assert_eq!(pass().await, SETTLED);
    assert!(world.engine().tenant("acme").is_some());

    label(json!({}));
    assert_eq!(pass().await, Next::Failed(ErrorClass::Invalid));
    let api: kube::Api<WorkflowTenant> = kube::Api::namespaced(world.apiserver.client(), "acme-home");
    api.delete("acme", &kube::api::DeleteParams::default()).await.unwrap();
    assert_eq!(pass().await, Next::Gone);
    assert_eq!(world.engine().tenant("acme"), None);
}

#[tokio::test]
async fn an_engine_without_a_capability_is_reported_and_not_called() {
    let world = World::with(&[applied("acme")]);
    world.engine().lose_capability(Capability::TenantRls);
    assert_eq!(world.settle("acme").await, Next::Failed(ErrorClass::Defect));
    let message = "put tenant: engine cannot do it: it lacks the capability tenant-rls";
    assert_eq!(world.reported("acme"), reported("Failed", message));
    let ready = find(&world.status("acme").conditions, READY).map(|ready| ready.reason.clone());
    assert_eq!(ready.as_deref(), Some("NotSupportedByEngine"));
    assert_eq!(world.engine().count(Operation::PutTenant), 0);
}
