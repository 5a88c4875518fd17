//! The list of all tenants of an engine, shared by the passes of all its WorkflowTenants: an engine with a thousand
//! tenants is asked twice per interval, not two thousand times.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api_types::WorkflowCluster;
use engine_client::model::{Tenant, TenantUsage};
use engine_client::{Engine, EngineError};
use kube::ResourceExt as _;
use tokio::time::Instant;

/// How long a listing is good. Half of the usage interval: every round of passes sees a new one.
const FRESH: Duration = Duration::from_secs(15);
/// How long a failure is good, while the cluster stays as it was: passes that waited for the same answer share it,
/// instead of each waiting for its own.
const FRESH_FAILURE: Duration = Duration::from_secs(1);

/// What an engine says of its tenants.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TenantListing {
    /// By id.
    pub tenants: BTreeMap<String, Tenant>,
    /// By id.
    pub usages: BTreeMap<String, TenantUsage>,
}

/// The newest listing of each cluster. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct TenantListings(Arc<Mutex<HashMap<String, Arc<Slot>>>>);

/// The listing of one cluster. A pass that needs it while another one reads it waits for that read.
type Slot = tokio::sync::Mutex<Option<Answer>>;

#[derive(Debug)]
struct Answer {
    taken_at: Instant,
    /// `resourceVersion` of the cluster for which it was taken.
    cluster_version: Option<String>,
    listing: Result<Arc<TenantListing>, EngineError>,
}

impl Answer {
    /// A cluster that changed may have become ready: what failed before says nothing of it.
    fn is_good_for(&self, cluster: &WorkflowCluster) -> bool {
        match &self.listing {
            Ok(_) => self.taken_at.elapsed() < FRESH,
            Err(_) => {
                self.cluster_version == cluster.resource_version() && self.taken_at.elapsed() < FRESH_FAILURE
            }
        }
    }
}

impl TenantListings {
    /// A listing that is fresh, taken now if need be.
    pub async fn get(
        &self,
        cluster: &WorkflowCluster,
        engine: &dyn Engine,
    ) -> Result<Arc<TenantListing>, EngineError> {
        let slot = self.slot(&cluster.uid().unwrap_or_default());
        let mut newest = slot.lock().await;
        if let Some(answer) = newest.as_ref().filter(|answer| answer.is_good_for(cluster)) {
            return answer.listing.clone();
        }
        let listing = list_tenants(engine).await.map(Arc::new);
        let (taken_at, cluster_version) = (Instant::now(), cluster.resource_version());
        *newest = Some(Answer { taken_at, cluster_version, listing: listing.clone() });
        listing
    }

    /// What was said is no longer true: this controller changed a tenant.
    pub fn forget(&self, cluster_uid: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(cluster_uid);
    }

    fn slot(&self, cluster_uid: &str) -> Arc<Slot> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slots.entry(cluster_uid.to_owned()).or_default().clone()
    }
}

async fn list_tenants(engine: &dyn Engine) -> Result<TenantListing, EngineError> {
    let tenants = engine.list_tenants().await?;
    let usages = engine.list_tenant_usage(&[]).await?;
    Ok(TenantListing {
        tenants: tenants.into_iter().map(|tenant| (tenant.id.clone(), tenant)).collect(),
        usages: usages.into_iter().map(|usage| (usage.tenant_id.clone(), usage)).collect(),
    })
}

#[cfg(test)]
mod tests;
