//! The TLS listener of the aggregated API: accepts, limits, and ends connections. What is answered is decided in
//! [`route`] and in [`answer`].

use std::{
    convert::Infallible,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{Request, Response};
use http_body_util::Full;
use hyper::{
    body::{Bytes, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto,
        graceful::{GracefulShutdown, Watcher},
    },
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::auth::Peer;

pub mod answer;
mod connections;
pub mod route;

use connections::{Connections, Permit};

/// A client that cannot finish a handshake, a header or its first request in this time is disconnected.
const PATIENCE: Duration = Duration::from_secs(10);
/// Dead peers are noticed by a ping, so that they free their place.
const PING_EVERY: Duration = Duration::from_secs(30);
/// Long label selectors fit, nothing else needs much.
const MAX_HEADER_BYTES: u32 = 32 * 1024;
/// Requests at once on one connection. kube-apiserver multiplexes all of its requests on one or two.
const MAX_STREAMS: u32 = 250;
/// No request here has a body worth reading: a peer may send this much, and then waits for ever.
const BODY_WINDOW: u32 = 16 * 1024;

/// How the server ends: readiness fails at once, new connections are still taken while the endpoint is taken out of
/// Services, then GOAWAY, then the end. Both together stay below what a service has for draining.
#[derive(Clone, Copy, Debug)]
pub struct Ending {
    pub keep_accepting: Duration,
    pub drain: Duration,
}

impl Default for Ending {
    fn default() -> Self {
        Self { keep_accepting: Duration::from_secs(2), drain: Duration::from_millis(4_500) }
    }
}

/// What answers a request.
pub trait Respond: Send + Sync + 'static {
    fn respond(
        &self,
        peer: &Peer,
        request: Request<()>,
    ) -> impl Future<Output = Response<Full<Bytes>>> + Send;
}

/// Serves until `stop` and the draining after it are over.
pub async fn serve<R: Respond>(
    listener: TcpListener,
    tls: TlsAcceptor,
    respond: Arc<R>,
    stop: CancellationToken,
    ending: Ending,
) {
    let connections = Connections::default();
    let graceful = GracefulShutdown::new();
    let mut closing = std::pin::pin!(async {
        stop.cancelled().await;
        sleep(ending.keep_accepting).await;
    });
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut closing => break,
        };
        match accepted {
            Ok((stream, address)) => {
                let Some(permit) = connections.admit(address.ip()) else {
                    tracing::debug!(%address, "refused a connection: too many");
                    continue;
                };
                let connection = Connection { permit, watcher: graceful.watcher() };
                tokio::spawn(connection.serve(stream, tls.clone(), respond.clone()));
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "failed to accept a connection");
                // Out of file descriptors: the next accept would fail as well.
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    if timeout(ending.drain, graceful.shutdown()).await.is_err() {
        tracing::warn!("connections were still open when the time to drain was over");
    }
}

struct Connection {
    /// Held for its effect: the place among the connections.
    permit: Permit,
    watcher: Watcher,
}

impl Connection {
    async fn serve<R: Respond>(self, stream: TcpStream, tls: TlsAcceptor, respond: Arc<R>) {
        let Self { permit, watcher } = self;
        // Else the end of an answer waits for the other side's acknowledgement, which may come with its next request.
        let _ = stream.set_nodelay(true);
        let stream = match timeout(PATIENCE, tls.accept(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "a TLS handshake failed");
                return;
            }
            Err(_) => return,
        };
        let session = stream.get_ref().1;
        let http2 = session.alpn_protocol() == Some(b"h2");
        let chain =
            session.peer_certificates().unwrap_or_default().iter().map(|c| c.clone().into_owned()).collect();
        let peer = Arc::new(Peer::new(permit.address(), chain));
        let asked = Arc::new(AtomicBool::new(false));

        let service = {
            let asked = asked.clone();
            service_fn(move |request: Request<Incoming>| {
                asked.store(true, Ordering::Relaxed);
                let (respond, peer) = (respond.clone(), peer.clone());
                let request = request.map(drop);
                async move { Ok::<_, Infallible>(respond.respond(&peer, request).await) }
            })
        };
        let builder = protocol(http2);
        let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
        let mut connection = std::pin::pin!(watcher.watch(connection));
        let result = tokio::select! {
            result = &mut connection => result,
            () = sleep(PATIENCE) => {
                if !asked.load(Ordering::Relaxed) {
                    return;
                }
                connection.await
            }
        };
        if let Err(error) = result {
            tracing::debug!(%error, "a connection ended with an error");
        }
        drop(permit);
    }
}

/// The protocol is known from the handshake, so no time is spent on guessing it from the first bytes.
fn protocol(http2: bool) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(MAX_HEADER_BYTES as usize)
        .max_headers(64);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(MAX_HEADER_BYTES)
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(BODY_WINDOW)
        .initial_connection_window_size(BODY_WINDOW * 4)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PATIENCE);
    if http2 { builder.http2_only() } else { builder.http1_only() }
}
