//! Objects, observations and a whole world for this crate's tests.

mod world;

use std::sync::Arc;

use api_types::labels::{TENANT, TENANT_CONTROLLER};
use api_types::{WorkflowCluster, WorkflowTenant};
use controller_kit::outcome::Next;
use engine_client::model::{Owner, QuotaKind, Tenant, TenantQuotas, TenantUsage};
use engine_fake::FakeEngine;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Namespace;
use serde_json::json;
use test_support::builders;

use crate::observe::{EngineView, Observed};
use crate::status::USAGE_INTERVAL;

pub(crate) use world::World;

/// Namespace of cluster and tenants.
pub(crate) const HOME: &str = "workflow-system";

/// What a pass over a tenant without a problem ends with.
pub(crate) const SETTLED: Next = Next::Settled { resync: USAGE_INTERVAL };

/// An event as [`controller_testing::World::events`] gives it.
pub(crate) fn event(reason: &str, note: &str) -> (String, String) {
    (reason.to_owned(), note.to_owned())
}

/// Phase and message as [`World::reported`] gives them.
pub(crate) fn as_reported(phase: &str, message: &str) -> (String, String) {
    (phase.to_owned(), message.to_owned())
}

pub(crate) fn now() -> Timestamp {
    Timestamp::from_second(1_778_754_600).unwrap()
}

pub(crate) fn cluster() -> WorkflowCluster {
    builders::running_cluster(HOME, "prod-east")
}

/// As a user applies it.
pub(crate) fn applied(name: &str) -> WorkflowTenant {
    let mut tenant = builders::stored(builders::tenant(HOME, name, &cluster()));
    tenant.spec.display_name = Some("Acme Corporation".into());
    tenant.spec.quotas = serde_json::from_value(
        json!({"maxActiveInstances": 10_000, "maxJobsPerMinute": 1_000, "maxStorageGB": 50}),
    )
    .unwrap();
    tenant
}

/// A Namespace, granted to a tenant or to none.
pub(crate) fn namespace(name: &str, tenant: Option<&str>) -> Namespace {
    let mut namespace = Namespace::default();
    namespace.metadata.name = Some(name.to_owned());
    namespace.metadata.labels = tenant.map(|tenant| [(TENANT.to_owned(), tenant.to_owned())].into());
    namespace
}

/// [`applied`] with our finalizer.
pub(crate) fn tenant() -> WorkflowTenant {
    let mut tenant = applied("acme");
    tenant.metadata.finalizers = Some(vec![TENANT_CONTROLLER.finalizer.to_owned()]);
    tenant
}

/// A life of the object `acme` that began so many seconds after that of [`applied`].
pub(crate) fn owner(uid: &str, later: i64) -> Owner {
    let created_at =
        applied("acme").metadata.creation_timestamp.unwrap().0 + SignedDuration::from_secs(later);
    Owner { id: format!("WorkflowTenant/{HOME}/acme"), uid: uid.into(), created_at }
}

/// [`applied`] as the engine has it.
pub(crate) fn held(name: &str) -> Tenant {
    Tenant {
        id: name.into(),
        display_name: "Acme Corporation".into(),
        quotas: TenantQuotas {
            max_active_instances: Some(10_000),
            max_jobs_per_minute: Some(1_000),
            max_storage_bytes: Some(50_000_000_000),
        },
        rls: true,
        suspended: false,
        owner: Some(owner(&format!("uid-of-{name}"), 0)),
        generation: 1,
    }
}

pub(crate) fn usage(active_instances: u64, storage_bytes: u64, over: &[QuotaKind]) -> TenantUsage {
    TenantUsage {
        tenant_id: "acme".into(),
        active_instances,
        jobs_last_minute: 7,
        storage_bytes,
        measured_at: Timestamp::UNIX_EPOCH,
        over: over.iter().copied().collect(),
    }
}

/// The world of [`tenant`] with a running cluster and an engine that answers.
pub(crate) fn observed(found: Option<Tenant>, usage: Option<TenantUsage>) -> Observed {
    let engine = EngineView::Answered { engine: Arc::new(FakeEngine::new()), tenant: found, usage };
    Observed { cluster: Ok(Arc::new(cluster())), engine, clients: None }
}
