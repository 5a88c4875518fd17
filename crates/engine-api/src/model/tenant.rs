use std::collections::BTreeSet;

use jiff::Timestamp;

use super::Owner;

/// A tenant as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// A DNS label of at most 63 characters; ids that begin with `_` belong to the engine.
    pub id: String,
    /// For people.
    pub display_name: String,
    /// What the tenant may use.
    pub quotas: TenantQuotas,
    /// Row-level security. The engine forces it for every tenant; `false` is
    /// [`ErrorClass::Precondition`](crate::ErrorClass::Precondition).
    pub rls: bool,
    /// No new instances, no activations; running work stays.
    pub suspended: bool,
    /// Who manages the tenant (a WorkflowTenant); `None` = nobody.
    pub owner: Option<Owner>,
    /// Generation of the owner's present life: an older one is [`ErrorClass::Stale`](crate::ErrorClass::Stale).
    pub generation: i64,
}

/// What a tenant may use; `None` = no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TenantQuotas {
    /// Instances that run at the same time.
    pub max_active_instances: Option<u64>,
    /// Jobs created within one minute.
    pub max_jobs_per_minute: Option<u64>,
    /// Bytes in the database.
    pub max_storage_bytes: Option<u64>,
}

/// What an upsert did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutOutcome {
    /// The tenant is new.
    Created,
    /// The tenant changed.
    Updated,
    /// The tenant was as it should be.
    Unchanged,
}

/// The answer to an upsert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PutTenant {
    /// What it did.
    pub outcome: PutOutcome,
    /// The tenant was there, and nobody or an earlier life of the owner managed it.
    pub adopted: bool,
}

/// How thoroughly a tenant is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteTenantMode {
    /// [`ErrorClass::Precondition`](crate::ErrorClass::Precondition) while instances are active or process ids managed.
    RefuseIfActive,
    /// Everything of the tenant goes.
    Purge,
    /// Give up ownership, keep everything.
    Retain,
}

/// Deletes a tenant, or gives it up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteTenant {
    /// See [`request_id`](crate::request_id()).
    pub request_id: String,
    /// Which one.
    pub tenant_id: String,
    /// Must be the recorded owner or a later life of it, else nothing happens; `None` = nobody.
    pub owner: Option<Owner>,
    /// How thoroughly.
    pub mode: DeleteTenantMode,
}

/// How the deletion of a tenant ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TenantDeletion {
    /// It is gone, also when it was before.
    Deleted,
    /// It is on its way and cannot come back, but not everything of it is gone: ask again to hear of the end.
    Purging,
    /// It stays and belongs to nobody: [`DeleteTenantMode::Retain`].
    Kept,
    /// Somebody else manages the tenant: nothing happened.
    OwnedByOther,
}

/// A limit of [`TenantQuotas`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum QuotaKind {
    /// [`TenantQuotas::max_active_instances`].
    ActiveInstances,
    /// [`TenantQuotas::max_jobs_per_minute`].
    JobsPerMinute,
    /// [`TenantQuotas::max_storage_bytes`].
    Storage,
    /// Job types of the deployed processes: a bound that every tenant has.
    JobTypes,
}

impl QuotaKind {
    /// The name on the wire and for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ActiveInstances => "active-instances",
            Self::JobsPerMinute => "jobs-per-minute",
            Self::Storage => "storage-bytes",
            Self::JobTypes => "job-types",
        }
    }
}

/// What a tenant uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantUsage {
    /// Which one.
    pub tenant_id: String,
    /// Instances that run now.
    pub active_instances: u64,
    /// Jobs created during the last full minute.
    pub jobs_last_minute: u64,
    /// Bytes in the database, sampled at most every 60 s.
    pub storage_bytes: u64,
    /// When the engine looked.
    pub measured_at: Timestamp,
    /// Quotas that are used up.
    pub over: BTreeSet<QuotaKind>,
}

/// Whether a tenant's rows are isolated. It is checked in the database, not assumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Isolation {
    /// They are.
    pub isolated: bool,
    /// What is wrong; empty when isolated.
    pub violations: Vec<String>,
}
