//! The gate in front of every write.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::protocol::write_deadline;
use crate::clock::since_boot;

/// May this process write, until when, and as which holder? Cheap to clone; all clones share one state.
#[derive(Clone, Debug)]
pub struct Fence {
    /// Milliseconds after the machine's start until which writing is safe; `u64::MAX` = always.
    open_until: Arc<AtomicU64>,
    /// See [`Fence::token`]; 0 = none.
    token: Arc<AtomicU64>,
    writes: Arc<Mutex<Writes>>,
}

/// Writes whose outcome is not known.
#[derive(Debug, Default)]
struct Writes {
    under_way: usize,
    /// A write that got no answer may take effect until then.
    unanswered_until: Duration,
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
            open_until: Arc::new(AtomicU64::new(open_until)),
            token: Arc::new(AtomicU64::new(token)),
            writes: Arc::default(),
        }
    }

    /// The fencing token: a number that grows with every change of the holder and stays the same for as long as one
    /// holder leads. A receiver of writes that remembers the largest token it has seen can refuse a former holder that
    /// was suspended; no clock of that holder could prevent its writes. Microseconds from 1970 to the Lease's
    /// `spec.acquireTime`, so it still grows when the Lease is deleted and created again. `None` for a service without
    /// a lease, and before the first acquisition; it stays after the fence has closed, because a call under way is
    /// still this holder's.
    #[must_use]
    pub fn token(&self) -> Option<u64> {
        Some(self.token.load(Ordering::Acquire)).filter(|token| *token > 0)
    }

    /// Is writing safe at this moment?
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.time_to_write(Duration::MAX).is_some()
    }

    /// How long a write that begins now may take: at most `longest`, and no longer than this process may write. `None`:
    /// it must not begin.
    #[must_use]
    pub fn time_to_write(&self, longest: Duration) -> Option<Duration> {
        self.time_to_write_at(since_boot(), longest)
    }

    pub(super) fn time_to_write_at(&self, now: Duration, longest: Duration) -> Option<Duration> {
        let until = match self.open_until.load(Ordering::Acquire) {
            u64::MAX => return Some(longest),
            millis => Duration::from_millis(millis),
        };
        Some(write_deadline(now, until, longest)).filter(|time| !time.is_zero())
    }

    /// Does another process take over when this one stops renewing?
    pub(crate) fn is_bounded(&self) -> bool {
        self.open_until.load(Ordering::Acquire) != u64::MAX
    }

    /// Records a write that begins, until [`WriteUnderWay::answered`]. If it is dropped before that, the write counts
    /// until `deadline` after its begin.
    pub(crate) fn begin_write(&self, deadline: Duration) -> WriteUnderWay {
        self.lock().under_way += 1;
        WriteUnderWay { fence: self.clone(), until: since_boot() + deadline, answered: false }
    }

    /// May a write of this process still take effect? `margin` is how long one may be under way after its deadline.
    pub(crate) fn has_unanswered_writes(&self, margin: Duration) -> bool {
        let writes = self.lock();
        writes.under_way > 0
            || (!writes.unanswered_until.is_zero() && since_boot() < writes.unanswered_until + margin)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Writes> {
        self.writes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The token first: no write may pass without it.
    pub(crate) fn extend(&self, until: Duration, token: u64) {
        self.token.store(token, Ordering::Release);
        let millis = u64::try_from(until.as_millis()).unwrap_or(u64::MAX - 1);
        self.open_until.store(millis, Ordering::Release);
    }

    pub(super) fn close(&self) {
        self.open_until.store(0, Ordering::Release);
    }
}

/// A write that was sent and has no answer yet.
pub(crate) struct WriteUnderWay {
    fence: Fence,
    until: Duration,
    answered: bool,
}

impl WriteUnderWay {
    /// Its result is known: it will not take effect later.
    pub(crate) fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for WriteUnderWay {
    fn drop(&mut self) {
        let mut writes = self.fence.lock();
        writes.under_way = writes.under_way.saturating_sub(1);
        if !self.answered {
            writes.unanswered_until = writes.unanswered_until.max(self.until);
        }
    }
}
