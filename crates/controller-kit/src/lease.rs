//! One writer at a time: a fenced leader Lease. `docs/adr/0007-lease-protocol.md` describes the protocol, module
//! `protocol` implements it.
//!
//! The holder renews every [`RETRY_INTERVAL`]. It stops writing (the [`Fence`] closes) two thirds of the lease's
//! duration after it *sent* its last successful renewal; another replica takes over only after it has itself seen no
//! change for the whole duration. Both sides measure on their own clocks, which nobody can set, so a skewed wall clock
//! cannot make two holders. A process that loses its lease ends: all that it knows may be out of date.
//!
//! Objects are not distributed among replicas yet: one replica does all work, the others stand by. If they are later,
//! this module decides how, and the fence stays the only gate for writes.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, PostParams};
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, since_boot};

mod fence;
mod protocol;
mod record;

pub use fence::Fence;
use protocol::{Member, Step, write_margin, write_window};
use record::{build_lease, record_of};

/// How often a holder renews and a candidate looks. A seventh of the default duration: four renewals may fail in a row
/// before the fence closes.
pub const RETRY_INTERVAL: Duration = Duration::from_secs(2);

/// Why this process no longer holds the lease.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// The record names another holder.
    #[error("lost lease {name}: it is held by {holder:?} now")]
    Taken {
        /// Name of the Lease.
        name: String,
        /// The other holder.
        holder: String,
    },
    /// The record is gone, or another one is in its place, or its holder was cleared.
    #[error("lost lease {name}: somebody deleted it or took its holder out")]
    Deleted {
        /// Name of the Lease.
        name: String,
    },
    /// The API server could not be reached for too long.
    #[error("lost lease {name}: not renewed for {} s", since.as_secs())]
    NotRenewed {
        /// Name of the Lease.
        name: String,
        /// Time since the last successful renewal was sent.
        since: Duration,
    },
}

/// A candidate for, or the holder of, one Lease.
pub struct LeaderLease {
    api: Api<Lease>,
    name: String,
    duration: Duration,
    clock: Clock,
    fence: Fence,
    member: Member<String, String>,
    /// As last read or written, for the fields that the protocol does not know.
    lease: Option<Lease>,
}

/// The result of a look at the Lease.
#[derive(Debug, PartialEq)]
enum Attempt {
    /// This process holds it.
    Held,
    /// This process does not hold it, or not yet: look again after this time.
    Again(Duration),
    /// This process has lost it; with the present holder, if there is one.
    Lost(Option<String>),
}

impl LeaderLease {
    /// `identity` must differ between two processes of the same pod. `clock` should have microseconds
    /// ([`Clock::precise`]): they are the fencing token.
    #[must_use]
    pub fn new(
        api: Api<Lease>,
        name: &str,
        identity: String,
        duration: Duration,
        clock: Clock,
        fence: Fence,
    ) -> Self {
        let member = Member::new(identity, duration);
        Self { api, name: name.to_owned(), duration, clock, fence, member, lease: None }
    }

