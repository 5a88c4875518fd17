//! The ConfigMap `kube-system/extension-apiserver-authentication`: which certificate authorities kube-apiserver
//! signs with, and in which headers it names the user.

use std::{collections::BTreeMap, fmt, sync::Arc};

use http::HeaderMap;
use percent_encoding::percent_decode_str;
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, UnixTime, pem::PemObject},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};

use super::Identity;
use crate::error::ApiError;

/// One state of that ConfigMap, ready to verify with.
pub struct AuthConfig {
    front_proxy: Option<FrontProxy>,
    client_ca: Option<Arc<dyn ClientCertVerifier>>,
}

struct FrontProxy {
    ca: Arc<dyn ClientCertVerifier>,
    /// Empty: any name.
    allowed_names: Vec<String>,
    user_headers: Vec<String>,
    uid_headers: Vec<String>,
    group_headers: Vec<String>,
    extra_prefixes: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum AuthConfigError {
    #[error(
        "failed to read {key} of ConfigMap kube-system/extension-apiserver-authentication: expected certificates in PEM"
    )]
    Certificates { key: &'static str },
    #[error(
        "failed to read {key} of ConfigMap kube-system/extension-apiserver-authentication: expected a JSON array of strings"
    )]
    List { key: &'static str, source: serde_json::Error },
    #[error(
        "refused to trust the front proxy: ConfigMap kube-system/extension-apiserver-authentication has a certificate in \
         both requestheader-client-ca-file and client-ca-file and no requestheader-allowed-names, so every client \
         certificate could name any user; set --requestheader-allowed-names on kube-apiserver"
    )]
    EveryClientIsFrontProxy,
}

impl AuthConfig {
    /// Reads the `data` of the ConfigMap.
    pub fn parse(data: &BTreeMap<String, String>) -> Result<Self, AuthConfigError> {
        let proxy_roots = certificates(data, "requestheader-client-ca-file")?;
        let client_roots = certificates(data, "client-ca-file")?;
        let allowed_names = list(data, "requestheader-allowed-names")?;
        if allowed_names.is_empty() && proxy_roots.iter().any(|root| client_roots.contains(root)) {
            return Err(AuthConfigError::EveryClientIsFrontProxy);
        }
        let front_proxy = match verifier(proxy_roots, "requestheader-client-ca-file")? {
            None => None,
            Some(ca) => Some(FrontProxy {
                ca,
                allowed_names,
                user_headers: list(data, "requestheader-username-headers")?,
                uid_headers: list(data, "requestheader-uid-headers")?,
                group_headers: list(data, "requestheader-group-headers")?,
                extra_prefixes: list(data, "requestheader-extra-headers-prefix")?
                    .into_iter()
                    .map(|prefix| prefix.to_ascii_lowercase())
                    .collect(),
            }),
        };
        Ok(Self { front_proxy, client_ca: verifier(client_roots, "client-ca-file")? })
    }

    /// Whether the chain is that of kube-apiserver's front proxy. `name` is the leaf's common name.
    pub(super) fn is_front_proxy(
        &self,
        chain: &[CertificateDer<'_>],
        name: Option<&str>,
        now: UnixTime,
    ) -> bool {
        self.front_proxy.as_ref().is_some_and(|proxy| {
            verifies(proxy.ca.as_ref(), chain, now)
                && (proxy.allowed_names.is_empty()
                    || name.is_some_and(|name| proxy.allowed_names.iter().any(|allowed| allowed == name)))
        })
    }

    pub(super) fn is_client(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> bool {
        self.client_ca.as_ref().is_some_and(|ca| verifies(ca.as_ref(), chain, now))
    }

    /// The user that the front proxy speaks for. Only to be asked after [`Self::is_front_proxy`].
    pub(super) fn forwarded_identity(&self, headers: &HeaderMap) -> Result<Option<Identity>, ApiError> {
        let Some(proxy) = &self.front_proxy else { return Ok(None) };
        let Some(user) = first_value(headers, &proxy.user_headers)? else { return Ok(None) };
        let uid = first_value(headers, &proxy.uid_headers)?;
        let mut groups = Vec::new();
        for name in &proxy.group_headers {
            for value in headers.get_all(name) {
                groups.push(text(value)?);
            }
        }
        let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in headers {
            let Some(key) = proxy.extra_prefixes.iter().find_map(|prefix| name.as_str().strip_prefix(prefix))
            else {
                continue;
            };
            let key = percent_decode_str(key)
                .decode_utf8()
                .map_or_else(|_| key.to_owned(), |key| key.to_lowercase());
            extra.entry(key).or_default().push(text(value)?);
        }
        Ok(Some(Identity::new(user, uid, groups, extra)))
    }
}

impl fmt::Debug for AuthConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthConfig")
            .field("front_proxy", &self.front_proxy.is_some())
            .field("client_ca", &self.client_ca.is_some())
            .finish()
    }
}

fn first_value(headers: &HeaderMap, names: &[String]) -> Result<Option<String>, ApiError> {
    for name in names {
        if let Some(value) = headers.get(name) {
            let value = text(value)?;
            if !value.trim().is_empty() {
                return Ok(Some(value));
            }
        }
    }
    Ok(None)
}

fn text(value: &http::HeaderValue) -> Result<String, ApiError> {
    String::from_utf8(value.as_bytes().to_vec()).map_err(|_| ApiError::Unauthorized)
}

fn verifies(ca: &dyn ClientCertVerifier, chain: &[CertificateDer<'_>], now: UnixTime) -> bool {
    chain
        .split_first()
        .is_some_and(|(leaf, intermediates)| ca.verify_client_cert(leaf, intermediates, now).is_ok())
}

fn certificates(
    data: &BTreeMap<String, String>,
    key: &'static str,
) -> Result<Vec<CertificateDer<'static>>, AuthConfigError> {
    let Some(pem) = data.get(key) else { return Ok(Vec::new()) };
    let roots = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| AuthConfigError::Certificates { key })?;
    if roots.is_empty() { Err(AuthConfigError::Certificates { key }) } else { Ok(roots) }
}

fn verifier(
    roots: Vec<CertificateDer<'static>>,
    key: &'static str,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, AuthConfigError> {
    if roots.is_empty() {
        return Ok(None);
    }
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(roots);
    WebPkiClientVerifier::builder_with_provider(
        Arc::new(store),
        Arc::new(rustls::crypto::ring::default_provider()),
    )
    .build()
    .map(|verifier| -> Option<Arc<dyn ClientCertVerifier>> { Some(verifier) })
    .map_err(|_| AuthConfigError::Certificates { key })
}

fn list(data: &BTreeMap<String, String>, key: &'static str) -> Result<Vec<String>, AuthConfigError> {
    match data.get(key) {
        None => Ok(Vec::new()),
        Some(json) => serde_json::from_str(json).map_err(|source| AuthConfigError::List { key, source }),
    }
}

#[cfg(test)]
mod tests;
