//! Rotation of the self-managed certificate by overlap, as a pure decision over what the Secret and the APIService
//! hold. First the new authority is trusted beside the old one, then the new certificate is served: at no moment
//! does kube-apiserver meet a certificate that it does not trust yet.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::issue::{BACKDATE, Issued, LIFETIME};

/// How long a new authority is trusted before its certificate is served: kube-apiserver and the other replicas must
/// have noticed.
pub const OVERLAP: Duration = Duration::from_mins(5);

/// What the Secret holds.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Stored {
    pub current: Pair,
    /// The certificate that is served next, while its authority is being made known.
    pub next: Option<Pair>,
    /// Every authority to trust.
    pub bundle: String,
}

/// A chain (leaf, then authority) and its key, in PEM.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Pair {
    pub chain: String,
    pub key: String,
}

/// What to do with the Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Keep,
    /// There is no usable certificate: make one and serve it at once.
    Create,
    /// Make the next certificate and trust its authority.
    Stage,
    /// Serve the next certificate.
    Promote,
}

/// Decides. `published` is the `caBundle` of the APIService, if it is known.
pub fn plan(stored: Option<&Stored>, names: &[String], published: Option<&[u8]>, now: Timestamp) -> Step {
    let Some(stored) = stored else { return Step::Create };
    let Some(current) = Leaf::read(&stored.current) else { return Step::Create };
    if current.not_after <= now || !current.covers(names) {
        return Step::Create;
    }
    match &stored.next {
        Some(next) => match Leaf::read(next) {
            Some(leaf) if leaf.covers(names) => {
                let known = published.is_some_and(|bundle| contains_all(bundle, &authorities(next)));
                let age = now.duration_since(leaf.not_before) - as_signed(BACKDATE);
                if known && age >= as_signed(OVERLAP) { Step::Promote } else { Step::Keep }
            }
            _ => Step::Stage,
        },
        None if current.not_after.duration_since(now) < as_signed(LIFETIME / 3) => Step::Stage,
        None => Step::Keep,
    }
}

/// The Secret's content after a step; `issued` is a certificate made for `Create` and `Stage`.
pub fn advance(
    stored: Option<&Stored>,
    step: Step,
    issued: impl FnOnce() -> Option<Issued>,
    now: Timestamp,
) -> Option<Stored> {
    match (step, stored) {
        (Step::Keep, _) | (Step::Promote | Step::Stage, None) => None,
        (Step::Create, _) => {
            let issued = issued()?;
            Some(Stored {
                bundle: issued.authority,
                current: Pair { chain: issued.chain, key: issued.key },
                next: None,
            })
        }
        (Step::Stage, Some(stored)) => {
            let issued = issued()?;
            let mut bundle = unexpired(&stored.bundle, now);
            bundle.push_str(&issued.authority);
            Some(Stored {
                current: stored.current.clone(),
                next: Some(Pair { chain: issued.chain, key: issued.key }),
                bundle,
            })
        }
        (Step::Promote, Some(stored)) => {
            let current = stored.next.clone()?;
            Some(Stored { current, next: None, bundle: stored.bundle.clone() })
        }
    }
}

struct Leaf {
    not_before: Timestamp,
    not_after: Timestamp,
    names: Vec<String>,
}

impl Leaf {
    fn read(pair: &Pair) -> Option<Self> {
        super::certified_key(pair.chain.as_bytes(), pair.key.as_bytes()).ok()?;
        let der = CertificateDer::from_pem_slice(pair.chain.as_bytes()).ok()?;
        let (_, certificate) = X509Certificate::from_der(&der).ok()?;
        let names = certificate
            .subject_alternative_name()
            .ok()
            .flatten()
            .map(|extension| extension.value.general_names.iter().filter_map(dns_name).collect())
            .unwrap_or_default();
        let (not_before, not_after) = validity(&certificate)?;
        Some(Self { not_before, not_after, names })
    }

    fn covers(&self, names: &[String]) -> bool {
        names.iter().all(|name| self.names.contains(name))
    }
}

fn dns_name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    }
}

fn validity(certificate: &X509Certificate<'_>) -> Option<(Timestamp, Timestamp)> {
    let validity = certificate.validity();
    Some((
        Timestamp::from_second(validity.not_before.timestamp()).ok()?,
        Timestamp::from_second(validity.not_after.timestamp()).ok()?,
    ))
}

/// The certificates of a chain behind its leaf.
fn authorities(pair: &Pair) -> Vec<CertificateDer<'static>> {
    certificates(pair.chain.as_bytes()).skip(1).collect()
}

fn contains_all(bundle: &[u8], wanted: &[CertificateDer<'static>]) -> bool {
    let trusted: Vec<_> = certificates(bundle).collect();
    !wanted.is_empty() && wanted.iter().all(|authority| trusted.contains(authority))
}

fn unexpired(bundle: &str, now: Timestamp) -> String {
    let mut kept = String::new();
    for block in bundle.split_inclusive("-----END CERTIFICATE-----\n") {
        let Ok(der) = CertificateDer::from_pem_slice(block.as_bytes()) else { continue };
        let expired = X509Certificate::from_der(&der)
            .ok()
            .and_then(|(_, certificate)| validity(&certificate))
            .is_none_or(|(_, not_after)| not_after <= now);
        if !expired {
            kept.push_str(block);
        }
    }
    kept
}

fn certificates(pem: &[u8]) -> impl Iterator<Item = CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem).filter_map(Result::ok)
}

fn as_signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
mod tests;
