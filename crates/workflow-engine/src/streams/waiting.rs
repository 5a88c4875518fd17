//! Limits of callers that wait for jobs. Each stream and each long poll costs a query every second, so their numbers
//! are limited, in total and per tenant.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::Error;
use crate::tenant_id::TenantId;

/// Enough for this many workers per node, each with one stream. More workers need more nodes.
const MAX_PER_TENANT: usize = 1_000;
const MAX_TOTAL: usize = 8_000;

/// Cheap to clone: all clones share the same counts.
#[derive(Debug, Clone, Default)]
pub struct Waiting(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    tenants: HashMap<TenantId, usize>,
}

/// One counted stream or long poll; not counted any more when dropped.
#[derive(Debug)]
pub struct Waiter {
    waiting: Waiting,
    tenant: TenantId,
}

impl Waiting {
    pub fn enter(&self, tenant: &TenantId) -> Result<Waiter, Error> {
        let mut counts = self.counts();
        let of_tenant = counts.tenants.get(tenant).copied().unwrap_or_default();
        if of_tenant >= MAX_PER_TENANT {
            return Err(Error::Busy(format!(
                "tenant {tenant} has {MAX_PER_TENANT} open streams and waiting calls on this node, which is the most: \
                 use fewer, or more replicas of the engine"
            )));
        }
        if counts.total >= MAX_TOTAL {
            return Err(Error::Busy(format!(
                "this node has {MAX_TOTAL} open streams and waiting calls, which is the most: add replicas of the engine"
            )));
        }
        counts.total += 1;
        counts.tenants.insert(tenant.clone(), of_tenant + 1);
        Ok(Waiter { waiting: self.clone(), tenant: tenant.clone() })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut counts = self.waiting.counts();
        counts.total -= 1;
        if let Some(count) = counts.tenants.get_mut(&self.tenant) {
            *count -= 1;
            if *count == 0 {
                counts.tenants.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests;
