//! A real S3 server in this process, with TLS and credentials, on a folder.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use test_support::certificates::TestCa;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::World;

pub(crate) const BUCKET: &str = "backups";
const ACCESS_KEY: &str = "AKIATEST";
const SECRET_KEY: &str = "secret-of-this-test";

/// How the server differs from one that works.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct S3Options {
    pub(crate) plain: bool,
    /// It takes no time of the client for right.
    pub(crate) other_clock: bool,
}

pub(crate) struct S3 {
    pub(crate) endpoint: String,
    pub(crate) root: PathBuf,
}

impl World {
    pub(crate) async fn s3(&self, options: S3Options) -> S3 {
        let root = self.path("s3");
        std::fs::create_dir_all(root.join(BUCKET)).expect("a bucket");
        let mut service = S3ServiceBuilder::new(FileSystem::new(&root).expect("a file system"));
        service.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        if options.other_clock {
            let mut config = S3Config::default();
            config.presigned_url_max_skew_time_secs = 0;
            service.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
        }
        let service = service.build();
        let ca = TestCa::new("s3-test");
        let certificate = ca.server(&["localhost", "127.0.0.1"]);
        self.write("s3-ca.crt", &ca.pem());
        self.write("s3-id", ACCESS_KEY);
        self.write("s3-secret", &format!("{SECRET_KEY}\n"));
        let chain =
            CertificateDer::from_pem_slice(certificate.certificate_pem.as_bytes()).expect("a certificate");
        let key = PrivateKeyDer::from_pem_slice(certificate.key_pem.as_bytes()).expect("a key");
        let tls = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![chain], key);
        let acceptor = TlsAcceptor::from(Arc::new(tls.expect("a server's settings")));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
        let port = listener.local_addr().expect("has an address").port();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (service, acceptor) = (service.clone(), acceptor.clone());
                tokio::spawn(async move {
                    let server = Builder::new(TokioExecutor::new());
                    if options.plain {
                        let _ = server.serve_connection(TokioIo::new(socket), service).await;
                    } else if let Ok(stream) = acceptor.accept(socket).await {
                        let _ = server.serve_connection(TokioIo::new(stream), service).await;
                    }
                });
            }
        });
        let scheme = if options.plain { "http" } else { "https" };
        S3 { endpoint: format!("{scheme}://localhost:{port}"), root }
    }

    /// The agent's arguments for a backup in the bucket.
    pub(crate) fn of_s3(&self, s3: &S3, id: &str) -> Vec<OsString> {
        [
            "--backup-id".into(),
            id.into(),
            "--destination".into(),
            format!("s3://{BUCKET}/prod/eu").into(),
            "--s3-endpoint".into(),
            s3.endpoint.clone().into(),
            "--s3-force-path-style".into(),
            "--s3-ca-file".into(),
            self.path("s3-ca.crt").into(),
            "--s3-access-key-id-file".into(),
            self.path("s3-id").into(),
            // As a Secret without that key is mounted.
            "--s3-session-token-file".into(),
            "/no/such/token".into(),
            "--s3-secret-access-key-file".into(),
            self.path("s3-secret").into(),
        ]
        .into()
    }
}
