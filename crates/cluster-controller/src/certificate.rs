//! Certificates: how long one is valid, and how new ones are made. No I/O but the system's randomness.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use x509_parser::extensions::GeneralName;
use x509_parser::pem::Pem;

/// An authority is valid for five years, so that its replacement is rare.
pub const AUTHORITY_LIFETIME: Duration = Duration::from_hours(5 * 365 * 24);
/// Certificates begin this long before they are made, for callers whose clock is late.
const BACKDATE: Duration = Duration::from_hours(1);

/// From when to when a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// When it was made.
    pub made: Timestamp,
    /// When it ends.
    pub end: Timestamp,
}

impl Lifetime {
    /// Of the first certificate in `pem`; `None` when there is none.
    #[must_use]
    pub fn of(pem: &[u8]) -> Option<Self> {
        let (pem, _) = Pem::read(std::io::Cursor::new(pem)).ok()?;
        let certificate = pem.parse_x509().ok()?;
        let validity = certificate.validity();
        let at = |time: x509_parser::time::ASN1Time| Timestamp::from_second(time.timestamp()).ok();
        Some(Self {
            made: at(validity.not_before)?.checked_add(BACKDATE).ok()?,
            end: at(validity.not_after)?,
        })
    }

    /// How long ago it was made.
    #[must_use]
    pub fn age(self, now: Timestamp) -> Duration {
        Duration::try_from(now.duration_since(self.made)).unwrap_or_default()
    }

    /// Two thirds are over, or all of it.
    #[must_use]
    pub fn is_due(self, now: Timestamp) -> bool {
        let whole = self.end.duration_since(self.made);
        now.duration_since(self.made) >= whole * 2 / 3
    }
}

/// DNS names and IP addresses that the first certificate in `pem` is made for; `None` when there is none, or when it holds
/// something else too.
#[must_use]
pub fn names_of(pem: &[u8]) -> Option<BTreeSet<String>> {
    let (pem, _) = Pem::read(std::io::Cursor::new(pem)).ok()?;
    let certificate = pem.parse_x509().ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(octets) => address_of(octets).map(|address| address.to_string()),
        _ => None,
    };
    names.value.general_names.iter().map(text).collect()
}

fn address_of(octets: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).ok()
}

/// A certificate and its key, both PEM. Never shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Issued {
    /// The certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Issued(redacted)")
    }
}

/// A new authority for the engine of one cluster. Its name carries the time, so that old and new differ in a bundle.
pub fn create_authority(cluster: &str, now: Timestamp) -> Result<Issued, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = common_name(&format!("{cluster} engine authority {}", now.as_second()));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_validity(&mut params, AUTHORITY_LIFETIME, now);
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok(Issued { certificate: certificate.pem(), key: key.serialize_pem() })
}

/// A server certificate for `names`, which are DNS names and IP addresses, signed by `authority`.
pub fn issue(
    authority: &Issued,
    names: &[String],
    lifetime: Duration,
    now: Timestamp,
) -> Result<Issued, rcgen::Error> {
    let issuer = Issuer::from_ca_cert_pem(&authority.certificate, KeyPair::from_pem(&authority.key)?)?;
    let mut params = CertificateParams::new(names.to_vec())?;
    params.distinguished_name = common_name("workflow-engine");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    set_validity(&mut params, lifetime, now);
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer)?;
    Ok(Issued { certificate: certificate.pem(), key: key.serialize_pem() })
}

fn set_validity(params: &mut CertificateParams, lifetime: Duration, now: Timestamp) {
    let now = SystemTime::from(now);
    params.not_before = (now - BACKDATE).into();
    params.not_after = (now + lifetime).into();
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

#[cfg(test)]
mod tests;
