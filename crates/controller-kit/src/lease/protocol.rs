//! Who may write the Lease, and from when to when that makes a leader: pure, so that the process and the model that
//! proves it (`lease/tests/model.rs`) run the same code. `docs/adr/0007-lease-protocol.md` says why it is safe.
//!
//! Times are those of one process's own clock, as [`crate::clock::since_boot`] tells it. Identities and versions are
//! opaque: text in production, small numbers in the model.

use std::time::Duration;

/// Who is in the record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Holder<I> {
    /// The record was just made, or nobody knows what was before it: a holder of a deleted record may still write.
    Nobody,
    /// The last holder has released it after its last write had been answered.
    Released,
    /// This process leads.
    Held(I),
}

/// The Lease as the API server shows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Record<I, V> {
    /// Differs between an object and another one of the same name that was made after it.
    pub(super) uid: V,
    /// Changes with every write.
    pub(super) version: V,
    pub(super) holder: Holder<I>,
    /// For how long the holder counts after its last renewal was seen.
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

/// A record, and since when it is known to be like that.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Seen<I, V> {
    pub(super) record: Record<I, V>,
    pub(super) since: Duration,
}

/// What a process leads as.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Hold<V> {
    /// Of the Lease that it holds; one made anew is another one.
    pub(super) uid: V,
    pub(super) token: u64,
    /// Writing is safe until then.
    pub(super) until: Duration,
}

/// The next step of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step<I> {
    /// Make the record. It must not exist.
    Create(Draft<I>),
    /// Write over the record that was seen. It must still have the same uid and version.
    Replace(Draft<I>),
    /// Look again, at the latest after this time.
    Wait(Duration),
    /// It led, and may not go on: somebody else is in the record, or the record is gone (`None`).
    Lost(Option<I>),
}

/// A process that leads or would like to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Member<I, V> {
    pub(super) identity: I,
    /// Of the record while it holds it.
    duration: Duration,
    pub(super) seen: Option<Seen<I, V>>,
    pub(super) hold: Option<Hold<V>>,
    /// The largest that was ever seen: a record that is made anew begins after it.
    token: u64,
}

impl<I: Clone + PartialEq, V: Clone + PartialEq> Member<I, V> {
    pub(super) const fn new(identity: I, duration: Duration) -> Self {
        Self { identity, duration, seen: None, hold: None, token: 0 }
    }

    /// Takes in a read of the record, whose answer was there at `answered`.
    ///
    /// Not the time at which it was asked for: the record may have been renewed between the two, and its holder counts
    /// from before that renewal.
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
                // Nobody is in it yet, not even this process: see `Holder::Nobody`.
                None => {
                    Step::Create(Draft { holder: Holder::Nobody, duration: self.duration, token: self.token })
                }
            };
        };
        let ours = Draft {
            holder: Holder::Held(self.identity.clone()),
            duration: self.duration,
            token: record.token,
        };
        match (&self.hold, &record.holder) {
            (Some(hold), _) if hold.uid != record.uid => Step::Lost(None),
            (_, Holder::Held(holder)) if *holder == self.identity => Step::Replace(ours),
            (Some(_), Holder::Held(other)) => Step::Lost(Some(other.clone())),
            (Some(_), _) => Step::Lost(None),
            (None, holder) => {
                // The holder's own duration counts: ours may have been configured shorter since.
                let wait = match holder {
                    Holder::Released => Duration::ZERO,
                    Holder::Nobody | Holder::Held(_) => record.duration.max(self.duration),
                };
                match (*since + wait).checked_sub(now) {
                    None | Some(Duration::ZERO) => {
                        Step::Replace(Draft { token: wall.max(self.token + 1), ..ours })
                    }
                    Some(rest) => Step::Wait(rest),
                }
            }
        }
    }

    /// Takes in a write of its own that succeeded: sent at `sent`, answered with `record` at `answered`.
    ///
    /// It leads from the time at which the write was *sent*, since others may have seen it from then on.
    pub(super) fn accept(&mut self, record: Record<I, V>, sent: Duration, answered: Duration) {
        if record.holder == Holder::Held(self.identity.clone()) {
            let until = sent + write_window(self.duration);
            self.hold = Some(Hold { uid: record.uid.clone(), token: record.token, until });
        }
        self.observe(Some(record), answered);
    }

    /// What releases the record: `None` if it is not ours, or if a write of this process may still take effect. The
    /// next one would not wait.
    pub(super) fn release(&mut self, unanswered_writes: bool) -> Option<Draft<I>> {
        self.hold.take()?;
        let record = &self.seen.as_ref()?.record;
        let ours = record.holder == Holder::Held(self.identity.clone()) && !unanswered_writes;
        ours.then(|| Draft { holder: Holder::Released, duration: record.duration, token: record.token })
    }
}

/// For how long after it sent its last successful renewal a holder writes. The rest of the duration is for what is under
/// way by then and for clocks that do not run equally fast.
pub(super) fn write_window(duration: Duration) -> Duration {
    duration * 2 / 3
}

/// What is left of the duration then.
pub(super) fn write_margin(duration: Duration) -> Duration {
    duration.saturating_sub(write_window(duration))
}

/// How long a write that begins at `now` may take: it must have ended, one way or the other, when its holder's time has.
pub(super) fn write_deadline(now: Duration, until: Duration, longest: Duration) -> Duration {
    until.saturating_sub(now).min(longest)
}
