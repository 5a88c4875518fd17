//! A real git server: `git http-backend` behind TLS on a free port of 127.0.0.1, with the faults that a test asks for.
//!
//! ```no_run
//! # async fn example() {
//! use test_support::git_server::GitServer;
//!
//! let server = GitServer::start().await;
//! let orders = server.repository("orders");
//! let commit = orders.commit("main", &[("bpmn/order.bpmn", b"<definitions/>")]);
//! let url = server.url("orders");
//! # }
//! ```

mod backend;
mod repository;

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use crate::certificates::{TestCa, TestCertificate};
pub use repository::GitRepository;

type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// Part of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// `GET …/info/refs`.
    Greeting,
    /// `POST …/git-upload-pack` with `ls-refs`.
    Refs,
    /// `POST …/git-upload-pack` with `fetch`.
    Fetch,
    /// Anything else, a push for instance.
    Other,
}

/// What the server does instead of what it should, at a [`Stage`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Answers with this status and some words.
    Status(u16),
    /// Redirects there.
    Redirect(String),
    /// Accepts the request and never answers.
    Silence,
    /// Sends this many bytes of the right answer, then no more, and keeps the connection.
    Hang(usize),
    /// Sends this many bytes of the right answer, then ends it as if it were whole.
    Truncate(usize),
    /// Sends the right answer, this many bytes at a time with a pause in between.
    Drip(usize, Duration),
    /// Sends these bytes as the answer.
    Bytes(Vec<u8>),
    /// Answers with this status and this text.
    Answer(u16, String),
    /// Answers with this status and these bytes.
    Body(u16, Vec<u8>),
}

/// A request that the server got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    /// Its path.
    pub path: String,
    /// What was asked for.
    pub stage: Stage,
    /// Value of the header `Authorization`.
    pub authorization: Option<String>,
    /// Bytes of the answer's body, as far as the server knows them before it sends them.
    pub answered: usize,
}

/// A server that is running; dropping it ends it and removes its repositories.
pub struct GitServer {
    scheme: &'static str,
    address: SocketAddr,
    authority: String,
    folder: tempfile::TempDir,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    visits: Vec<Visit>,
    faults: Vec<(Stage, Fault)>,
    /// Beginnings of paths, and where they lead.
    redirects: Vec<(String, String)>,
    /// Whether the client's wish for a protocol version is ignored.
    ignores_version: bool,
    /// What `Authorization` must be.
    authorization: Option<String>,
}

impl Drop for GitServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl GitServer {
    /// Starts a server without repositories, whose certificate is for `localhost` and 127.0.0.1.
    pub async fn start() -> Self {
        let authority = TestCa::new("authority of the git server");
        Self::start_with(&authority.server(&["localhost", "127.0.0.1"]), authority.pem()).await
    }

    /// Starts a server without TLS, as services in a cluster are.
    pub async fn start_in_clear_text() -> Self {
        Self::start_on(None, String::new()).await
    }

    /// Starts a server with a certificate of the caller's.
    pub async fn start_with(certificate: &TestCertificate, authority: String) -> Self {
        Self::start_on(Some(build_acceptor(certificate)), authority).await
    }

    async fn start_on(acceptor: Option<TlsAcceptor>, authority: String) -> Self {
        let folder = tempfile::tempdir().expect("a folder for repositories");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let state: Arc<Mutex<State>> = Arc::default();
        let scheme = if acceptor.is_some() { "https" } else { "http" };
        let task = tokio::spawn(serve(listener, acceptor, folder.path().to_owned().into(), state.clone()));
        Self { scheme, address, authority, folder, state, task }
    }

    /// The authority of its certificate, PEM.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// URL of a repository.
    pub fn url(&self, repository: &str) -> String {
        format!("{}://localhost:{}/{repository}", self.scheme, self.address.port())
    }

    /// Makes a repository that gives parts of commits, like the large forges do.
    pub fn repository(&self, name: &str) -> GitRepository {
        GitRepository::init(self.folder.path(), name, &[("uploadpack.allowFilter", "true")])
    }

    /// Makes a repository with git's own defaults: no filters.
    pub fn plain_repository(&self, name: &str) -> GitRepository {
        GitRepository::init(self.folder.path(), name, &[])
    }

    /// From now on only requests with this value of `Authorization` are served.
    pub fn require(&self, authorization: &str) {
        self.state().authorization = Some(authorization.to_owned());
    }

    /// From now on the server speaks the first version of the protocol, whatever version a client asks for.
    pub fn ignore_protocol_version(&self) {
        self.state().ignores_version = true;
    }

    /// From now on every request of this stage gets the fault.
    pub fn set_fault(&self, stage: Stage, fault: Fault) {
        self.state().faults.push((stage, fault));
    }

    /// From now on what begins with `from` is redirected to the same under `to`, within this host.
    pub fn redirect(&self, from: &str, to: &str) {
        self.state().redirects.push((from.to_owned(), to.to_owned()));
    }

    /// From now on everything is served as it should be.
    pub fn heal(&self) {
        self.state().faults.clear();
    }

