//! Which rows a call may access: a tenant's, and only while the tenant has the epoch of the caller's token.

use std::fmt;
use std::ops::Deref;

use crate::error::Error;
use crate::tenant_id::TenantId;

/// Required to begin a transaction on a tenant. With an epoch, the transaction begins only while the tenant has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TenantScope {
    id: TenantId,
    epoch: Option<String>,
}

impl TenantScope {
    /// For callers whose access does not depend on the epoch: controllers, monitors, and the engine itself.
    pub fn any_epoch(id: TenantId) -> Self {
        Self { id, epoch: None }
    }

    /// For a token of the tenant. `epoch` is the uid of the tenant's owner, empty for a tenant without an owner.
    pub fn of_epoch(id: TenantId, epoch: &str) -> Result<Self, Error> {
        // It becomes part of an SQL statement. Uids have no other characters, so no tenant has such an epoch.
        if epoch.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_') {
            Ok(Self { id, epoch: Some(epoch.to_owned()) })
        } else {
            Err(Error::former_epoch(id.as_str()))
        }
    }

    pub fn epoch(&self) -> Option<&str> {
        self.epoch.as_deref()
    }
}

impl Deref for TenantScope {
    type Target = TenantId;

    fn deref(&self) -> &TenantId {
        &self.id
    }
}

impl fmt::Display for TenantScope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(formatter)
    }
}
