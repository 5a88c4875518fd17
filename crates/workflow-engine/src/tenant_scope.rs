//! Whose rows a call may touch: a tenant, in the life of it that the caller's token is for.

use std::fmt;
use std::ops::Deref;

use crate::error::Error;
use crate::tenant_id::TenantId;

/// Every transaction on a tenant begins with one, and one that names an epoch begins only while the tenant has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TenantScope {
    id: TenantId,
    epoch: Option<String>,
}

impl TenantScope {
    /// For who may act in every life of the tenant: controllers, monitors, and the engine itself.
    pub fn any_epoch(id: TenantId) -> Self {
        Self { id, epoch: None }
    }

    /// For the holder of a token: the uid of the tenant's owner, empty for a tenant that nobody owns.
    pub fn of_epoch(id: TenantId, epoch: &str) -> Result<Self, Error> {
        // It becomes part of a statement. A uid has no other characters, so no tenant is in a life of such a name.
        if epoch.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_') {
            Ok(Self { id, epoch: Some(epoch.to_owned()) })
        } else {
            Err(Error::former_life(id.as_str()))
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
