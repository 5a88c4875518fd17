//! A way to Postgres on which no password goes in clear text to a server that was not verified.
//!
//! sqlx sends the password to every server that asks for it in clear text, and has no setting against that. It opens
//! the connections of a pool by itself, so a check of the server beforehand would say nothing about the next
//! connection. So the connections to a server that is not verified go through a [`Guard`] in this process. It speaks
//! TLS with the server and forwards both directions. When the server asks for the password in clear text, it ends the
//! connection before sqlx gets that message. libpq behaves like sqlx here, so the backup agent leads pg_dump through a
//! guard too. It also knows what sqlx does not report: whether the connection is encrypted.
//!
//! Owns: the socket between sqlx and such a server, and the judgement of how a connection is protected.
//! Never does: see a password, or judge a certificate. A verified server (`verify-ca`, `verify-full`) is sqlx's alone.
#![deny(missing_docs)]

mod authentication;
mod server;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::task::AbortOnDropHandle;

use server::{Failure, Server};

/// SQLSTATE with which a guarded connection ends when the server asks for the password in clear text. Of class 28,
/// `invalid_authorization_specification`; Postgres itself has no such code.
pub const CLEAR_TEXT_REFUSED: &str = "28WF1";

/// How a connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Not at all.
    Plain,
    /// TLS, with a server that is not verified.
    Encrypted,
    /// TLS, with a server whose certificate was verified as far as the mode says.
    Verified,
}

/// Whether an error of sqlx is a refusal of the guard to hand the password over in clear text.
#[must_use]
pub fn is_clear_text_refused(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if error.code().as_deref() == Some(CLEAR_TEXT_REFUSED))
}

/// Logs in once, guarded unless the server is verified.
pub async fn connect(options: &PgConnectOptions) -> Result<(PgConnection, Protection), sqlx::Error> {
    let Some(guard) = Guard::open(options, Patience::None)? else {
        return Ok((PgConnection::connect_with(options).await?, Protection::Verified));
    };
    match PgConnection::connect_with(&guard.lead(options)).await {
        // The guard's part of a connection outlives the guard.
        Ok(connection) => Ok((connection, guard.latest_protection())),
        Err(error) => Err(guard.explain(error)),
    }
}

/// What the guard does while the server refuses connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// It gives up at once.
    None,
    /// It tries again until sqlx gives up, as a pool does by itself with a server that it knows directly.
    UntilGivenUp,
}

/// Stands between sqlx and a server that is not verified, for as many connections as sqlx opens.
#[derive(Debug)]
pub struct Guard {
    directory: PathBuf,
    latest: Arc<Mutex<Option<Result<Protection, Failure>>>>,
    _accepting: AbortOnDropHandle<()>,
}

impl Guard {
    /// Opens one for the server of `options`; `None` when the server is verified anyway. Needs the runtime.
    pub fn open(options: &PgConnectOptions, patience: Patience) -> io::Result<Option<Self>> {
        let tls = match options.get_ssl_mode() {
            PgSslMode::VerifyCa | PgSslMode::VerifyFull => return Ok(None),
            PgSslMode::Require => server::Tls::Required,
            PgSslMode::Prefer => server::Tls::Preferred,
            PgSslMode::Allow | PgSslMode::Disable => server::Tls::Off,
        };
        // In Linux's abstract namespace: no file, so it needs no place to write to and leaves nothing behind.
        let directory = PathBuf::from(format!("\0postgres-guard-{}", uuid::Uuid::new_v4().simple()));
        let listener =
            UnixListener::bind(format!("{}/.s.PGSQL.{}", directory.display(), options.get_port()))?;
        let server =
            Arc::new(Server { host: options.get_host().to_owned(), port: options.get_port(), tls, patience });
        let latest = Arc::<Mutex<_>>::default();
        let accepting = tokio::spawn(accept(listener, server, Arc::clone(&latest)));
        Ok(Some(Self { directory, latest, _accepting: AbortOnDropHandle::new(accepting) }))
    }

    /// `options` by the way of this guard.
    #[must_use]
    pub fn lead(&self, options: &PgConnectOptions) -> PgConnectOptions {
        options.clone().socket(&self.directory).ssl_mode(PgSslMode::Disable)
    }

    fn latest_protection(&self) -> Protection {
        match *self.latest.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(Ok(protection)) => protection,
            Some(Err(_)) | None => Protection::Plain,
        }
    }

    /// What failed on the way to the server, where sqlx only saw that its connection ended.
    fn explain(&self, error: sqlx::Error) -> sqlx::Error {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        match (&error, *latest) {
            (sqlx::Error::Io(_), Some(Err(failure))) => failure.into(),
            _ => error,
        }
    }
}

async fn accept(
    listener: UnixListener,
    server: Arc<Server>,
    latest: Arc<Mutex<Option<Result<Protection, Failure>>>>,
) {
    while let Ok((client, _)) = listener.accept().await {
        let (server, latest) = (Arc::clone(&server), Arc::clone(&latest));
        tokio::spawn(async move { lead_through(client, &server, &latest).await });
    }
}

async fn lead_through(
    mut client: UnixStream,
    server: &Server,
    latest: &Mutex<Option<Result<Protection, Failure>>>,
) {
    let reached = tokio::select! {
        reached = server.connect() => reached,
        // Nothing is to be read before the startup packet, so this is sqlx giving up.
        () = given_up(&client) => return,
    };
    *latest.lock().unwrap_or_else(PoisonError::into_inner) =
        Some(reached.as_ref().map(server::Stream::protection).map_err(|failure| *failure));
    let Ok(stream) = reached else {
        let _ = client.shutdown().await;
        return;
    };
    let ended = match stream {
        server::Stream::Plain(stream) => authentication::hand_on(client, stream).await,
        server::Stream::Tls(stream) => authentication::hand_on(client, *stream).await,
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to Postgres ended");
    }
}

/// The client closed its end. Its startup packet may be there already; it stays unread.
async fn given_up(client: &UnixStream) {
    use tokio::io::Interest;
    loop {
        match client.ready(Interest::READABLE | Interest::WRITABLE).await {
            Ok(ready) if !ready.is_read_closed() => {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests;
