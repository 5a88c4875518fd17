//! An HTTP client for one host, which calls the addresses that were checked and no others.

mod failure;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{HeaderMap, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Method, StatusCode};
use tokio::time::{Instant, timeout_at};
use url::{Host, Url};

use super::AddressPolicy;
use crate::{Error, ErrorKind};
use failure::{describe, timed_out};

/// Redirects that are followed; forges send from a former name to the present one.
const MAX_REDIRECTS: usize = 3;
/// A host that does not even accept the connection in this time is away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Whose certificates are trusted.
#[derive(Clone, Debug, Default)]
pub enum TrustedCertificates {
    /// What this machine trusts.
    #[default]
    System,
    /// These authorities and no others.
    Only(Vec<Certificate>),
}

impl TrustedCertificates {
    /// The authorities of a PEM bundle.
    ///
    /// # Errors
    /// [`ErrorKind::CredentialsInvalid`] if it has none.
    pub fn only(pem: &[u8]) -> Result<Self, Error> {
        match Certificate::from_pem_bundle(pem) {
            Ok(certificates) if !certificates.is_empty() => Ok(Self::Only(certificates)),
            _ => Err(Error::new(
                ErrorKind::CredentialsInvalid,
                "ca.crt has no certificate; expected the PEM of the authorities that sign the host's certificate",
            )),
        }
    }
}

/// The host of a URL and its addresses, resolved once and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    host: String,
    addresses: Vec<SocketAddr>,
}

impl Endpoint {
    /// Resolves the host of `url`.
    ///
    /// # Errors
    /// [`ErrorKind::Unreachable`] if the name has no address, [`ErrorKind::AddressRefused`] if the policy refuses one of them,
    /// [`ErrorKind::TimedOut`].
    pub async fn resolve(url: &Url, policy: &AddressPolicy, deadline: Instant) -> Result<Self, Error> {
        let host = url.host_str().unwrap_or_default().to_owned();
        let port = url.port_or_known_default().unwrap_or(443);
        let addresses: Vec<SocketAddr> = match url.host() {
            Some(Host::Ipv4(address)) => vec![(address, port).into()],
            Some(Host::Ipv6(address)) => vec![(address, port).into()],
            Some(Host::Domain(name)) => timeout_at(deadline, tokio::net::lookup_host((name, port)))
                .await
                .map_err(|_| timed_out(&host))?
                .map(Iterator::collect)
                .unwrap_or_default(),
            None => Vec::new(),
        };
        if addresses.is_empty() {
            let message = format!("host {host} has no address: the name is wrong, or DNS does not answer");
            return Err(Error::new(ErrorKind::Unreachable, message));
        }
        let ips: Vec<IpAddr> = addresses.iter().map(SocketAddr::ip).collect();
        policy.check(&host, &ips)?;
        Ok(Self { host, addresses })
    }
}

/// One host, for a bounded time.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    host: String,
    deadline: Instant,
}

/// What a host answered. Its body is read piece by piece.
#[derive(Debug)]
pub struct Response {
    /// Where the answer came from, if not from where the request went.
    pub redirected: Option<Url>,
    /// Status of the last answer.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    body: reqwest::Response,
    host: String,
    deadline: Instant,
}

impl Client {
    /// A client that calls `endpoint` only, until `deadline`.
    ///
    /// # Errors
    /// [`ErrorKind::Local`] if TLS cannot be set up.
    pub fn new(endpoint: &Endpoint, trust: &TrustedCertificates, deadline: Instant) -> Result<Self, Error> {
        let mut builder = reqwest::Client::builder()
            // An environment variable must not lead around the policy.
            .no_proxy()
            .redirect(Policy::none())
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .resolve_to_addrs(&endpoint.host, &endpoint.addresses);
        if let TrustedCertificates::Only(certificates) = trust {
            builder = builder.tls_certs_only(certificates.iter().cloned());
        }
        let http = builder.build().map_err(|error| Error::local("the HTTP client", &error))?;
        Ok(Self { http, host: endpoint.host.clone(), deadline })
    }

    /// Sends a request. Redirects of a `GET` are followed within scheme, host and port of the URL.
    ///
    /// # Errors
    /// [`ErrorKind::Unreachable`], [`ErrorKind::TimedOut`], [`ErrorKind::CertificateRefused`], [`ErrorKind::RedirectRefused`].
    pub async fn send(
        &self,
        method: Method,
        url: Url,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<Response, Error> {
        let (mut url, mut redirected) = (url, None);
        for _ in 0..=MAX_REDIRECTS {
            let request =
                self.http.request(method.clone(), url.clone()).headers(headers.clone()).body(body.clone());
            let answer = timeout_at(self.deadline, request.send())
                .await
                .map_err(|_| timed_out(&self.host))?
                .map_err(|error| describe(&self.host, &error))?;
            if !answer.status().is_redirection() {
                return Ok(Response {
                    redirected,
                    status: answer.status(),
                    headers: answer.headers().clone(),
                    body: answer,
                    host: self.host.clone(),
                    deadline: self.deadline,
                });
            }
            let target = answer
                .headers()
                .get(LOCATION)
                .and_then(|location| location.to_str().ok())
                .and_then(|location| url.join(location).ok());
            url = match target {
                Some(target) if method == Method::GET && is_same_origin(&url, &target) => target,
                _ => return Err(self.redirect_refused()),
            };
            redirected = Some(url.clone());
        }
        Err(self.redirect_refused())
    }

    fn redirect_refused(&self) -> Error {
        Error::new(
            ErrorKind::RedirectRefused,
            format!(
                "host {} redirects to another host, or too often, and that is not followed; name the URL that it redirects to",
                self.host
            ),
        )
    }
}

/// Same scheme, host and port, and no user in the URL.
fn is_same_origin(from: &Url, to: &Url) -> bool {
    from.origin() == to.origin() && to.username().is_empty() && to.password().is_none()
}

impl Response {
    /// The next piece of the body; `None` at its end.
    ///
    /// # Errors
    /// [`ErrorKind::Unreachable`] if it breaks off, [`ErrorKind::TimedOut`].
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        timeout_at(self.deadline, self.body.chunk())
            .await
            .map_err(|_| timed_out(&self.host))?
            .map_err(|error| describe(&self.host, &error))
    }
}

#[cfg(test)]
mod tests;
