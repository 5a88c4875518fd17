//! The client side of one TLS connection: the certificates it presented, judged anew whenever the trust changes.
//!
//! A connection from kube-apiserver lives for days, so a verdict from the handshake would outlive the rotation of a
//! certificate authority.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rustls::pki_types::{CertificateDer, UnixTime};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{AuthConfig, Identity};

/// Certificates expire while a connection lives, so a verdict is not kept longer than this.
const VERDICT_LIFETIME: Duration = Duration::from_secs(30);

/// One connection's client.
pub struct Peer {
    address: IpAddr,
    chain: Vec<CertificateDer<'static>>,
    judged: Mutex<Option<Judged>>,
}

struct Judged {
    by: Arc<AuthConfig>,
    at: Instant,
    verdict: Verdict,
}

/// What the presented chain is good for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    pub is_front_proxy: bool,
    pub client: Option<Identity>,
}

impl Peer {
    /// `chain`: leaf first, as presented; empty when the client presented none.
    pub fn new(address: IpAddr, chain: Vec<CertificateDer<'static>>) -> Self {
        Self { address, chain, judged: Mutex::default() }
    }

    pub fn address(&self) -> IpAddr {
        self.address
    }

    pub fn presented_certificate(&self) -> bool {
        !self.chain.is_empty()
    }

    pub(super) fn verdict(&self, config: &Arc<AuthConfig>) -> Verdict {
        if self.chain.is_empty() {
            return Verdict::default();
        }
        let mut judged = self.judged.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(judged) = judged.as_ref()
            && Arc::ptr_eq(&judged.by, config)
            && judged.at.elapsed() < VERDICT_LIFETIME
        {
            return judged.verdict.clone();
        }
        let verdict = judge(&self.chain, config);
        *judged = Some(Judged { by: config.clone(), at: Instant::now(), verdict: verdict.clone() });
        verdict
    }
}

fn judge(chain: &[CertificateDer<'_>], config: &AuthConfig) -> Verdict {
    let Some((name, organizations)) = chain.first().and_then(subject) else { return Verdict::default() };
    let now = UnixTime::now();
    Verdict {
        is_front_proxy: config.is_front_proxy(chain, name.as_deref(), now),
        client: name
            .filter(|_| config.is_client(chain, now))
            .map(|name| Identity::new(name, None, organizations, std::collections::BTreeMap::new())),
    }
}

/// Common name and organizations: Kubernetes' user and groups.
fn subject(leaf: &CertificateDer<'_>) -> Option<(Option<String>, Vec<String>)> {
    let (_, certificate) = X509Certificate::from_der(leaf).ok()?;
    let subject = certificate.subject();
    let name = subject.iter_common_name().last().and_then(|name| name.as_str().ok());
    let organizations =
        subject.iter_organization().filter_map(|name| name.as_str().ok()).map(str::to_owned).collect();
    Some((name.filter(|name| !name.is_empty()).map(str::to_owned), organizations))
}
