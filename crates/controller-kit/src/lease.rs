//! One writer at a time: a fenced leader Lease.
//!
//! The holder renews every [`RETRY_INTERVAL`]. It stops writing (the [`Fence`] closes) two thirds of the lease's duration
//! after the *beginning* of its last successful renewal; another replica takes over only after it has itself seen no
//! change for the whole duration. Both sides measure on their own monotonic clock, so a skewed wall clock cannot make
//! two holders. A process that loses its lease ends: nothing it believes is worth keeping.
//!
//! Objects are not yet shared out among replicas: one replica owns all work, the others stand by. Whatever shares work
//! out later decides in this module, and the fence stays the only gate for writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, ObjectMeta, PostParams};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;

/// How often a holder renews and a candidate looks. A seventh of the default duration: five renewals may fail in a row
/// before the fence closes.
pub const RETRY_INTERVAL: Duration = Duration::from_secs(2);

/// May this process write, and as which holder? Cheap to clone; all clones are one gate.
#[derive(Clone, Debug)]
pub struct Fence {
    epoch: Instant,
    /// Milliseconds after `epoch` until which writing is safe; `u64::MAX` = always.
    open_until: Arc<AtomicU64>,
    /// See [`Fence::token`]; 0 = none.
    token: Arc<AtomicU64>,
}

impl Fence {
    /// No write passes until the first renewal.
    #[must_use]
    pub fn closed() -> Self {
        Self::until(0, 0)
    }

    /// Always open and without a token: for services that only read, and for tests.
    #[must_use]
    pub fn open() -> Self {
        Self::until(u64::MAX, 0)
    }

    /// Always open, with this token: for tests of what is sent along with a write.
    #[must_use]
    pub fn open_with(token: u64) -> Self {
        Self::until(u64::MAX, token)
    }

    fn until(open_until: u64, token: u64) -> Self {
        Self {
            epoch: Instant::now(),
            open_until: Arc::new(AtomicU64::new(open_until)),
            token: Arc::new(AtomicU64::new(token)),
        }
    }

    /// The fencing token: a number that grows with every change of the holder and stays the same for as long as one
    /// holder leads. Whoever receives writes and remembers the largest token it has seen can refuse a former holder that
    /// was asleep, which no clock of that holder can do. Microseconds from 1970 to the Lease's `spec.acquireTime`, so it
    /// grows on when the Lease is deleted and made anew. `None` for a service without a lease, and before the first
    /// acquisition; it stays after the fence has closed, because a call under way is still this holder's.
    #[must_use]
    pub fn token(&self) -> Option<u64> {
        Some(self.token.load(Ordering::Acquire)).filter(|token| *token > 0)
    }

    /// Is writing safe at this moment?
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.is_open_at(Instant::now())
    }

    fn is_open_at(&self, at: Instant) -> bool {
        self.millis(at) < self.open_until.load(Ordering::Acquire)
    }

    /// The token first: no write may pass without it.
    fn extend(&self, until: Instant, token: Option<u64>) {
        if let Some(token) = token {
            self.token.store(token, Ordering::Release);
        }
        self.extend_until(until);
    }

    fn extend_until(&self, at: Instant) {
        self.open_until.store(self.millis(at), Ordering::Release);
    }

    fn close(&self) {
        self.open_until.store(0, Ordering::Release);
    }

    fn millis(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.epoch).as_millis()).unwrap_or(u64::MAX - 1)
    }
}

/// Why the lease is no longer ours.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Somebody else is in the record.
    #[error("lost lease {name}: it is held by {holder:?} now")]
    Taken {
        /// Name of the Lease.
        name: String,
        /// The other holder.
        holder: String,
    },
    /// The API server could not be reached for too long.
    #[error("lost lease {name}: not renewed for {} s", since.as_secs())]
    NotRenewed {
        /// Name of the Lease.
        name: String,
        /// Time since the last renewal began.
        since: Duration,
    },
}

/// A candidate for, or the holder of, one Lease.
pub struct LeaderLease {
    api: Api<Lease>,
    name: String,
    identity: String,
    duration: Duration,
    clock: Clock,
    fence: Fence,
    seen: Option<Seen>,
}

/// The record as last read, and since when (on our own clock) it has been like that.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    lease: Lease,
    unchanged_since: Instant,
}

#[derive(Debug, PartialEq)]
enum Decision {
    Create(Lease),
    Write(Lease),
    Wait,
}

impl LeaderLease {
    /// `identity` must differ between two lives of the same pod.
    #[must_use]
    pub fn new(
        api: Api<Lease>,
        name: &str,
        identity: String,
        duration: Duration,
        clock: Clock,
        fence: Fence,
    ) -> Self {
        Self { api, name: name.to_owned(), identity, duration, clock, fence, seen: None }
    }