    /// The requests since the last call.
    pub fn take_visits(&self) -> Vec<Visit> {
        std::mem::take(&mut self.state().visits)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn build_acceptor(certificate: &TestCertificate) -> TlsAcceptor {
    let chain = CertificateDer::pem_slice_iter(certificate.certificate_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(certificate.key_pem.as_bytes()).expect("a key");
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key);
    TlsAcceptor::from(Arc::new(config.expect("a certificate with its key")))
}

async fn serve(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    root: Arc<Path>,
    state: Arc<Mutex<State>>,
) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (acceptor, root, state) = (acceptor.clone(), root.clone(), state.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, root.clone(), state.clone()));
            let connections = auto::Builder::new(TokioExecutor::new());
            // A client that goes away in the middle is what some tests are about.
            let _ = match acceptor {
                Some(acceptor) => {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    connections.serve_connection(TokioIo::new(stream), service).await
                }
                None => connections.serve_connection(TokioIo::new(stream), service).await,
            };
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    root: Arc<Path>,
    shared: Arc<Mutex<State>>,
) -> Result<Response<Body>, std::io::Error> {
    let (mut head, body) = request.into_parts();
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    let stage = stage_of(head.uri.path(), &body);
    let authorization =
        head.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (fault, is_refused, moved) = {
        let orders = shared.lock().unwrap_or_else(PoisonError::into_inner);
        if orders.ignores_version {
            head.headers.remove("git-protocol");
        }
        let fault = orders.faults.iter().rev().find(|(at, _)| *at == stage).map(|(_, fault)| fault.clone());
        let moved = orders.redirects.iter().find_map(|(from, to)| {
            let rest = head.uri.path_and_query()?.as_str().strip_prefix(from.as_str())?;
            Some(Fault::Redirect(format!("{to}{rest}")))
        });
        (fault, orders.authorization.is_some() && orders.authorization != authorization, moved)
    };
    let path = head.uri.path().to_owned();
    let right = async {
        if is_refused {
            return Ok(plain(StatusCode::UNAUTHORIZED, "words of the host"));
        }
        backend::run(&root, &head, &body).await
    };
    let (answer, answered) = faulty(moved.or(fault), right).await?;
    let visit = Visit { path, stage, authorization, answered };
    shared.lock().unwrap_or_else(PoisonError::into_inner).visits.push(visit);
    Ok(answer)
}

fn stage_of(path: &str, body: &[u8]) -> Stage {
    let has = |words: &[u8]| body.windows(words.len()).any(|window| window == words);
    if path.ends_with("/info/refs") {
        Stage::Greeting
    } else if has(b"command=ls-refs") {
        Stage::Refs
    } else if path.ends_with("/git-upload-pack") {
        Stage::Fetch
    } else {
        Stage::Other
    }
}

/// The answer with its fault, and the bytes of its body.
async fn faulty(
    fault: Option<Fault>,
    right: impl Future<Output = std::io::Result<Response<Vec<u8>>>>,
) -> std::io::Result<(Response<Body>, usize)> {
    let answer = match &fault {
        Some(Fault::Status(status)) => {
            plain(StatusCode::from_u16(*status).map_err(std::io::Error::other)?, "words of the host")
        }
        Some(Fault::Answer(status, text)) => {
            plain(StatusCode::from_u16(*status).map_err(std::io::Error::other)?, text)
        }
        Some(Fault::Body(status, bytes)) => {
            let mut answer = Response::new(bytes.clone());
            *answer.status_mut() = StatusCode::from_u16(*status).map_err(std::io::Error::other)?;
            answer
        }
        Some(Fault::Redirect(target)) => {
            let mut answer = plain(StatusCode::FOUND, "words of the host");
            answer.headers_mut().insert(header::LOCATION, target.parse().map_err(std::io::Error::other)?);
            answer
        }
        Some(Fault::Silence) => std::future::pending().await,
        _ => right.await?,
    };
    let (head, body) = answer.into_parts();
    let body = match &fault {
        Some(Fault::Bytes(bytes)) => bytes.clone(),
        _ => body,
    };
    let answered = body.len();
    let first = |bytes: usize| body[..bytes.min(answered)].to_vec();
    let body = match fault {
        Some(Fault::Hang(bytes)) => pieces(&first(bytes), usize::MAX, Duration::ZERO, true),
        Some(Fault::Truncate(bytes)) => pieces(&first(bytes), usize::MAX, Duration::ZERO, false),
        Some(Fault::Drip(bytes, pause)) => pieces(&body, bytes, pause, false),
        _ => pieces(&body, usize::MAX, Duration::ZERO, false),
    };
    Ok((Response::from_parts(head, body), answered))
}

fn plain(status: StatusCode, words: &str) -> Response<Vec<u8>> {
    let mut answer = Response::new(words.as_bytes().to_vec());
    *answer.status_mut() = status;
    answer
}

/// `body` in pieces of `size` bytes; at its end the connection stays open, if `hangs`.
fn pieces(body: &[u8], size: usize, pause: Duration, hangs: bool) -> Body {
    let chunks: Vec<Bytes> = body.chunks(size).map(Bytes::copy_from_slice).collect();
    let stream = futures::stream::unfold(chunks.into_iter(), move |mut chunks| async move {
        tokio::time::sleep(pause).await;
        match chunks.next() {
            Some(chunk) => Some((Ok(Frame::data(chunk)), chunks)),
            None if hangs => std::future::pending().await,
            None => None,
        }
    });
    UnsyncBoxBody::new(StreamBody::new(stream.boxed()))
}
