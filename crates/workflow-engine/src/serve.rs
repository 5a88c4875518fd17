//! A serving process: its ports, its tasks, and its graceful shutdown.

pub mod connections;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;

use crate::args::{self, ServeArgs};
use crate::grpc::{Api, Authenticate, Credentials};
use crate::metrics::{Metrics, RefusedConnection};
use crate::node::Node;
use crate::release::{self, Defect};
use crate::{admin, gateway, grpc, tls};
use connections::{Connections, Limits, Placed};

/// Time for running calls to end at shutdown, after the drain. Both together must be shorter than the pod's termination
/// grace period.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Of a version that was made for a test.
const CRASH_AFTER: Duration = Duration::from_secs(1);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Detects dead clients, whose streams would hold leases.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_STREAMS_PER_CONNECTION: u32 = 1000;
/// Enough for a token and a few names.
const MAX_HEADER_BYTES: u32 = 16 * 1024;
/// Limit of streams that a client reset before they were accepted. More of them is an attack (rapid reset), and the
/// connection is closed.
const MAX_PENDING_RESETS: usize = 20;
/// Several clients may share one address (an Ingress, a NAT), each with a few connections.
const API: Limits = Limits { total: 4096, unauthenticated: 256, per_address: 512 };
/// Probes and scrapers have no token, so all of their connections are unauthenticated. When there are too many, the
/// newest ones are kept.
const ADMIN: Limits = Limits { total: 64, unauthenticated: 64, per_address: 64 };

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("failed to load the engine's tokens")]
    Credentials(#[source] grpc::CredentialsError),
    #[error("failed to load the serving certificate")]
    Certificate(#[source] tls::Error),
    #[error("failed to listen on {address}")]
    Listen {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("failed to build the reflection of the API")]
    Reflection(#[source] tonic_reflection::server::Error),
    #[error("failed to serve the API")]
    ServeApi(#[source] tonic::transport::Error),
    #[error("failed to serve probes and metrics")]
    ServeAdmin(#[source] io::Error),
    #[error("a part of the engine ended before its time")]
    EndedEarly,
    #[error("this version was made for a test: it ends soon after its start")]
    MadeToCrash,
}

/// Serves until `drain` is cancelled. From then on the node is not ready and activates no more jobs. Existing connections
/// get a GOAWAY; new connections are accepted for `drain_seconds`. After that, running calls get [`DRAIN_TIMEOUT`] to end.
pub async fn run(args: ServeArgs, drain: CancellationToken) -> Result<(), Error> {
    let (stop, delay) = (CancellationToken::new(), Duration::from_secs(args.drain_seconds));
    let metrics = Metrics::default();
    let credentials = Credentials::load(args.credentials_dir.clone()).map_err(Error::Credentials)?;
    let authenticate = Authenticate { credentials: Arc::new(credentials), metrics: metrics.clone() };
    let certificate = Arc::new(tls::Certificate::load(args.tls_dir.clone()).map_err(Error::Certificate)?);
    let api_listener = listen(args.grpc_address).await?;
    let admin_listener = listen(args.admin_address).await?;
    let id = args::node_id(args.node_id.as_deref());
    tracing::info!(node = id, api = %args.grpc_address, admin = %args.admin_address, "listening");
    let node = Arc::new(Node::new(id, args, metrics, drain.clone(), stop.clone()));

    let mut tasks = JoinSet::new();
    tasks.spawn({
        let (node, stop) = (Arc::clone(&node), stop.clone());
        // Its own metrics, which are not exported: the metrics of connections are about the API.
        let listener = AdminListener {
            listener: admin_listener,
            connections: Connections::new(ADMIN, Metrics::default()),
        };
        async move {
            axum::serve(listener, admin::router(node))
                .with_graceful_shutdown(async move { stop.cancelled().await })
                .await
                .map_err(Error::ServeAdmin)
        }
    });
    tasks.spawn({
        let acceptor = TlsAcceptor::from(Arc::new(certificate.server_config()));
        let (node, authenticate) = (Arc::clone(&node), authenticate.clone());
        let (drain, stop) = (drain.clone(), stop.clone());
        async move { serve_api(node, authenticate, api_listener, acceptor, drain, stop).await }
    });
    tasks.spawn({
        let (drain, stop) = (drain.clone(), stop.clone());
        async move {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = drain.cancelled() => {}
            }
            stop.run_until_cancelled(tokio::time::sleep(delay)).await;
            stop.cancel();
            Ok(())
        }
    });
    tasks.spawn({
        let stop = stop.clone();
        async move {
            certificate.follow(&stop).await;
            Ok(())
        }
    });
    tasks.spawn({
        let stop = stop.clone();
        async move {
            authenticate.credentials.follow(&stop).await;
            Ok(())
        }
    });
    if release::defect() == Some(Defect::Crashes) {
        tasks.spawn(async {
            tokio::time::sleep(CRASH_AFTER).await;
            Err(Error::MadeToCrash)
        });
    }
    tasks.spawn(async move {
        node.run().await;
        Ok(())
    });
    supervise(tasks, &stop).await
}

/// Waits for `stop`, or for the first task that ends before it, which is an error. Then all tasks that are left get
/// [`DRAIN_TIMEOUT`] to end.
async fn supervise(mut tasks: JoinSet<Result<(), Error>>, stop: &CancellationToken) -> Result<(), Error> {
    let early = tokio::select! {
        // Checked first, since all tasks end when it is cancelled.
        biased;
        () = stop.cancelled() => None,
        ended = tasks.join_next() => Some(ended),
    };
    stop.cancel();
    let ended = async {
        let mut first_error = Ok(());
        while let Some(ended) = tasks.join_next().await {
            if first_error.is_ok() {
                first_error = ended.unwrap_or(Err(Error::EndedEarly));
            }
        }
        first_error
    };
    let ended = tokio::time::timeout(DRAIN_TIMEOUT, ended).await;
    match early {
        Some(Some(Ok(Err(error)))) => Err(error),
        Some(_) => Err(Error::EndedEarly),
        None => ended.unwrap_or_else(|_| {
            tracing::warn!(
                "calls were still under way after {} s; they are cut off",
                DRAIN_TIMEOUT.as_secs()
            );
            Ok(())
        }),
    }
}

/// Binds the address. `[::]` includes IPv4; if the kernel has no IPv6, it falls back to `0.0.0.0`.
async fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    let bound = match TcpListener::bind(address).await {
        Err(error) if address.is_ipv6() && address.ip().is_unspecified() && !is_taken(&error) => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        bound => bound,
    };
    bound.map_err(|source| Error::Listen { address, source })
}

fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied)
}

