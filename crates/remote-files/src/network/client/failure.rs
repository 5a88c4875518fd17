//! What went wrong between us and a host, in our words.

use std::error::Error as StdError;
use std::io;

use rustls::CertificateError;

use crate::{Error, ErrorKind};

pub(super) fn timed_out(host: &str) -> Error {
    Error::new(ErrorKind::TimedOut, format!("host {host} did not answer in time"))
}

pub(super) fn describe(host: &str, error: &reqwest::Error) -> Error {
    if error.is_timeout() {
        return timed_out(host);
    }
    match tls_error(error) {
        Some(rustls::Error::InvalidCertificate(refusal)) => Error::new(
            ErrorKind::CertificateRefused,
            format!(
                "the certificate of host {host} is not trusted: {}; put the authority that signs it into key ca.crt of the Secret",
                name_of(refusal)
            ),
        ),
        Some(_) => Error::new(ErrorKind::Unreachable, format!("no TLS connection with host {host}")),
        None if error.is_connect() => {
            Error::new(ErrorKind::Unreachable, format!("host {host} cannot be connected to"))
        }
        None => Error::new(ErrorKind::Unreachable, format!("the connection with host {host} broke off")),
    }
}

/// Names in a certificate are the host's words, and are left out.
fn name_of(refusal: &CertificateError) -> &'static str {
    match refusal {
        CertificateError::UnknownIssuer => "its issuer is unknown",
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "it is not valid yet",
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is for another name"
        }
        CertificateError::Revoked => "it is revoked",
        _ => "it is not acceptable",
    }
}

fn tls_error(error: &reqwest::Error) -> Option<&rustls::Error> {
    let mut next: Option<&(dyn StdError + 'static)> = error.source();
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        // An I/O error's source is that of the error in it, so it would be passed over.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = inner.map(|inner| inner as &(dyn StdError + 'static)).or_else(|| error.source());
    }
    None
}
