//! Bearer tokens: who may call an engine, on both ends of the wire.
//!
//! Controllers and monitors have random tokens. The tokens of workers and clients are minted from a key, one key for each
//! of the two roles, and verified without being stored anywhere. A minted token is
//! `<prefix>.<key id>.<epoch>.<tenant id>.<base64url(HMAC-SHA256(key, everything before the last dot))>`:
//!
//! | Part | What it is |
//! |---|---|
//! | prefix | `wfw2` for a worker, `wfc2` for a client |
//! | key id | which key it was minted from, so that people and controllers can tell an old token from a new one |
//! | epoch | the life of the tenant: the uid of its owner in the engine, empty for a tenant that nobody owns |
//! | tenant id | the only tenant that it is good for; may contain dots |

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    digest, hmac,
    rand::{SecureRandom, SystemRandom},
};
use tonic::metadata::{Ascii, MetadataValue};

/// Directory (and end of the Secret's name) of the token that may call everything.
pub const CONTROLLER_TOKEN: &str = "controller-token";
/// Directory (and end of the Secret's name) of the token that may read info, health, usage and lag.
pub const MONITOR_TOKEN: &str = "monitor-token";
/// Directory (and end of the Secret's name) of the key that worker tokens are minted from.
pub const WORKER_KEY: &str = "worker-key";
/// Directory (and end of the Secret's name) of the key that client tokens are minted from.
pub const CLIENT_KEY: &str = "client-key";

/// File (key of each of those Secrets) of what callers use.
pub const CURRENT: &str = "current";
/// File of what callers will use next: accepted already, so that every engine knows it before the first caller does.
pub const NEXT: &str = "next";
/// File of what callers used before: accepted until all of them have the current one.
pub const PREVIOUS: &str = "previous";

const SECRET_BYTES: usize = 32;
const KEY_ID_BYTES: usize = 6;
const MAX_TOKEN_LEN: usize = 1024;

/// Why a secret cannot be used. Never says what was in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// A token that no HTTP header can carry.
    #[error("engine token must be 1 to {MAX_TOKEN_LEN} printable ASCII characters without spaces")]
    Token,
    /// A key of a wrong shape.
    #[error("key must be {SECRET_BYTES} bytes in unpadded base64url")]
    Key,
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

    /// The id of the key that a worker's or client's token was minted from; `None` for the random tokens of the others.
    pub fn key_id(&self) -> Option<&str> {
        let mut parts = self.0.split('.');
        let prefix = parts.next()?;
        let is_minted = [TokenRole::Worker, TokenRole::Client].iter().any(|role| role.prefix() == prefix);
        parts.next().filter(|_| is_minted)
    }

    /// The token itself, for a Secret or a token file.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The value of the `authorization` header, marked so that HTTP/2 neither indexes nor logs it.
    pub fn authorization(&self) -> Result<MetadataValue<Ascii>, CredentialError> {
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

/// For whom a token is minted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenRole {
    /// The jobs of a tenant.
    Worker,
    /// The instances of a tenant.
    Client,
}

impl TokenRole {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Worker => "wfw2",
            Self::Client => "wfc2",
        }
    }
}

/// One life of a tenant: what is deleted and made again under the same name is another one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TenantEpoch {
    /// The tenant's id in the engine.
    pub tenant_id: String,
    /// The uid of its owner; empty for a tenant that nobody owns, such as the default one.
    pub epoch: String,
}

/// A key that the tokens of one role are minted from. Never shown by `Debug`.
#[derive(Clone)]
pub struct TenantKey {
    bytes: [u8; SECRET_BYTES],
    id: String,
    hmac: hmac::Key,
}

impl TenantKey {
    /// The content of the key file; white space around it is ignored.
    pub fn parse(base64url: &str) -> Result<Self, CredentialError> {
        let bytes = URL_SAFE_NO_PAD.decode(base64url.trim()).map_err(|_| CredentialError::Key)?;
        bytes.try_into().map(Self::of).map_err(|_| CredentialError::Key)
    }

    /// A new random key, for the engine's Secret.
    pub fn generate() -> Result<Self, CredentialError> {
        random_bytes().map(Self::of)
    }

