//! Tokens of a GitHub App's installation: a key of the App signs a request, GitHub answers with a token for an hour.
//!
//! github.com has its API at api.github.com, a GitHub Enterprise Server below `/api/v3` of its own host. The same addresses may be called
//! as for the repository itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::BytesMut;
use controller_kit::clock::Clock;
use jiff::Timestamp;
use remote_files::git::RepositoryUrl;
use remote_files::network::{AddressPolicy, Client, Endpoint, TrustedCertificates};
use remote_files::{Error, ErrorKind};
use reqwest::Method;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, USER_AGENT};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use serde::Deserialize;
use tokio::time::Instant;
use url::Url;

/// GitHub refuses a request that is signed for more than ten minutes; its clock may be behind ours.
const SIGNED_FOR: i64 = 540;
const CLOCK_SKEW: i64 = 60;
/// A token that ends so soon is renewed.
const RENEW_BEFORE: i64 = 300;
const TIMEOUT: Duration = Duration::from_secs(20);
/// An answer has less than one KiB.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// An App's installation, as a Secret has it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct GithubApp {
    pub(super) app_id: String,
    pub(super) installation_id: String,
    /// PEM.
    pub(super) private_key: String,
}

/// Tokens that are still good. Cheap to clone.
#[derive(Clone)]
pub(super) struct Tokens {
    clock: Clock,
    known: Arc<Mutex<HashMap<(GithubApp, String), Token>>>,
}

#[derive(Clone)]
struct Token {
    value: String,
    ends_at: Timestamp,
}

/// What GitHub answers.
#[derive(Deserialize)]
struct Answer {
    token: String,
    expires_at: Timestamp,
}

impl Tokens {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, known: Arc::default() }
    }

    /// A token for the host of the repository: one that is known, or a new one.
    pub(super) async fn observe_token(
        &self,
        installation: &GithubApp,
        url: &RepositoryUrl,
        policy: &AddressPolicy,
        trust: &TrustedCertificates,
    ) -> Result<String, Error> {
        let now = self.clock.now();
        let key = (installation.clone(), url.authority());
        if let Some(token) = self.lock().get(&key).filter(|token| token.is_good(now)) {
            return Ok(token.value.clone());
        }
        let token = request(installation, url, policy, trust, now).await?;
        let mut known = self.lock();
        known.retain(|_, token| token.is_good(now));
        known.insert(key, token.clone());
        Ok(token.value)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(GithubApp, String), Token>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Token {
    fn is_good(&self, now: Timestamp) -> bool {
        self.ends_at.as_second() - now.as_second() > RENEW_BEFORE
    }
}

async fn request(
    installation: &GithubApp,
    url: &RepositoryUrl,
    policy: &AddressPolicy,
    trust: &TrustedCertificates,
    now: Timestamp,
) -> Result<Token, Error> {
    let target = build_url(url, &installation.installation_id)?;
    let mut headers = HeaderMap::new();
    let signed = format!("Bearer {}", build_jwt(installation, now)?);
    let mut authorization =
        HeaderValue::from_str(&signed).map_err(|_| invalid("githubAppID is no id of an App"))?;
    authorization.set_sensitive(true);
    headers.insert(AUTHORIZATION, authorization);
    headers.insert(ACCEPT, HeaderValue::from_static("application/vnd.github+json"));
    headers.insert(USER_AGENT, HeaderValue::from_static("workflow-operator"));
    let deadline = Instant::now() + TIMEOUT;
    let endpoint = Endpoint::resolve(&target, policy, deadline).await?;
    let client = Client::new(&endpoint, trust, deadline)?;
    let mut response = client.send(Method::POST, target, headers, Vec::new()).await?;
    let status = response.status.as_u16();
    if status != 201 {
        let kind =
            if (500..600).contains(&status) { ErrorKind::Unreachable } else { ErrorKind::AccessDenied };
        let message = format!(
            "GitHub gives no token for this App and installation (HTTP status {status}); check githubAppID, githubAppInstallationID and githubAppPrivateKey, and that the App may read the repository"
        );
        return Err(Error::new(kind, message));
    }
    let mut body = BytesMut::new();
    while let Some(piece) = response.chunk().await? {
        body.extend_from_slice(&piece);
        if body.len() > MAX_ANSWER_BYTES {
            break;
        }
    }
    let answer: Answer = serde_json::from_slice(&body)
        .map_err(|_| Error::new(ErrorKind::Malformed, "GitHub's answer has no token"))?;
    Ok(Token { value: answer.token, ends_at: answer.expires_at })
}

fn build_url(url: &RepositoryUrl, installation: &str) -> Result<Url, Error> {
    let base = match url.authority().as_str() {
        "github.com" => "https://api.github.com".to_owned(),
        host => format!("https://{host}/api/v3"),
    };
    if installation.is_empty() || !installation.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(invalid("githubAppInstallationID is no number"));
    }
    Url::parse(&format!("{base}/app/installations/{installation}/access_tokens"))
        .map_err(|_| invalid("githubAppInstallationID is no number"))
}

/// A JSON Web Token (RFC 7519) that the App's key signs. RS256 signatures are deterministic, so this is pure.
fn build_jwt(installation: &GithubApp, now: Timestamp) -> Result<String, Error> {
    let key = read_key(&installation.private_key)?;
    let claims = serde_json::json!({
        "iat": now.as_second() - CLOCK_SKEW,
        "exp": now.as_second() + SIGNED_FOR - CLOCK_SKEW,
        "iss": installation.app_id,
    });
    let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","typ":"JWT"}"#);
    let signed = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
        .map_err(|_| invalid("githubAppPrivateKey cannot sign"))?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

fn read_key(pem: &str) -> Result<RsaKeyPair, Error> {
    let refused =
        || invalid("githubAppPrivateKey is no RSA key; expected the PEM that GitHub made for the App");
    let key = match PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| refused())? {
        PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
        PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
        _ => return Err(refused()),
    };
    key.map_err(|_| refused())
}

/// The value of `Authorization` with which git sends such a token.
pub(super) fn build_authorization(token: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("x-access-token:{token}")))
}

fn invalid(message: &str) -> Error {
    Error::new(ErrorKind::CredentialsInvalid, message)
}

#[cfg(test)]
mod tests;
