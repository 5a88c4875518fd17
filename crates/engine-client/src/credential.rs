//! Bearer tokens: who may call an engine, on both ends of the wire.
//!
//! An engine cluster has one Secret with three keys. The controller and monitor tokens are random; worker tokens are
//! minted from the worker key, one per tenant, and verified without being stored anywhere:
//! `wfw1.<tenant id>.<base64url(HMAC-SHA256(worker key, "wfw1.<tenant id>"))>`.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    hmac,
    rand::{SecureRandom, SystemRandom},
};
use tonic::metadata::{Ascii, MetadataValue};

/// File (key of the Secret) of the token that may call everything.
pub const CONTROLLER_TOKEN_FILE: &str = "controller-token";
/// File (key of the Secret) of the token that may read info, health, usage and lag.
pub const MONITOR_TOKEN_FILE: &str = "monitor-token";
/// File (key of the Secret) of the key that worker tokens are minted from.
pub const WORKER_KEY_FILE: &str = "worker-key";

const WORKER_TOKEN_PREFIX: &str = "wfw1.";
const SECRET_BYTES: usize = 32;
const MAX_TOKEN_LEN: usize = 1024;

/// Why a secret cannot be used. Never says what was in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// A token that no HTTP header can carry.
    #[error("engine token must be 1 to {MAX_TOKEN_LEN} printable ASCII characters without spaces")]
    Token,
    /// A worker key of a wrong shape.
    #[error("worker key must be {SECRET_BYTES} bytes in unpadded base64url")]
    WorkerKey,
    /// The operating system gives no random bytes.
    #[error("read random bytes from the operating system")]
    Random,
}

/// A bearer token. Never shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential(String);

impl Credential {
    /// The content of a token file; white space around it is ignored.
    pub fn parse(token: &str) -> Result<Self, CredentialError> {
        let token = token.trim();
        let carried =
            (1..=MAX_TOKEN_LEN).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_graphic());
        if carried { Ok(Self(token.to_owned())) } else { Err(CredentialError::Token) }
    }

    /// A new random token, for the engine's Secret.
    pub fn generate() -> Result<Self, CredentialError> {
        Ok(Self(URL_SAFE_NO_PAD.encode(random_bytes()?)))
    }

    /// The token itself, for a Secret or a token file.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The value of the `authorization` header, marked so that HTTP/2 neither indexes nor logs it.
    pub(crate) fn authorization(&self) -> Result<MetadataValue<Ascii>, CredentialError> {
        let mut value: MetadataValue<Ascii> =
            format!("Bearer {}", self.0).parse().map_err(|_| CredentialError::Token)?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(redacted)")
    }
}

/// The key that an engine cluster's worker tokens are minted from. Never shown by `Debug`.
#[derive(Clone)]
pub struct WorkerKey([u8; SECRET_BYTES]);

impl WorkerKey {
    /// The content of the key file; white space around it is ignored.
    pub fn parse(base64url: &str) -> Result<Self, CredentialError> {
        let bytes = URL_SAFE_NO_PAD.decode(base64url.trim()).map_err(|_| CredentialError::WorkerKey)?;
        bytes.try_into().map(Self).map_err(|_| CredentialError::WorkerKey)
    }

    /// A new random key, for the engine's Secret.
    pub fn generate() -> Result<Self, CredentialError> {
        random_bytes().map(Self)
    }

    /// The key itself as base64url, for a Secret or a key file.
    pub fn expose(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// The token of this tenant's workers; the same for the same key and tenant.
    pub fn mint(&self, tenant_id: &str) -> Credential {
        let signed = format!("{WORKER_TOKEN_PREFIX}{tenant_id}");
        let mac = URL_SAFE_NO_PAD.encode(hmac::sign(&self.hmac_key(), signed.as_bytes()));
        Credential(format!("{signed}.{mac}"))
    }

    /// The tenant of a worker token that this key minted.
    fn tenant_of<'token>(&self, token: &'token str) -> Option<&'token str> {
        let (signed, mac) = token.rsplit_once('.')?;
        let tenant_id = signed.strip_prefix(WORKER_TOKEN_PREFIX).filter(|id| !id.is_empty())?;
        let mac = URL_SAFE_NO_PAD.decode(mac).ok()?;
        hmac::verify(&self.hmac_key(), signed.as_bytes(), &mac).ok()?;
        Some(tenant_id)
    }

    fn hmac_key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &self.0)
    }
}

impl fmt::Debug for WorkerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WorkerKey(redacted)")
    }
}

/// What a caller may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Controller,
    /// Info, health, migration status, usage and lag.
    Monitor,
    /// Jobs and instances of one tenant.
    Worker {
        /// The only tenant.
        tenant_id: String,
    },
}

/// The server's side: which role a presented token gives. Keeps no token, only their MACs under a key of this process,
/// and takes the same time for every wrong one.
pub struct CredentialVerifier {
    compare_key: hmac::Key,
    controller: hmac::Tag,
    monitor: hmac::Tag,
    worker_key: WorkerKey,
}

impl CredentialVerifier {
    /// A verifier for the three secrets of an engine cluster.
    pub fn new(
        controller: &Credential,
        monitor: &Credential,
        worker_key: WorkerKey,
    ) -> Result<Self, CredentialError> {
        let compare_key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| CredentialError::Random)?;
        Ok(Self {
            controller: hmac::sign(&compare_key, controller.0.as_bytes()),
            monitor: hmac::sign(&compare_key, monitor.0.as_bytes()),
            compare_key,
            worker_key,
        })
    }

    /// The role of the value of an `authorization` header; `None` = refuse.
    pub fn verify(&self, authorization: &str) -> Option<Role> {
        let (scheme, token) = authorization.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") || token.len() > MAX_TOKEN_LEN {
            return None;
        }
        let is = |expected: &hmac::Tag| {
            hmac::verify(&self.compare_key, token.as_bytes(), expected.as_ref()).is_ok()
        };
        if is(&self.controller) {
            Some(Role::Controller)
        } else if is(&self.monitor) {
            Some(Role::Monitor)
        } else {
            self.worker_key.tenant_of(token).map(|tenant_id| Role::Worker { tenant_id: tenant_id.to_owned() })
        }
    }
}

impl fmt::Debug for CredentialVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CredentialVerifier(redacted)")
    }
}

fn random_bytes() -> Result<[u8; SECRET_BYTES], CredentialError> {
    let mut bytes = [0; SECRET_BYTES];
    SystemRandom::new().fill(&mut bytes).map_err(|_| CredentialError::Random)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
