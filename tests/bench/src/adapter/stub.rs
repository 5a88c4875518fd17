//! The bare limit: the libraries that the adapter is built of (axum, hyper, rustls) answering every request with the same
//! bytes. No authentication, no authorization, no routes, no lag.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use test_support::certificates::TestCa;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio_rustls::TlsAcceptor;

use super::target::{Answer, Target};
use crate::local::Processes;
use crate::print::say;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Holds `tls.crt`, `tls.key`, `body` and `content-type`
    #[arg(long)]
    directory: PathBuf,
}

/// Ends the server when dropped.
pub(crate) struct Running {
    _child: Child,
    _directory: tempfile::TempDir,
}

/// Starts it as a process of its own, so that its processor time is counted apart.
pub(crate) async fn start(answer: &Answer) -> anyhow::Result<(Target, Running)> {
    let directory = tempfile::tempdir()?;
    let authority = TestCa::new("bench");
    let certificate = authority.server(&["localhost"]);
    let write = |name: &str, content: &[u8]| std::fs::write(directory.path().join(name), content);
    write("tls.crt", certificate.certificate_pem.as_bytes())?;
    write("tls.key", certificate.key_pem.as_bytes())?;
    write("body", &answer.body)?;
    write("content-type", answer.content_type.as_bytes())?;
    let mut child = Command::new(std::env::current_exe()?)
        .arg("stub")
        .arg("--directory")
        .arg(directory.path())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("starting the bare server")?;
    let stdout = child.stdout.take().context("the bare server has no standard output")?;
    let port = BufReader::new(stdout).lines().next_line().await?.unwrap_or_default();
    let port = port.parse().with_context(|| format!("the bare server said {port:?}, not its port"))?;
    let processes = Processes::one(child.id().context("the bare server ended")?);
    let target = Target::on_loopback("bare server", port, &authority.pem(), processes)?;
    Ok((target, Running { _child: child, _directory: directory }))
}

/// Serves until killed; says its port first.
pub(crate) async fn serve(options: &Options) -> anyhow::Result<()> {
    let file = |name: &str| options.directory.join(name);
    let body: &'static [u8] = std::fs::read(file("body"))?.leak();
    let content_type: &'static str = std::fs::read_to_string(file("content-type"))?.leak();
    let app = Router::new().fallback(move || async move { ([("content-type", content_type)], body) });
    let tls = TlsAcceptor::from(Arc::new(server_config(&file("tls.crt"), &file("tls.key"))?));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    say(&listener.local_addr()?.port().to_string());
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (tls, service) = (tls.clone(), TowerToHyperService::new(app.clone()));
        tokio::spawn(async move {
            let stream = TokioIo::new(tls.accept(stream).await?);
            http2::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await?;
            anyhow::Ok(())
        });
    }
}

fn server_config(certificate: &Path, key: &Path) -> anyhow::Result<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    let mut config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}
