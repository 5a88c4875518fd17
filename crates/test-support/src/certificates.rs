//! A certificate authority for tests, and the certificates that it signs. Keys are ECDSA P-256; no certificate expires
//! during a test.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

/// A self-signed authority.
pub struct TestCa {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate with its key.
#[derive(Clone)]
pub struct TestCertificate {
    /// The certificate alone, PEM.
    pub certificate_pem: String,
    /// The key in PKCS#8, PEM.
    pub key_pem: String,
}

impl TestCa {
    /// An authority with this common name.
    pub fn new(common_name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, generate_key());
        Self { issuer: issuer.expect("a self-signed authority should be valid") }
    }

    /// The authority's certificate, PEM.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A server's certificate for these DNS names and IP addresses.
    pub fn server(&self, names: &[&str]) -> TestCertificate {
        self.issue(names[0], None, names, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A client's certificate: Kubernetes reads the common name as the user and the organization as its group.
    pub fn client(&self, common_name: &str, organization: Option<&str>) -> TestCertificate {
        self.issue(common_name, organization, &[], ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn issue(
        &self,
        common_name: &str,
        organization: Option<&str>,
        names: &[&str],
        usage: ExtendedKeyUsagePurpose,
    ) -> TestCertificate {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("the names should be valid");
        params.distinguished_name.push(DnType::CommonName, common_name);
        if let Some(organization) = organization {
            params.distinguished_name.push(DnType::OrganizationName, organization);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        let key = generate_key();
        let certificate = params.signed_by(&key, &self.issuer).expect("the certificate should be valid");
        TestCertificate { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() }
    }
}

pub(crate) fn generate_key() -> KeyPair {
    KeyPair::generate().expect("a P-256 key should be made")
}
