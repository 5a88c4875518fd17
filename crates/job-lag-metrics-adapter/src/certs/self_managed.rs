//! Keeps the self-managed certificate: in a Secret that the replicas share, with its authority in our
//! [`registration`](super::registration).
//!
//! Every replica does the same; what two of them do at once is settled by the API server (create fails, update
//! carries the resourceVersion), and the loser reads again at its next tick.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use controller_kit::{clock::Clock, run::chain};
use k8s_openapi::{ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{Api, Client, api::PostParams};
use tokio::time::sleep;

use super::{
    CertificateError, ServingCertificate, certified_key,
    issue::{issue, service_names},
    registration::{Registration, RegistrationError, Written, api_service_name},
    rotation::{self, Pair, Step, Stored},
};

const EVERY: Duration = Duration::from_secs(30);
/// After a failure, for instance while another adapter has the API.
const AGAIN: Duration = Duration::from_secs(2);
/// The aggregator writes the APIService's status just when a server begins to answer, so conflicts are normal.
const ATTEMPTS: u32 = 4;

#[derive(Debug, thiserror::Error)]
pub enum SelfManagedError {
    #[error("failed to read Secret {name}")]
    ReadSecret { name: String, source: kube::Error },
    #[error("failed to write Secret {name}")]
    WriteSecret { name: String, source: kube::Error },
    #[error("failed to load the certificate of Secret {name}")]
    Load { name: String, source: CertificateError },
    #[error("failed to make a serving certificate")]
    Issue(#[source] rcgen::Error),
    #[error(transparent)]
    Registration(#[from] RegistrationError),
    #[error("failed to write APIService {name}: it changed each time")]
    Contended { name: String },
}

pub struct SelfManaged {
    /// Name and namespace of the Service that the certificate is for.
    service: (String, String),
    secrets: Api<Secret>,
    registration: Registration,
    certificate: Arc<ServingCertificate>,
    clock: Clock,
}

impl SelfManaged {
    pub fn new(
        client: Client,
        registration: Registration,
        certificate: Arc<ServingCertificate>,
        clock: Clock,
    ) -> Self {
        let service = registration.service();
        Self {
            secrets: Api::namespaced(client, &service.namespace),
            service: (service.name.clone(), service.namespace.clone()),
            registration,
            certificate,
            clock,
        }
    }

    /// Keeps certificate and APIService right, for ever.
    pub async fn keep(&self) {
        let mut last = None;
        loop {
            let reported = self.tick().await.err().map(|error| chain(&error));
            if reported != last {
                if let Some(error) = &reported {
                    tracing::error!(
                        error,
                        "the serving certificate or the APIService is not as it should be"
                    );
                } else {
                    tracing::info!("serving certificate and APIService are as they should be");
                }
            }
            sleep(if reported.is_some() { AGAIN } else { EVERY }).await;
            last = reported;
        }
    }

    /// One pass: read, decide, at most one write of the Secret, load, make the authorities known.
    pub async fn tick(&self) -> Result<(), SelfManagedError> {
        let mut registered = self.registration.observe().await;
        let published = registered.as_ref().ok().and_then(|registered| registered.ca_bundle());
        let stored = self.apply_rotation(published).await?;
        let key = certified_key(stored.current.chain.as_bytes(), stored.current.key.as_bytes())
            .map_err(|source| SelfManagedError::Load { name: self.secret_name(), source })?;
        self.certificate.set(key);
        for _ in 0..ATTEMPTS {
            if self.registration.apply(&registered?, &stored.bundle).await? != Written::Conflict {
                return Ok(());
            }
            registered = self.registration.observe().await;
        }
        Err(SelfManagedError::Contended { name: api_service_name() })
    }

    async fn apply_rotation(&self, published: Option<&[u8]>) -> Result<Stored, SelfManagedError> {
        let name = self.secret_name();
        let found = self
            .secrets
            .get_opt(&name)
            .await
            .map_err(|source| SelfManagedError::ReadSecret { name: name.clone(), source })?;
        let stored = found.as_ref().map(read_secret);
        let (service, namespace) = &self.service;
        let service_names = service_names(service, namespace);
        let now = self.clock.now();
        let step = rotation::plan(stored.as_ref(), &service_names, published, now);
        let issued = match step {
            Step::Create | Step::Stage => Some(issue(&service_names, now).map_err(SelfManagedError::Issue)?),
            Step::Keep | Step::Promote => None,
        };
        let Some(advanced) = rotation::advance(stored.as_ref(), step, || issued, now) else {
            return Ok(stored.unwrap_or_default());
        };
        let secret = build_secret(namespace, &name, found.as_ref(), &advanced);
        let written = match found {
            None => self.secrets.create(&PostParams::default(), &secret).await,
            Some(_) => self.secrets.replace(&name, &PostParams::default(), &secret).await,
        };
        match written {
            Ok(_) => {
                tracing::info!(?step, secret = name, "rotated the serving certificate");
                Ok(advanced)
            }
            // Another replica was first: what it wrote is ours.
            Err(kube::Error::Api(status)) if status.code == 409 => self
                .secrets
                .get(&name)
                .await
                .map(|secret| read_secret(&secret))
                .map_err(|source| SelfManagedError::ReadSecret { name, source }),
            Err(source) => Err(SelfManagedError::WriteSecret { name, source }),
        }
    }

    fn secret_name(&self) -> String {
        format!("{}-serving-cert", self.service.0)
    }
}

fn read_secret(secret: &Secret) -> Stored {
    let text = |key: &str| {
        secret
            .data
            .as_ref()
            .and_then(|data| data.get(key))
            .and_then(|value| String::from_utf8(value.0.clone()).ok())
    };
    Stored {
        current: Pair {
            chain: text("tls.crt").unwrap_or_default(),
            key: text("tls.key").unwrap_or_default(),
        },
        next: text("next.crt").zip(text("next.key")).map(|(chain, key)| Pair { chain, key }),
        bundle: text("ca.crt").unwrap_or_default(),
    }
}

fn build_secret(namespace: &str, name: &str, found: Option<&Secret>, stored: &Stored) -> Secret {
    let mut data = BTreeMap::from([
        ("tls.crt", &stored.current.chain),
        ("tls.key", &stored.current.key),
        ("ca.crt", &stored.bundle),
    ]);
    if let Some(next) = &stored.next {
        data.insert("next.crt", &next.chain);
        data.insert("next.key", &next.key);
    }
    Secret {
        metadata: match found {
            Some(found) => ObjectMeta { managed_fields: None, ..found.metadata.clone() },
            None => ObjectMeta {
                name: Some(name.to_owned()),
                namespace: Some(namespace.to_owned()),
                ..ObjectMeta::default()
            },
        },
        type_: Some("kubernetes.io/tls".to_owned()),
        data: Some(
            data.into_iter()
                .map(|(key, text)| (key.to_owned(), ByteString(text.as_bytes().to_vec())))
                .collect(),
        ),
        ..Secret::default()
    }
}

#[cfg(test)]
mod tests;