/// Listener of the admin port, with limits of connections.
struct AdminListener {
    listener: TcpListener,
    connections: Connections,
}

impl axum::serve::Listener for AdminListener {
    type Io = Placed;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Placed, SocketAddr) {
        loop {
            let (stream, address) = axum::serve::Listener::accept(&mut self.listener).await;
            if let Some(place) = self.connections.admit(address.ip()) {
                return (Placed { stream, place }, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

async fn serve_api(
    node: Arc<Node>,
    authenticate: Authenticate,
    listener: TcpListener,
    acceptor: TlsAcceptor,
    drain: CancellationToken,
    stop: CancellationToken,
) -> Result<(), Error> {
    let metrics = node.metrics.clone();
    let api = Api { node };
    let mut routes = api.routes(&authenticate).map_err(Error::Reflection)?;
    let grpc = std::mem::take(routes.axum_router_mut());
    *routes.axum_router_mut() = grpc.merge(gateway::router(api, authenticate));
    let ((usual, connections), (late, late_connections)) = (mpsc::channel(64), mpsc::channel(64));
    let senders = Senders { usual, late, drain: drain.clone() };
    let accepting = tokio::spawn(accept(listener, acceptor, metrics, senders, stop.clone()));
    // Two servers: the first one sends GOAWAY to its connections while the second one accepts new connections.
    let served = tokio::try_join!(
        serve_connections(routes.clone(), connections, drain),
        serve_connections(routes, late_connections, stop),
    );
    accepting.abort();
    served.map(|_| ())
}

/// Serves these connections until `stop`, when each gets a GOAWAY and ends with its last call.
async fn serve_connections(
    routes: Routes,
    connections: mpsc::Receiver<io::Result<TlsStream<Placed>>>,
    stop: CancellationToken,
) -> Result<(), Error> {
    Server::builder()
        .accept_http1(true)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .max_concurrent_streams(MAX_STREAMS_PER_CONNECTION)
        .http2_max_header_list_size(MAX_HEADER_BYTES)
        .http2_max_pending_accept_reset_streams(Some(MAX_PENDING_RESETS))
        .add_routes(routes)
        .serve_with_incoming_shutdown(ReceiverStream::new(connections), stop.cancelled_owned())
        .await
        .map_err(Error::ServeApi)
}

/// Where accepted connections go.
#[derive(Clone)]
struct Senders {
    usual: mpsc::Sender<io::Result<TlsStream<Placed>>>,
    /// For connections that are accepted during the drain.
    late: mpsc::Sender<io::Result<TlsStream<Placed>>>,
    drain: CancellationToken,
}

impl Senders {
    async fn send(&self, stream: TlsStream<Placed>) {
        let sender = if self.drain.is_cancelled() { &self.late } else { &self.usual };
        // The server may have ended.
        let _ = sender.send(Ok(stream)).await;
    }
}

/// Accepts connections. Handshakes run concurrently, so that a slow client does not block others.
async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    metrics: Metrics,
    accepted: Senders,
    stop: CancellationToken,
) {
    let connections = Connections::new(API, metrics.clone());
    while let Some(next) = stop.run_until_cancelled(listener.accept()).await {
        let (stream, address) = match next {
            Ok(next) => next,
            Err(error) => {
                // Most likely out of file descriptors: wait until other connections are closed.
                tracing::warn!(error = %error, "connection was not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Some(place) = connections.admit(address.ip()) else {
            tracing::debug!(%address, "connection was refused: there are too many");
            continue;
        };
        let (acceptor, accepted, metrics) = (acceptor.clone(), accepted.clone(), metrics.clone());
        tokio::spawn(async move {
            // Messages with jobs are small, and must be sent without delay.
            let _ = stream.set_nodelay(true);
            let handshake = acceptor.accept(Placed { stream, place });
            match tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await {
                Ok(Ok(stream)) => return accepted.send(stream).await,
                Ok(Err(error)) => tracing::debug!(error = %error, "TLS handshake failed"),
                Err(_) => tracing::debug!("TLS handshake took too long"),
            }
            metrics.connection_refused(RefusedConnection::Handshake);
        });
    }
}
