//! The serving certificate, reloaded when its files change.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_util::sync::CancellationToken;

const CERTIFICATE_FILE: &str = "tls.crt";
const KEY_FILE: &str = "tls.key";
const INTERVAL: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("failed to read the certificate or key in {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: pem::Error,
    },
    #[error("the certificate and key in {} cannot be used together", path.display())]
    Unusable {
        path: PathBuf,
        #[source]
        source: rustls::Error,
    },
    #[error("no TLS provider is installed")]
    NoProvider,
}

#[derive(Debug)]
pub struct Certificate {
    directory: PathBuf,
    current: RwLock<Arc<CertifiedKey>>,
}

impl Certificate {
    pub fn load(directory: PathBuf) -> Result<Self, Error> {
        let current = RwLock::new(Arc::new(read(&directory)?));
        Ok(Self { directory, current })
    }

    /// HTTP/2 for gRPC, HTTP/1.1 for the JSON gateway.
    pub fn server_config(self: &Arc<Self>) -> ServerConfig {
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config
    }

    /// Reloads the files periodically until `stop`. If the pair is unusable, the former one stays in use: the two files
    /// of a mounted Secret change together, but files that are written by hand do not.
    pub async fn follow(&self, stop: &CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_some() {
            match read(&self.directory) {
                Ok(fresh) if fresh.cert != self.current().cert => {
                    *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
                    tracing::info!("serving certificate changed");
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(error = %error, "serving certificate is unusable"),
            }
        }
    }

    fn current(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

fn read(directory: &Path) -> Result<CertifiedKey, Error> {
    let failed = |source| Error::Read { path: directory.to_owned(), source };
    let chain = CertificateDer::pem_file_iter(directory.join(CERTIFICATE_FILE))
        .map_err(failed)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed)?;
    let key = PrivateKeyDer::from_pem_file(directory.join(KEY_FILE)).map_err(failed)?;
    let provider = CryptoProvider::get_default().ok_or(Error::NoProvider)?;
    CertifiedKey::from_der(chain, key, provider)
        .map_err(|source| Error::Unusable { path: directory.to_owned(), source })
}
