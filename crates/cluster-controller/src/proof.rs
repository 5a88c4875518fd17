//! Proof that a Secret of an engine is as this installation wrote it. A Secret that outlived its cluster has no owner, and
//! anybody who may make Secrets in the namespace could have put one there with the same labels, and with a token that he knows.
//!
//! The proof is an HMAC under a key that lies in the namespace of the cluster-controller. It covers where the Secret is, whose
//! it is and all that it holds.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

use api_types::cluster::ClusterReason;
use api_types::labels::{MANAGED_BY, OPERATOR, PART_OF};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use controller_kit::apply::WriteError;
use controller_kit::outcome::ErrorClass;
use controller_kit::problem::Problem;
use controller_kit::run::chain;
use engine_client::{Credential, CredentialError};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client, ResourceExt as _};
use ring::hmac;

/// Key of the Secret that holds the proof's key.
const KEY: &str = "key";
/// Fewer characters are not what [`ProofKeeper::create`] makes.
const MIN_KEY_LEN: usize = 32;
/// Begins every proof, and names how it is made.
const VERSION: &str = "v1.";

/// The key that proofs are made with. Never shown by `Debug`.
#[derive(Clone)]
pub struct ProofKey(hmac::Key);

impl ProofKey {
    /// From the text in the Secret.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        (text.len() >= MIN_KEY_LEN).then(|| Self(hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes())))
    }

    /// The proof of `secret` as one of the cluster of this name; the same for the same content.
    #[must_use]
    pub fn prove(&self, cluster: &str, secret: &Secret) -> String {
        let mac = hmac::sign(&self.0, &covered(cluster, secret));
        format!("{VERSION}{}", URL_SAFE_NO_PAD.encode(mac))
    }

    /// Is `proof` that of `secret`?
    #[must_use]
    pub fn verifies(&self, cluster: &str, secret: &Secret, proof: &str) -> bool {
        let mac = proof.strip_prefix(VERSION).and_then(|mac| URL_SAFE_NO_PAD.decode(mac).ok());
        mac.is_some_and(|mac| hmac::verify(&self.0, &covered(cluster, secret), &mac).is_ok())
    }
}

impl fmt::Debug for ProofKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProofKey(redacted)")
    }
}

/// Two keys are the same when they prove the same.
impl PartialEq for ProofKey {
    fn eq(&self, other: &Self) -> bool {
        let nothing = Secret::default();
        other.verifies("", &nothing, &self.prove("", &nothing))
    }
}

/// Each part with its length before it, so that no two contents are covered by the same bytes.
fn covered(cluster: &str, secret: &Secret) -> Vec<u8> {
    let (namespace, name) = (secret.namespace().unwrap_or_default(), secret.name_any());
    let data = secret.data.iter().flatten();
    let data = data.flat_map(|(key, value)| [key.as_bytes(), value.0.as_slice()]);
    let parts = [namespace.as_bytes(), name.as_bytes(), cluster.as_bytes()].into_iter().chain(data);
    let mut covered = Vec::new();
    for part in parts {
        covered.extend(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        covered.extend(part);
    }
    covered
}

/// Where the key of this installation is. It is read once.
pub struct ProofKeeper {
    secrets: Api<Secret>,
    namespace: String,
    name: String,
    known: OnceLock<ProofKey>,
}

/// The key could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// The Kubernetes API.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// No random bytes.
    #[error("failed to make the proof's key")]
    Random(#[from] CredentialError),
}

impl ProofKeeper {
    /// The key is in Secret `name` of `namespace`, which is the controller's own.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str) -> Self {
        Self {
            secrets: Api::namespaced(client, namespace),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            known: OnceLock::new(),
        }
    }

    /// The key, unless there is none yet.
    pub async fn observe(&self) -> Result<Option<ProofKey>, Problem<ClusterReason>> {
        if let Some(known) = self.known.get() {
            return Ok(Some(known.clone()));
        }
        let unread = |message, class: ErrorClass| Problem::new(class.reason(), class, message);
        let found = self.secrets.get_opt(&self.name).await.map_err(|error| {
            let problem = format!("failed to read {self}: {}", chain(&error));
            unread(problem, ErrorClass::of_kube(&error))
        })?;
        let Some(secret) = found else { return Ok(None) };
        let text = secret.data.as_ref().and_then(|data| data.get(KEY));
        let key = text.and_then(|text| std::str::from_utf8(&text.0).ok()).and_then(ProofKey::parse);
        let key = key.ok_or_else(|| {
            let problem =
                format!("{self}: key {KEY} is missing or too short; a new Secret is made when it is deleted");
            unread(problem, ErrorClass::Transient)
        })?;
        Ok(Some(self.known.get_or_init(|| key).clone()))
    }

    /// Makes the key. Another replica may have been first: then that one is it.
    pub async fn create(&self) -> Result<(), ProofError> {
        let key = Credential::generate()?;
        let labels = [(MANAGED_BY, OPERATOR), (PART_OF, "workflow")];
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
                ..ObjectMeta::default()
            },
            data: Some(BTreeMap::from([(KEY.to_owned(), ByteString(key.expose().as_bytes().to_vec()))])),
            type_: Some("Opaque".to_owned()),
            ..Secret::default()
        };
        match self.secrets.create(&PostParams::default(), &secret).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
            Err(source) => Err(WriteError { operation: "create", object: self.to_string(), source }.into()),
        }
    }
}

impl fmt::Display for ProofKeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret {}/{}", self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests;