    /// Returns once this process holds the lease, or `stop` is cancelled (`false`). Takes the whole duration of the
    /// lease when there is no Lease, or when its holder stopped renewing; no time when it was released.
    pub async fn acquire(&mut self, stop: &CancellationToken) -> bool {
        loop {
            let pause = match self.try_hold().await {
                Ok(Attempt::Held) => return true,
                Ok(Attempt::Again(pause)) => pause.min(RETRY_INTERVAL),
                Ok(Attempt::Lost(_)) => RETRY_INTERVAL,
                Err(error) => {
                    tracing::warn!(lease = self.name, %error, "failed to acquire the lease, trying again");
                    RETRY_INTERVAL
                }
            };
            tokio::select! {
                () = stop.cancelled() => return false,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Renews until `stop` (then releases the lease, `Ok`), or until it is lost.
    pub async fn hold(&mut self, stop: CancellationToken) -> Result<(), LeaseError> {
        loop {
            tokio::select! {
                () = stop.cancelled() => {
                    self.release().await;
                    return Ok(());
                }
                () = tokio::time::sleep(RETRY_INTERVAL) => {}
            }
            // A renewal that hangs must end before the fence closes. One look is made in any case: it shows the holder.
            let time = self.fence.time_to_write(write_window(self.duration)).unwrap_or(RETRY_INTERVAL);
            match tokio::time::timeout(time, self.try_hold()).await {
                Ok(Ok(Attempt::Held)) => {}
                Ok(Ok(Attempt::Lost(holder))) => {
                    self.fence.close();
                    return Err(match holder {
                        Some(holder) => LeaseError::Taken { name: self.name.clone(), holder },
                        None => LeaseError::Deleted { name: self.name.clone() },
                    });
                }
                Ok(Ok(Attempt::Again(_))) => {
                    tracing::warn!(lease = self.name, "the lease changed in between");
                }
                Ok(Err(error)) => tracing::warn!(lease = self.name, %error, "failed to renew the lease"),
                Err(_) => tracing::warn!(lease = self.name, "the renewal of the lease did not answer"),
            }
            if !self.fence.is_open() {
                self.fence.close();
                return Err(LeaseError::NotRenewed { name: self.name.clone(), since: self.since_renewal() });
            }
        }
    }

    fn since_renewal(&self) -> Duration {
        let until = self.member.hold.as_ref().map_or(Duration::ZERO, |hold| hold.until);
        (since_boot() + write_window(self.duration)).saturating_sub(until)
    }

    /// One read and at most one write.
    async fn try_hold(&mut self) -> Result<Attempt, kube::Error> {
        self.lease = self.api.get_opt(&self.name).await?;
        self.member.observe(self.lease.as_ref().map(record_of), since_boot());
        let wall = self.clock.now();
        let token = u64::try_from(wall.as_microsecond()).unwrap_or_default();
        let params = PostParams::default();
        let sent = since_boot();
        let written = match self.member.decide(sent, token) {
            Step::Wait(pause) => return Ok(Attempt::Again(pause)),
            Step::Lost(holder) => return Ok(Attempt::Lost(holder)),
            Step::Create(draft) => {
                self.api.create(&params, &build_lease(&self.name, None, draft, wall)).await
            }
            Step::Replace(draft) => {
                let lease = build_lease(&self.name, self.lease.as_ref(), draft, wall);
                self.api.replace(&self.name, &params, &lease).await
            }
        };
        match written {
            Ok(lease) => {
                self.member.accept(record_of(&lease), sent, since_boot());
                self.lease = Some(lease);
                Ok(match &self.member.hold {
                    Some(hold) => {
                        self.fence.extend(hold.until, hold.token);
                        Attempt::Held
                    }
                    None => Attempt::Again(RETRY_INTERVAL),
                })
            }
            // Somebody else wrote first; the next look shows who.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {
                Ok(Attempt::Again(RETRY_INTERVAL))
            }
            Err(error) => Err(error),
        }
    }

    /// Best effort: without it the next holder waits for the whole duration. It is not released, so that the next
    /// holder waits, while a write of this process is still without an answer.
    async fn release(&mut self) {
        self.fence.close();
        let unanswered = self.fence.has_unanswered_writes(write_margin(self.duration));
        let Some(draft) = self.member.release(unanswered) else {
            tracing::warn!(lease = self.name, "the lease is left to expire: a write has no answer yet");
            return;
        };
        let (params, lease) =
            (PostParams::default(), build_lease(&self.name, self.lease.as_ref(), draft, self.clock.now()));
        let release = self.api.replace(&self.name, &params, &lease);
        match tokio::time::timeout(RETRY_INTERVAL, release).await {
            Ok(Ok(_)) => tracing::info!(lease = self.name, "lease released"),
            Ok(Err(error)) => tracing::warn!(lease = self.name, %error, "failed to release the lease"),
            Err(_) => tracing::warn!(lease = self.name, "the release of the lease did not answer"),
        }
    }
}

#[cfg(test)]
mod tests;
