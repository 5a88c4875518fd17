//! Who is asking. kube-apiserver forwards requests with its own client certificate and names the real user in
//! headers; other clients bring a client certificate or a token of their own.
//!
//! The order and the answers are those of a Go aggregated API server: front proxy, client certificate, bearer
//! token; a credential that was offered and is not good is 401, no credential at all is an anonymous user.

use std::{collections::BTreeMap, sync::Arc};

use http::HeaderMap;
use tokio::sync::watch;

use crate::error::ApiError;

pub mod access;
mod budget;
pub mod config;
pub mod follow;
pub mod peer;
mod review_cache;
pub mod tokens;

pub use config::AuthConfig;
pub use peer::Peer;

/// Every user but the anonymous one is in this group, whether or not the credential says so: kube-apiserver's own
/// discovery and OpenAPI calls name no group.
const AUTHENTICATED: &str = "system:authenticated";
/// Kubernetes' own unrestricted group; it is never reviewed, so that it still works when reviews do not.
const MASTERS: &str = "system:masters";

/// A user as far as authorization looks at it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    pub user: String,
    pub uid: Option<String>,
    pub groups: Vec<String>,
    pub extra: BTreeMap<String, Vec<String>>,
}

impl Identity {
    pub(crate) fn new(
        user: String,
        uid: Option<String>,
        mut groups: Vec<String>,
        extra: BTreeMap<String, Vec<String>>,
    ) -> Self {
        if !groups.iter().any(|group| group == AUTHENTICATED) {
            groups.push(AUTHENTICATED.to_owned());
        }
        Self { user, uid, groups, extra }
    }

    pub fn is_master(&self) -> bool {
        self.groups.iter().any(|group| group == MASTERS)
    }
}

/// The trust that is current right now; `None` until it was read, and when what was read is not usable.
pub type CurrentAuthConfig = watch::Receiver<Option<Arc<AuthConfig>>>;

/// Finds out who sent a request.
pub struct Authenticator {
    config: CurrentAuthConfig,
    tokens: tokens::TokenReviews,
}

impl Authenticator {
    pub fn new(config: CurrentAuthConfig, tokens: tokens::TokenReviews) -> Self {
        Self { config, tokens }
    }

    /// `None` is the anonymous user.
    pub async fn identify(&self, peer: &Peer, headers: &HeaderMap) -> Result<Option<Identity>, ApiError> {
        let config = self.config.borrow().clone();
        if let Some(config) = config {
            let verdict = peer.verdict(&config);
            if verdict.is_front_proxy
                && let Some(identity) = config.forwarded_identity(headers)?
            {
                return Ok(Some(identity));
            }
            if let Some(identity) = verdict.client {
                return Ok(Some(identity));
            }
        }
        match bearer_token(headers) {
            Some(token) => self.tokens.identify(token, peer.address()).await.map(Some),
            None if peer.presented_certificate() => Err(ApiError::Unauthorized),
            None => Ok(None),
        }
    }
}

fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(http::header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests;