    /// Returns once this process holds the lease, or `stop` is cancelled (`false`).
    pub async fn acquire(&mut self, stop: &CancellationToken) -> bool {
        loop {
            let began = Instant::now();
            match self.step(began).await {
                Ok(true) => return true,
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(lease = self.name, %error, "failed to acquire the lease, trying again");
                }
            }
            tokio::select! {
                () = stop.cancelled() => return false,
                () = tokio::time::sleep(RETRY_INTERVAL) => {}
            }
        }
    }

    /// Renews until `stop` (then gives the lease away, `Ok`), or until it is lost.
    pub async fn hold(&mut self, stop: CancellationToken) -> Result<(), LeaseError> {
        let mut renewed_at = Instant::now();
        loop {
            tokio::select! {
                () = stop.cancelled() => {
                    self.release().await;
                    return Ok(());
                }
                () = tokio::time::sleep(RETRY_INTERVAL) => {}
            }
            let began = Instant::now();
            // A renewal that hangs must not outlive the fence.
            match tokio::time::timeout(self.write_window(), self.step(began)).await {
                Ok(Ok(true)) => renewed_at = began,
                Ok(Ok(false)) => {
                    self.fence.close();
                    return Err(LeaseError::Taken {
                        name: self.name.clone(),
                        holder: self.holder().to_owned(),
                    });
                }
                Ok(Err(error)) => tracing::warn!(lease = self.name, %error, "failed to renew the lease"),
                Err(_) => tracing::warn!(lease = self.name, "the renewal of the lease did not answer"),
            }
            if renewed_at.elapsed() >= self.write_window() {
                self.fence.close();
                return Err(LeaseError::NotRenewed { name: self.name.clone(), since: renewed_at.elapsed() });
            }
        }
    }

    fn write_window(&self) -> Duration {
        self.duration * 2 / 3
    }

    fn holder(&self) -> &str {
        self.seen.as_ref().map_or("", |seen| holder_of(&seen.lease))
    }

    /// One look and at most one write. `true`: the lease is ours as of `began`.
    async fn step(&mut self, began: Instant) -> Result<bool, kube::Error> {
        let read = self.api.get_opt(&self.name).await?;
        self.seen = observe_seen(self.seen.take(), read, began);
        let written = match self.decide(began) {
            Decision::Wait => return Ok(false),
            Decision::Create(lease) => self.api.create(&PostParams::default(), &lease).await,
            Decision::Write(lease) => self.api.replace(&self.name, &PostParams::default(), &lease).await,
        };
        match written {
            Ok(lease) => {
                self.fence.extend(began + self.write_window(), token_of(&lease));
                self.seen = Some(Seen { lease, unchanged_since: began });
                Ok(true)
            }
            // Somebody was quicker; the next look tells who.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn decide(&self, now: Instant) -> Decision {
        let wall = MicroTime(self.clock.now());
        let Some(seen) = &self.seen else {
            return Decision::Create(Lease {
                metadata: ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
                spec: Some(self.build_spec(Some(wall.clone()), wall, 0)),
            });
        };
        let spec = seen.lease.spec.clone().unwrap_or_default();
        let transitions = spec.lease_transitions.unwrap_or(0);
        let holder = holder_of(&seen.lease);
        let record = if holder == self.identity {
            self.build_spec(spec.acquire_time, wall, transitions)
        } else if holder.is_empty() || now.duration_since(seen.unchanged_since) >= self.duration_of(&spec) {
            let acquired = later_than(spec.acquire_time.as_ref(), &wall);
            self.build_spec(Some(acquired), wall, transitions + 1)
        } else {
            return Decision::Wait;
        };
        Decision::Write(Lease { metadata: seen.lease.metadata.clone(), spec: Some(record) })
    }

    /// The holder's own duration counts: ours may have been configured shorter since.
    fn duration_of(&self, spec: &LeaseSpec) -> Duration {
        let theirs = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        theirs.map_or(self.duration, Duration::from_secs).max(self.duration)
    }

    fn build_spec(&self, acquired: Option<MicroTime>, renewed: MicroTime, transitions: i32) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(self.duration.as_secs()).ok(),
            acquire_time: acquired,
            renew_time: Some(renewed),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        }
    }

    /// Best effort: without it the next holder waits for the whole duration.
    async fn release(&mut self) {
        self.fence.close();
        let Some(Seen { mut lease, .. }) = self.seen.take() else { return };
        if let Some(spec) = lease.spec.as_mut() {
            spec.holder_identity = Some(String::new());
        }
        let params = PostParams::default();
        let release = self.api.replace(&self.name, &params, &lease);
        match tokio::time::timeout(RETRY_INTERVAL, release).await {
            Ok(Ok(_)) => tracing::info!(lease = self.name, "lease released"),
            Ok(Err(error)) => tracing::warn!(lease = self.name, %error, "failed to release the lease"),
            Err(_) => tracing::warn!(lease = self.name, "the release of the lease did not answer"),
        }
    }
}

fn holder_of(lease: &Lease) -> &str {
    lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).unwrap_or("")
}

/// The time of an acquisition is the fencing token, so it is later than the former one whatever the clocks say.
fn later_than(former: Option<&MicroTime>, now: &MicroTime) -> MicroTime {
    let next = former.and_then(|former| former.0.checked_add(jiff::SignedDuration::from_micros(1)).ok());
    next.map_or_else(|| now.clone(), |next| MicroTime(next.max(now.0)))
}

fn token_of(lease: &Lease) -> Option<u64> {
    let acquired = lease.spec.as_ref()?.acquire_time.as_ref()?;
    u64::try_from(acquired.0.as_microsecond()).ok()
}

/// Keeps the time of the first sight of an unchanged record.
fn observe_seen(former: Option<Seen>, read: Option<Lease>, now: Instant) -> Option<Seen> {
    let lease = read?;
    match former {
        Some(former) if former.lease.metadata.resource_version == lease.metadata.resource_version => {
            Some(former)
        }
        _ => Some(Seen { lease, unchanged_since: now }),
    }
}

#[cfg(test)]
mod tests;
