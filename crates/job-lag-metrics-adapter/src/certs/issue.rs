//! Makes a serving certificate with a certificate authority of its own, for clusters without cert-manager.
//!
//! The authority signs this one certificate and its key is thrown away: trust in it can never mean more than trust
//! in that one certificate.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose,
};

/// Renewal begins when a third of it is left.
pub const LIFETIME: Duration = Duration::from_hours(90 * 24);
/// Certificates begin this long before they are made, for clients whose clock is late.
pub const BACKDATE: Duration = Duration::from_hours(1);

/// A serving certificate and the authority that signed it, all in PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Issued {
    /// Leaf, then authority.
    pub chain: String,
    pub key: String,
    pub authority: String,
}

/// The names under which kube-apiserver and people inside the cluster reach a Service.
pub fn service_names(service: &str, namespace: &str) -> Vec<String> {
    vec![
        format!("{service}.{namespace}.svc"),
        format!("{service}.{namespace}.svc.cluster.local"),
        format!("{service}.{namespace}"),
        service.to_owned(),
    ]
}

pub fn issue(names: &[String], now: Timestamp) -> Result<Issued, rcgen::Error> {
    let now = SystemTime::from(now);
    let (not_before, not_after) = (now - BACKDATE, now + LIFETIME);

    let mut authority = CertificateParams::new(Vec::new())?;
    authority.distinguished_name = common_name("job-lag-metrics-adapter authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    authority.not_before = not_before.into();
    authority.not_after = not_after.into();
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;

    let key = KeyPair::generate()?;
    let mut leaf = CertificateParams::new(names.to_vec())?;
    leaf.distinguished_name = common_name("job-lag-metrics-adapter");
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.use_authority_key_identifier_extension = true;
    leaf.not_before = not_before.into();
    leaf.not_after = not_after.into();
    let leaf = leaf.signed_by(&key, &authority)?;

    let authority = authority.pem();
    Ok(Issued { chain: format!("{}{authority}", leaf.pem()), key: key.serialize_pem(), authority })
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}
