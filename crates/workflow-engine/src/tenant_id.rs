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
    /// Begins the ids of tenants in which a node shows that it works.
    pub const CANARY_PREFIX: &'static str = "_canary-";

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

    /// As it stands in the database: also of a canary, which no caller can name.
    pub fn stored(id: &str) -> Result<Self, Invalid> {
        if id.starts_with(Self::CANARY_PREFIX) { Ok(Self(id.to_owned())) } else { Self::parse(id) }
    }

    /// Of a canary that begins at this second.
    pub fn canary(second: i64) -> Self {
        Self(format!("{}{second}-{}", Self::CANARY_PREFIX, uuid::Uuid::new_v4().simple()))
    }

    /// The second in which a canary began; `None` = it is not one of a canary.
    pub fn canary_began(&self) -> Option<i64> {
        self.0.strip_prefix(Self::CANARY_PREFIX)?.split_once('-')?.0.parse().ok()
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
