//! A tenant from its creation to its end, run until nothing is written any more.

use api_types::WorkflowCluster;
use api_types::condition::{READY, WITHIN_QUOTA};
use controller_kit::condition::find;
use controller_kit::outcome::{ErrorClass, Next};
use controller_testing::World as _;
use engine_client::model::{Capability, Owner, QuotaKind, Tenant};
use engine_client::{Operation, TenantKey};
use serde_json::{Value, json};
use test_support::builders;

use crate::testing::{HOME, SETTLED, World, applied, as_reported, event, held, owner, usage};

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
    let world = World::active().await;
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
    let world = World::active().await;
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
    let world = World::active().await;
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
    let world = World::active().await;
    world.edit("acme", |tenant| tenant["spec"]["quotas"]["maxActiveInstances"] = json!(5));
    world.settle("acme").await;
    assert_eq!(world.engine().tenant("acme").unwrap().quotas.max_active_instances, Some(5));
    assert_eq!(world.events("acme").len(), 1);
}

#[tokio::test]
async fn small_moves_of_the_usage_are_not_written_and_large_ones_are() {
    let world = World::active().await;
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
    let world = World::active().await;
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
    let world = World::active().await;
    world.edit("acme", |tenant| tenant["spec"]["suspended"] = json!(true));
    assert_eq!(world.settle("acme").await, SETTLED);
    assert!(world.engine().tenant("acme").unwrap().suspended);
    assert_eq!(world.reported("acme").0, "Suspended");
}

#[tokio::test]
async fn an_outage_of_the_engine_rewrites_nothing_and_is_tried_with_backoff() {
    let world = World::active().await;
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
    assert_eq!(world.reported("acme"), as_reported("Active", message));
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
    assert_eq!(world.reported("acme"), as_reported("Failed", message));
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
async fn an_engine_without_a_capability_is_reported_and_not_called() {
    let world = World::with(&[applied("acme")]);
    world.engine().lose_capability(Capability::TenantRls);
    assert_eq!(world.settle("acme").await, Next::Failed(ErrorClass::Defect));
    let message = "put tenant: engine cannot do it: it lacks the capability tenant-rls";
    assert_eq!(world.reported("acme"), as_reported("Failed", message));
    let ready = find(&world.status("acme").conditions, READY).map(|ready| ready.reason.clone());
    assert_eq!(ready.as_deref(), Some("NotSupportedByEngine"));
    assert_eq!(world.engine().count(Operation::PutTenant), 0);
}
