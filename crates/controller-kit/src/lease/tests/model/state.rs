//! The state of the model at one moment.

use super::*;

pub(super) type Name = u8;
pub(super) type Shown = Record<Name, Name>;

/// A write to the Lease.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Write {
    /// Uid and version that the Lease must have; `None`: it must not exist.
    pub(super) over: Option<(Name, Name)>,
    pub(super) draft: Draft<Name>,
}

/// A process makes one call about its Lease at a time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Call {
    Idle,
    Asked {
        sent: Duration,
    },
    Answered {
        sent: Duration,
        record: Option<Shown>,
    },
    Writing {
        sent: Duration,
        write: Write,
    },
    /// `None`: refused.
    Written {
        sent: Duration,
        record: Option<Shown>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Node {
    pub(super) member: Member<Name, Name>,
    pub(super) call: Call,
    /// A write to the Lease whose answer nobody awaits.
    pub(super) stray: Option<Write>,
    /// Until when the process awaits answers to its other writes, on its clock. They may have been sent in every moment
    /// in which it may write, so this is the latest time possible.
    pub(super) awaits_until: Duration,
    /// For how many ticks writes that it gave up may still take effect.
    pub(super) in_transit: u8,
}

impl Node {
    fn new(identity: Name, stray: Option<Write>) -> Self {
        let member = Member::new(identity, DURATION);
        Self { member, call: Call::Idle, stray, awaits_until: NOW, in_transit: 0 }
    }

    pub(super) fn is_leading(&self) -> bool {
        self.member.hold.as_ref().is_some_and(|hold| hold.until > NOW)
    }

    /// May a write of this process take effect at this moment?
    fn is_writing(&self) -> bool {
        self.is_leading() || self.awaits_until > NOW || self.in_transit > 0
    }

    fn age(&mut self, by: Duration, transit: u8) {
        self.in_transit = self.in_transit.saturating_sub(1);
        if self.awaits_until > NOW {
            self.awaits_until = (self.awaits_until - by).max(NOW);
            if self.awaits_until == NOW {
                self.in_transit = transit;
            }
        }
        if let Some(hold) = &mut self.member.hold {
            hold.until = (hold.until - by).max(NOW);
        }
        // A greater age than the Lease's duration makes no difference, and a write that old opens no window.
        let back = |time: &mut Duration, oldest: Duration| *time = (*time - by).max(NOW - oldest);
        if let Some(seen) = &mut self.member.seen {
            back(&mut seen.since, DURATION);
        }
        match &mut self.call {
            Call::Idle => {}
            Call::Asked { sent } | Call::Answered { sent, .. } => back(sent, DURATION),
            Call::Writing { sent, .. } | Call::Written { sent, .. } => back(sent, write_window(DURATION)),
        }
    }

    /// Resets what makes no difference: a holder does not wait until a record is old.
    fn normalize(&mut self) {
        if let (Some(_), Some(seen)) = (&self.member.hold, &mut self.member.seen) {
            seen.since = NOW - DURATION;
        }
    }

    /// What distinguishes it from the other one, except names.
    fn sort_key(&self) -> (u8, bool, Duration, Duration, Duration, bool, u8) {
        let (call, sent) = match &self.call {
            Call::Idle => (0, NOW),
            Call::Asked { sent } => (1, *sent),
            Call::Answered { sent, .. } => (2, *sent),
            Call::Writing { sent, .. } => (3, *sent),
            Call::Written { sent, .. } => (4, *sent),
        };
        let since = self.member.seen.as_ref().map_or(NOW, |seen| seen.since);
        let until = self.member.hold.as_ref().map_or(Duration::ZERO, |hold| hold.until);
        (call, self.member.seen.is_some(), sent, since, until, self.stray.is_some(), self.in_transit)
    }

    fn records(&mut self) -> impl Iterator<Item = &mut Shown> {
        let called = match &mut self.call {
            Call::Answered { record, .. } | Call::Written { record, .. } => record.as_mut(),
            _ => None,
        };
        self.member.seen.iter_mut().map(|seen| &mut seen.record).chain(called)
    }

    fn writes(&mut self) -> impl Iterator<Item = &mut Write> {
        let called = match &mut self.call {
            Call::Writing { write, .. } => Some(write),
            _ => None,
        };
        self.stray.iter_mut().chain(called)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub(super) lease: Option<Shown>,
    pub(super) nodes: [Node; 2],
    /// For how many ticks writes of processes that have ended may take effect.
    pub(super) left_behind: u8,
    /// What may still go wrong.
    pub(super) faults: Faults,
}

/// Greater than every name in use.
const FRESH: Name = 99;

impl State {
    pub(super) fn new(faults: Faults) -> Self {
        Self { lease: None, nodes: [Node::new(0, None), Node::new(1, None)], left_behind: 0, faults }
    }

    /// How many processes there are whose writes can take effect.
    pub(super) fn writers(&self) -> usize {
        self.nodes.iter().filter(|node| node.is_writing()).count() + usize::from(self.left_behind > 0)
    }

    /// The API server's part: a write takes effect if the Lease has the uid and version in `over`.
    pub(super) fn apply(&mut self, write: &Write) -> Option<Shown> {
        if write.over != self.lease.as_ref().map(|lease| (lease.uid, lease.version)) {
            return None;
        }
        let uid = write.over.map_or(FRESH, |(uid, _)| uid);
        let (holder, duration) = (write.draft.holder.clone(), write.draft.duration);
        // Tokens only grow, and would make infinitely many states; they have tests of their own.
        self.lease = Some(Record { uid, version: FRESH, holder, duration, token: 0 });
        self.lease.clone()
    }

    /// Another process in the place of one that ended. What the former one had sent may still arrive.
    pub(super) fn restart(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        let left = if node.awaits_until > NOW { self.faults.transit } else { node.in_transit };
        self.left_behind = self.left_behind.max(left);
        let stray = node.writes().last().cloned();
        *node = Node::new(FRESH, stray);
    }

    pub(super) fn tick(&mut self, pace: Pace) {
        self.left_behind = self.left_behind.saturating_sub(1);
        for (at, node) in self.nodes.iter_mut().enumerate() {
            let ticks = match pace {
                Pace::Fast(fast) if fast == at => 2,
                Pace::Slow(slow) if slow == at => 0,
                _ => 1,
            };
            node.age(Duration::from_secs(ticks), self.faults.transit);
        }
        if pace != Pace::Even {
            self.faults.drift -= 1;
        }
    }

    /// Which process is the first makes no difference.
    pub(super) fn sort(&mut self) {
        if self.nodes[0].sort_key() > self.nodes[1].sort_key() {
            self.nodes.swap(0, 1);
            self.rename();
        }
    }

    /// States that differ in names only become one.
    pub(super) fn rename(&mut self) {
        let (mut uids, mut versions, mut identities) = (Names::default(), Names::default(), Names::default());
        if let Some(lease) = &mut self.lease {
            rename_record(lease, &mut uids, &mut versions, &mut identities);
        }
        for node in &mut self.nodes {
            node.normalize();
            identities.rename(&mut node.member.identity);
            if let Some(hold) = &mut node.member.hold {
                uids.rename(&mut hold.uid);
            }
            for record in node.records() {
                rename_record(record, &mut uids, &mut versions, &mut identities);
            }
            for write in node.writes() {
                if let Some((uid, version)) = &mut write.over {
                    uids.rename(uid);
                    versions.rename(version);
                }
                rename_holder(&mut write.draft.holder, &mut identities);
            }
        }
    }
}

/// Names in the order in which they are found.
#[derive(Default)]
struct Names {
    met: [Name; 8],
    count: Name,
}

impl Names {
    fn rename(&mut self, name: &mut Name) {
        let place = (0..self.count).find(|place| self.met[usize::from(*place)] == *name);
        *name = place.unwrap_or_else(|| {
            self.met[usize::from(self.count)] = *name;
            self.count += 1;
            self.count - 1
        });
    }
}

fn rename_record(record: &mut Shown, uids: &mut Names, versions: &mut Names, identities: &mut Names) {
    uids.rename(&mut record.uid);
    versions.rename(&mut record.version);
    rename_holder(&mut record.holder, identities);
}

fn rename_holder(holder: &mut Holder<Name>, identities: &mut Names) {
    if let Holder::Held(identity) = holder {
        identities.rename(identity);
    }
}
