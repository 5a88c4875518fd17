//! Who may write the Lease, and for how long a write makes a leader. Pure, so that the process and the model that
//! proves the protocol (`lease/tests/model.rs`) run the same code. `docs/adr/0007-lease-protocol.md` says why it is
//! safe.
//!
//! Times are those of one process's own clock, [`crate::clock::since_boot`]. Identities and versions are
//! opaque: text in production, small numbers in the model.

use std::time::Duration;

/// The holder in the record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Holder<I> {
    /// The record was just created. What was before it is not known: the holder of a deleted record may still write.
    Nobody,
    /// The last holder has released it, after its last write had been answered.
    Released,
    /// This process leads.
    Held(I),
}

/// The Lease as the API server shows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Record<I, V> {
    /// Differs when a Lease was deleted and another one of the same name was created.
    pub(super) uid: V,
    /// Changes with every write.
    pub(super) version: V,
    pub(super) holder: Holder<I>,
    /// For how long the holder still holds it after its last renewal was seen.
    pub(super) duration: Duration,
    /// The fencing token: microseconds from 1970 to the acquisition; 0 = never acquired.
    pub(super) token: u64,
}

/// What is to be written into the record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Draft<I> {
    pub(super) holder: Holder<I>,
    pub(super) duration: Duration,
    pub(super) token: u64,
}

/// A record, and since when it has been seen unchanged.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Seen<I, V> {
    pub(super) record: Record<I, V>,
    pub(super) since: Duration,
}

/// The Lease as a process holds it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Hold<V> {
    /// Uid of the Lease; one that is created again has another.
    pub(super) uid: V,
    pub(super) token: u64,
    /// Writing is safe until then.
    pub(super) until: Duration,
}

/// The next step of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step<I> {
    /// Create the record. It must not exist.
    Create(Draft<I>),
    /// Replace the record that was seen. It must still have the same uid and version.
    Replace(Draft<I>),
    /// Look again, at the latest after this time.
    Wait(Duration),
    /// It led, and may not go on: somebody else is in the record, or the record is gone (`None`).
    Lost(Option<I>),
}

/// A process that leads or is a candidate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Member<I, V> {
    pub(super) identity: I,
    /// Duration of the record while this process holds it.
    duration: Duration,
    pub(super) seen: Option<Seen<I, V>>,
    pub(super) hold: Option<Hold<V>>,
    /// The largest that was ever seen: the token of a record that is created again must be larger.
    token: u64,
}

impl<I: Clone + PartialEq, V: Clone + PartialEq> Member<I, V> {
    pub(super) const fn new(identity: I, duration: Duration) -> Self {
        Self { identity, duration, seen: None, hold: None, token: 0 }
    }

    /// Notes the record as it was read. The answer arrived at `answered`.
    ///
    /// The time of the request would be too early: the record may have been renewed between the two, and this process
    /// must not count from before that renewal.
    pub(super) fn observe(&mut self, record: Option<Record<I, V>>, answered: Duration) {
        self.token = self.token.max(record.as_ref().map_or(0, |record| record.token));
        self.seen = match (self.seen.take(), record) {
            (_, None) => None,
            (Some(seen), Some(record)) if seen.record == record => Some(seen),
            (_, Some(record)) => Some(Seen { record, since: answered }),
        };
    }

    /// What to do about the record as last observed. `wall` is the time of the day in microseconds from 1970.
    pub(super) fn decide(&self, now: Duration, wall: u64) -> Step<I> {
        let Some(Seen { record, since }) = &self.seen else {
            return match self.hold {
                Some(_) => Step::Lost(None),
                // A new record has no holder, not even this process: see `Holder::Nobody`.
                None => {
                    Step::Create(Draft { holder: Holder::Nobody, duration: self.duration, token: self.token })
                }
            };
        };
        let own = Draft {
            holder: Holder::Held(self.identity.clone()),
            duration: self.duration,
            token: record.token,
        };
        match (&self.hold, &record.holder) {
            (Some(hold), _) if hold.uid != record.uid => Step::Lost(None),
            (_, Holder::Held(holder)) if *holder == self.identity => Step::Replace(own),
            (Some(_), Holder::Held(other)) => Step::Lost(Some(other.clone())),
            (Some(_), _) => Step::Lost(None),
            (None, holder) => {
                // The holder's own duration counts: that of this process may have been configured shorter since.
                let wait = match holder {
                    Holder::Released => Duration::ZERO,
                    Holder::Nobody | Holder::Held(_) => record.duration.max(self.duration),
                };
                match (*since + wait).checked_sub(now) {
                    None | Some(Duration::ZERO) => {
                        Step::Replace(Draft { token: wall.max(self.token + 1), ..own })
                    }
                    Some(rest) => Step::Wait(rest),
                }
            }
        }
    }

    /// Notes a write of this process that succeeded: sent at `sent`, answered with `record` at `answered`.
    ///
    /// Its time counts from when the write was *sent*, because others may have seen it from then on.
    pub(super) fn accept(&mut self, record: Record<I, V>, sent: Duration, answered: Duration) {
        if record.holder == Holder::Held(self.identity.clone()) {
            let until = sent + write_window(self.duration);
            self.hold = Some(Hold { uid: record.uid.clone(), token: record.token, until });
        }
        self.observe(Some(record), answered);
    }

    /// The draft that releases the record. `None` if this process does not hold it, or if a write of this process may
    /// still take effect: the next holder does not wait after a release.
    pub(super) fn release(&mut self, unanswered_writes: bool) -> Option<Draft<I>> {
        self.hold.take()?;
        let record = &self.seen.as_ref()?.record;
        let may_release = record.holder == Holder::Held(self.identity.clone()) && !unanswered_writes;
        may_release.then(|| Draft {
            holder: Holder::Released,
            duration: record.duration,
            token: record.token,
        })
    }
}

/// For how long after it sent its last successful renewal a holder writes. The rest of the duration is for writes that
/// are under way by then and for clocks that do not run equally fast.
pub(super) fn write_window(duration: Duration) -> Duration {
    duration * 2 / 3
}

/// The rest of the duration after [`write_window`].
pub(super) fn write_margin(duration: Duration) -> Duration {
    duration.saturating_sub(write_window(duration))
}

/// How long a write that begins at `now` may take: it must have ended, with or without success, when its
/// holder's time ends.
pub(super) fn write_deadline(now: Duration, until: Duration, longest: Duration) -> Duration {
    until.saturating_sub(now).min(longest)
}
