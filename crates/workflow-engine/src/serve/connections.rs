//! Limits of connections. Anybody who can reach the port can open connections. So only a few may exist that have not
//! shown a valid token yet, and a new one closes the oldest of them. Callers without a token can only displace each
//! other, never a known caller.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tonic::Extensions;
use tonic::transport::server::{Connected, TlsConnectInfo};

use crate::metrics::{Metrics, RefusedConnection};

/// Maximum numbers of connections of one port.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub total: usize,
    /// Connections that have not shown a valid token yet, including those in a handshake.
    pub unauthenticated: usize,
    pub per_address: usize,
}

/// Cheap to clone: all clones share the same counts.
#[derive(Debug, Clone)]
pub struct Connections(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limits: Limits,
    metrics: Metrics,
    places: Mutex<Places>,
}

#[derive(Debug, Default)]
struct Places {
    next: u64,
    /// By number, that is, the oldest first.
    unauthenticated: BTreeMap<u64, (IpAddr, Arc<Eviction>)>,
    known: usize,
    addresses: HashMap<IpAddr, usize>,
}

/// Signals a connection that it lost its place.
#[derive(Debug, Default)]
struct Eviction {
    happened: AtomicBool,
    reader: AtomicWaker,
}

/// The place of one connection within the limits. Dropping it frees the place.
#[derive(Debug)]
pub struct Place {
    number: u64,
    address: IpAddr,
    known: AtomicBool,
    eviction: Arc<Eviction>,
    connections: Connections,
}

impl Connections {
    pub fn new(limits: Limits, metrics: Metrics) -> Self {
        Self(Arc::new(Shared { limits, metrics, places: Mutex::default() }))
    }

    /// `None` = the connection is refused.
    pub fn admit(&self, address: IpAddr) -> Option<Arc<Place>> {
        let Limits { total, unauthenticated, per_address } = self.0.limits;
        let address = address.to_canonical();
        let mut places = self.places();
        let here = places.addresses.get(&address).copied().unwrap_or_default();
        let obstacle = if here >= per_address {
            Some((places.oldest_unauthenticated(Some(address)), RefusedConnection::Address))
        } else if places.unauthenticated.len() >= unauthenticated
            || places.unauthenticated.len() + places.known >= total
        {
            Some((places.oldest_unauthenticated(None), RefusedConnection::Full))
        } else {
            None
        };
        match obstacle {
            None => {}
            Some((Some(oldest), _)) => {
                places.evict(oldest);
                self.0.metrics.connection_refused(RefusedConnection::Unauthenticated);
            }
            Some((None, why)) => {
                self.0.metrics.connection_refused(why);
                return None;
            }
        }
        let number = places.next;
        places.next += 1;
        let eviction = Arc::<Eviction>::default();
        places.unauthenticated.insert(number, (address, Arc::clone(&eviction)));
        *places.addresses.entry(address).or_default() += 1;
        self.count(&places);
        drop(places);
        Some(Arc::new(Place {
            number,
            address,
            known: AtomicBool::new(false),
            eviction,
            connections: self.clone(),
        }))
    }

    fn count(&self, places: &Places) {
        self.0.metrics.set_client_connections(places.unauthenticated.len(), places.known);
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.0.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Places {
    fn oldest_unauthenticated(&self, of: Option<IpAddr>) -> Option<u64> {
        let mut unauthenticated = self.unauthenticated.iter();
        unauthenticated
            .find(|(_, (address, _))| of.is_none_or(|of| of == *address))
            .map(|(number, _)| *number)
    }

    /// Frees the place at once, even if the connection is closed later.
    fn evict(&mut self, number: u64) {
        if let Some((address, eviction)) = self.unauthenticated.remove(&number) {
            self.leave(address);
            eviction.happened.store(true, Ordering::Release);
            eviction.reader.wake();
        }
    }

    fn leave(&mut self, address: IpAddr) {
        if let Some(count) = self.addresses.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.addresses.remove(&address);
            }
        }
    }
}

impl Place {
    /// Marks a connection that has shown a valid token. Called for every request: after the first one it only reads a
    /// flag.
    pub fn mark_known(&self) {
        if self.known.load(Ordering::Relaxed) {
            return;
        }
        let mut places = self.connections.places();
        if places.unauthenticated.remove(&self.number).is_some() {
            places.known += 1;
            self.known.store(true, Ordering::Relaxed);
            self.connections.count(&places);
        }
    }

    fn is_evicted(&self) -> bool {
        !self.known.load(Ordering::Relaxed) && self.eviction.happened.load(Ordering::Acquire)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.connections.places();
        if self.known.load(Ordering::Relaxed) {
            places.known -= 1;
            places.leave(self.address);
        } else if places.unauthenticated.remove(&self.number).is_some() {
            places.leave(self.address);
        }
        self.connections.count(&places);
    }
}

/// Marks the connection of a request as a known caller's.
pub fn mark_known(extensions: &Extensions) {
    if let Some(connection) = extensions.get::<TlsConnectInfo<Arc<Place>>>() {
        connection.get_ref().mark_known();
    }
}

/// A connection with its place. Reads and writes fail when it lost its place.
#[derive(Debug)]
pub struct Placed {
    pub stream: TcpStream,
    pub place: Arc<Place>,
}

fn evicted() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the connection gave way to newer ones without a token")
}

impl Connected for Placed {
    type ConnectInfo = Arc<Place>;

    fn connect_info(&self) -> Self::ConnectInfo {
        Arc::clone(&self.place)
    }
}

impl AsyncRead for Placed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.place.known.load(Ordering::Relaxed) {
            self.place.eviction.reader.register(context.waker());
            if self.place.is_evicted() {
                return Poll::Ready(Err(evicted()));
            }
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Placed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.place.is_evicted() {
            return Poll::Ready(Err(evicted()));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.place.is_evicted() {
            return Poll::Ready(Err(evicted()));
        }
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;
