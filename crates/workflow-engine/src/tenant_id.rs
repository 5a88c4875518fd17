//! A tenant's id. It is checked once, so that all other code may rely on its characters.

use std::fmt;

/// A DNS label of at most 63 characters, or [`TenantId::DEFAULT`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    #[error("tenant_id is empty: name a tenant, or \"_default\" for none")]
    Empty,
    #[error("tenant_id must be a DNS label: 1 to 63 characters of a-z, 0-9 and '-', no '-' at either end")]
    NotALabel,
}

impl TenantId {
    /// The tenant for callers without tenants.
    pub const DEFAULT: &'static str = "_default";

    pub fn parse(id: &str) -> Result<Self, Invalid> {
        if id.is_empty() {
            return Err(Invalid::Empty);
        }
        let label = if id == Self::DEFAULT { &id[1..] } else { id };
        let is_label = id.len() <= 63
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-');
        if is_label { Ok(Self(id.to_owned())) } else { Err(Invalid::NotALabel) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The engine's own tenant: it cannot be put, owned or deleted.
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with('_')
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