    fn of(bytes: [u8; SECRET_BYTES]) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(b"workflow engine key id");
        context.update(&bytes);
        let id = URL_SAFE_NO_PAD.encode(&context.finish().as_ref()[..KEY_ID_BYTES]);
        Self { bytes, id, hmac: hmac::Key::new(hmac::HMAC_SHA256, &bytes) }
    }

    /// The key itself as base64url, for a Secret or a key file.
    pub fn expose(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.bytes)
    }

    /// Names the key without telling anything of it: 8 characters of base64url, safe in statuses and logs.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The token of this role for this life of a tenant; the same for the same key.
    pub fn mint(&self, role: TokenRole, tenant: &TenantEpoch) -> Credential {
        let TenantEpoch { tenant_id, epoch } = tenant;
        let signed = format!("{}.{}.{epoch}.{tenant_id}", role.prefix(), self.id());
        let mac = URL_SAFE_NO_PAD.encode(hmac::sign(&self.hmac, signed.as_bytes()));
        Credential(format!("{signed}.{mac}"))
    }

    /// For which life of which tenant this key minted the token in this role.
    fn tenant_of(&self, role: TokenRole, token: &str) -> Option<TenantEpoch> {
        let (signed, mac) = token.rsplit_once('.')?;
        let mut parts = signed.splitn(4, '.');
        if parts.next() != Some(role.prefix()) || parts.next() != Some(self.id()) {
            return None;
        }
        let (epoch, tenant_id) = (parts.next()?, parts.next().filter(|id| !id.is_empty())?);
        let mac = URL_SAFE_NO_PAD.decode(mac).ok()?;
        hmac::verify(&self.hmac, signed.as_bytes(), &mac).ok()?;
        Some(TenantEpoch { tenant_id: tenant_id.to_owned(), epoch: epoch.to_owned() })
    }
}

impl fmt::Debug for TenantKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TenantKey(redacted)")
    }
}

/// What a caller may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Controller,
    /// Info, health, migration status, usage and lag.
    Monitor,
    /// The jobs of one life of one tenant.
    Worker(TenantEpoch),
    /// The instances of one life of one tenant.
    Client(TenantEpoch),
}

/// The secrets of each role that an engine accepts: the current one, and while it is being replaced the other one too.
#[derive(Clone, Debug, Default)]
pub struct Accepted {
    /// Tokens of controllers.
    pub controller: Vec<Credential>,
    /// Tokens of monitors.
    pub monitor: Vec<Credential>,
    /// Keys of worker tokens.
    pub worker: Vec<TenantKey>,
    /// Keys of client tokens.
    pub client: Vec<TenantKey>,
}

/// The server's side: which role a presented token gives. Keeps no token, only their MACs under a key of this process,
/// and takes the same time for every wrong one.
pub struct CredentialVerifier {
    compare_key: hmac::Key,
    controller: Vec<hmac::Tag>,
    monitor: Vec<hmac::Tag>,
    worker: Vec<TenantKey>,
    client: Vec<TenantKey>,
}

impl CredentialVerifier {
    /// A verifier for the secrets of an engine cluster.
    pub fn new(accepted: Accepted) -> Result<Self, CredentialError> {
        let compare_key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| CredentialError::Random)?;
        let sign = |tokens: Vec<Credential>| {
            tokens.iter().map(|token| hmac::sign(&compare_key, token.0.as_bytes())).collect()
        };
        Ok(Self {
            controller: sign(accepted.controller),
            monitor: sign(accepted.monitor),
            worker: accepted.worker,
            client: accepted.client,
            compare_key,
        })
    }

    /// The role of the value of an `authorization` header; `None` = refuse.
    pub fn verify(&self, authorization: &str) -> Option<Role> {
        let (scheme, token) = authorization.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") || token.len() > MAX_TOKEN_LEN {
            return None;
        }
        let is_one_of = |accepted: &[hmac::Tag]| {
            accepted.iter().any(|tag| hmac::verify(&self.compare_key, token.as_bytes(), tag.as_ref()).is_ok())
        };
        let minted = |keys: &[TenantKey], role| keys.iter().find_map(|key| key.tenant_of(role, token));
        if is_one_of(&self.controller) {
            return Some(Role::Controller);
        }
        if is_one_of(&self.monitor) {
            return Some(Role::Monitor);
        }
        minted(&self.worker, TokenRole::Worker)
            .map(Role::Worker)
            .or_else(|| minted(&self.client, TokenRole::Client).map(Role::Client))
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
