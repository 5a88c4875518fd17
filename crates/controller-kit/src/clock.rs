//! The one place where wall-clock time is read, and the time that a lease is measured with.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// Time since the machine was started: nobody can set it, and it goes on while the machine is suspended. [`Instant`] on
/// Linux stops then, and after it a holder would take an expired lease for valid.
///
/// [`Instant`]: std::time::Instant
#[must_use]
pub fn since_boot() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default()
}

/// Where "now" comes from: the system in production, a fixed instant in tests.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// The system's clock, cut to whole seconds: Kubernetes timestamps carry no more, and an equal status must stay
    /// equal after a round trip.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "the only module that reads the system's clock")]
    pub fn system() -> Self {
        Self(Arc::new(|| {
            let now = Timestamp::now();
            Timestamp::from_second(now.as_second()).unwrap_or(now)
        }))
    }

    /// The system's clock to the microsecond, which is what a Lease carries: two holders within one second must differ.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "the only module that reads the system's clock")]
    pub fn precise() -> Self {
        Self(Arc::new(|| {
            let now = Timestamp::now();
            Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
        }))
    }

    /// Always the same instant.
    #[must_use]
    pub fn fixed(at: Timestamp) -> Self {
        Self(Arc::new(move || at))
    }

    /// The current instant.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}
