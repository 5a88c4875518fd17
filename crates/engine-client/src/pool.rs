//! [`EnginePool`]: one connection per engine, credential and trust.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use ring::digest;
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use tokio::time::Instant;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Uri};

use crate::{
    CheckedEngine, Engine, EngineAccess, EngineAddress, EngineClient, EngineError, EngineProvider,
    ErrorClass, Operation, Timeouts, Writer, client::Outgoing,
};

/// Connections that nobody asked for this long are dropped.
const IDLE: Duration = Duration::from_mins(5);
/// Most connections; the one that was asked for longest ago makes room.
const MAX_CONNECTIONS: usize = 512;

/// The engine's errors travel in trailers: the default of 16 KiB hides them behind an HTTP/2 error.
const MAX_HEADER_LIST: u32 = 64 * 1024;
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections to engines, shared by everything in a process. Cheap to clone.
///
/// A connection is dropped when its engine refused the credential, when the same address is asked for with another
/// credential or authority, when nobody asked for it in 5 minutes, or when there are too many. Whoever still holds its
/// client keeps it alive.
#[derive(Clone)]
pub struct EnginePool {
    timeouts: Timeouts,
    writer: Option<Writer>,
    connections: Arc<Mutex<HashMap<Key, Connection>>>,
}

struct Connection {
    engine: Arc<CheckedEngine<EngineClient>>,
    last_used: Instant,
}

/// What a connection depends on, without the secrets.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    host: String,
    port: u16,
    trust: [u8; digest::SHA256_OUTPUT_LEN],
}

impl EnginePool {
    /// An empty pool; must be used within a tokio runtime.
    pub fn new(timeouts: Timeouts) -> Self {
        Self { timeouts, writer: None, connections: Arc::default() }
    }

    /// The same for a controller of which only one replica may write: every call shows the replica's fence.
    #[must_use]
    pub fn fenced(self, writer: Writer) -> Self {
        Self { writer: Some(writer), ..self }
    }

    /// The client for this engine. Does not wait: the connection is made by the first call.
    pub fn client(&self, access: &EngineAccess) -> Result<EngineClient, EngineError> {
        self.connection(access).map(|engine| engine.unchecked().clone())
    }

    fn connection(&self, access: &EngineAccess) -> Result<Arc<CheckedEngine<EngineClient>>, EngineError> {
        let key = Key::of(access);
        let now = Instant::now();
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.retain(|_, connection| {
            !connection.engine.unchecked().was_denied() && now.duration_since(connection.last_used) < IDLE
        });
        if let Some(connection) = connections.get_mut(&key) {
            connection.last_used = now;
            return Ok(Arc::clone(&connection.engine));
        }
        let client = connect_lazily(access, self.timeouts, self.writer.clone())?;
        let engine = Arc::new(CheckedEngine::new(client));
        connections.retain(|other, _| (&other.host, other.port) != (&key.host, key.port));
        if connections.len() >= MAX_CONNECTIONS {
            let oldest = connections.iter().min_by_key(|(_, connection)| connection.last_used);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                connections.remove(&oldest);
            }
        }
        connections.insert(key, Connection { engine: Arc::clone(&engine), last_used: now });
        Ok(engine)
    }
}

impl fmt::Debug for EnginePool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnginePool").field("timeouts", &self.timeouts).finish_non_exhaustive()
    }
}

#[async_trait]
impl EngineProvider for EnginePool {
    async fn engine(&self, access: &EngineAccess) -> Result<Arc<dyn Engine>, EngineError> {
        Ok(self.connection(access)?)
    }
}

impl Key {
    fn of(EngineAccess { address, credential }: &EngineAccess) -> Self {
        let mut trust = digest::Context::new(&digest::SHA256);
        let tls = address.tls.as_ref();
        for part in [
            credential.expose(),
            tls.map_or("", |tls| &tls.ca_pem),
            tls.and_then(|tls| tls.server_name.as_deref()).unwrap_or(""),
        ] {
            trust.update(&part.len().to_le_bytes());
            trust.update(part.as_bytes());
        }
        let mut digest = [0; digest::SHA256_OUTPUT_LEN];
        digest.copy_from_slice(trust.finish().as_ref());
        Self { host: address.host.clone(), port: address.port, trust: digest }
    }
}

fn connect_lazily(
    access: &EngineAccess,
    timeouts: Timeouts,
    writer: Option<Writer>,
) -> Result<EngineClient, EngineError> {
    let EngineAccess { address, credential } = access;
    let refused = |what: String| EngineError::new(Operation::Connect, ErrorClass::Invalid, what);
    let authorization = credential.authorization().map_err(|error| refused(error.to_string()))?;
    let mut endpoint = Endpoint::from_shared(address.uri())
        .ok()
        .filter(|endpoint| names_exactly(endpoint.uri(), address))
        .ok_or_else(|| refused(format!("engine address {address} is no host and port")))?
        .connect_timeout(timeouts.connect)
        .http2_max_header_list_size(MAX_HEADER_LIST)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true);
    if let Some(tls) = &address.tls {
        if !holds_certificates(&tls.ca_pem) {
            return Err(refused(format!("certificate authority of engine {address} is no PEM certificate")));
        }
        // Only the given authorities count, none of the system's.
        let config = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&tls.ca_pem))
            .domain_name(tls.server_name.as_ref().unwrap_or(&address.host))
            .timeout(timeouts.connect);
        endpoint = endpoint
            .tls_config(config)
            .map_err(|_| refused(format!("server name of engine {address} is no DNS name or IP address")))?;
    }
    let outgoing = Outgoing { authorization, writer };
    Ok(EngineClient::new(endpoint.connect_lazy(), outgoing, address.clone(), timeouts))
}

/// A host with a path or a user in it parses as well, as something else.
fn names_exactly(uri: &Uri, address: &EngineAddress) -> bool {
    let host = uri.host().map(|host| host.trim_matches(['[', ']']));
    host == Some(&address.host) && !address.host.is_empty() && uri.port_u16() == Some(address.port)
}

/// The TLS stack itself skips what it cannot read, and then trusts nobody without saying why.
fn holds_certificates(pem: &str) -> bool {
    let mut roots = RootCertStore::empty();
    let added = CertificateDer::pem_slice_iter(pem.as_bytes())
        .all(|certificate| certificate.is_ok_and(|certificate| roots.add(certificate).is_ok()));
    added && !roots.is_empty()
}

#[cfg(test)]
mod tests;
