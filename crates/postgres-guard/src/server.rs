//! The way from the guard to the server.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::{Patience, Protection};

/// `SSLRequest` of Postgres' protocol.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
const RETRY_INTERVAL: Duration = Duration::from_millis(200);

/// A server, as the options name it.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: Tls,
    pub(crate) patience: Patience,
}

/// Whether TLS is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tls {
    Off,
    Preferred,
    Required,
}

pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    pub(crate) const fn protection(&self) -> Protection {
        match self {
            Self::Plain(_) => Protection::Plain,
            Self::Tls(_) => Protection::Encrypted,
        }
    }
}

/// Why the server was not reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    Io(ErrorKind),
    NoTls,
    Protocol,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error.kind())
    }
}

impl From<Failure> for sqlx::Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Io(kind) => Self::Io(kind.into()),
            Failure::NoTls => Self::Tls("the server offers no TLS".into()),
            Failure::Protocol => Self::Protocol("unexpected answer to SSLRequest".to_owned()),
        }
    }
}

impl Server {
    pub(crate) async fn connect(&self) -> Result<Stream, Failure> {
        loop {
            match self.try_connect().await {
                Err(Failure::Io(ErrorKind::ConnectionRefused)) if self.patience == Patience::UntilGivenUp => {
                    tokio::time::sleep(RETRY_INTERVAL).await;
                }
                reached => return reached,
            }
        }
    }

    async fn try_connect(&self) -> Result<Stream, Failure> {
        let mut stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        if self.tls == Tls::Off {
            return Ok(Stream::Plain(stream));
        }
        stream.write_all(&SSL_REQUEST).await?;
        match stream.read_u8().await? {
            b'S' => {}
            b'N' if self.tls == Tls::Preferred => return Ok(Stream::Plain(stream)),
            b'N' => return Err(Failure::NoTls),
            _ => return Err(Failure::Protocol),
        }
        let name =
            ServerName::try_from(self.host.clone()).map_err(|_| Failure::Io(ErrorKind::InvalidData))?;
        let connector = TlsConnector::from(Arc::new(any_certificate()));
        Ok(Stream::Tls(Box::new(connector.connect(name, stream).await?)))
    }
}

/// The modes that lead here ask for TLS without a look at the certificate.
fn any_certificate() -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(AnyCertificate(Arc::clone(&provider)));
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("should support the default versions of TLS: the provider is ring's")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth()
}

/// The server must at least have the key of the certificate that it shows.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
