//! What an event leads to, with the rules of today or with one of those that were wrong.

use super::state::{Call, State, Write};
use super::*;

#[allow(clippy::struct_excessive_bools, reason = "each is a rule of its own")]
/// All `false`: the rules of today, which are [`Member`]'s own.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rules {
    /// A candidate counts from the time at which it asked, not from the answer.
    pub(super) counts_from_before_its_read: bool,
    /// A process that finds no Lease creates it with itself as the holder.
    pub(super) takes_a_missing_lease_at_once: bool,
    /// A call may take its whole time, although its holder's time ends before.
    pub(super) writes_beyond_the_window: bool,
    /// The Lease is released although a write of the holder has no answer yet.
    pub(super) releases_while_writing: bool,
}

impl Rules {
    pub(super) fn take(self, state: &mut State, event: Event) {
        self.act(state, event);
        state.rename();
    }

    fn act(self, state: &mut State, event: Event) {
        match event {
            Event::Tick(pace) => state.tick(pace),
            Event::Delete => {
                state.lease = None;
                state.faults.deletions -= 1;
            }
            Event::Crash(at) => {
                state.restart(at);
                state.faults.crashes -= 1;
            }
            Event::Release(at, unanswered) => self.release(state, at, unanswered),
            Event::ApplyStray(at) => {
                if let Some(write) = state.nodes[at].stray.take() {
                    state.apply(&write);
                }
            }
            Event::LoseStray(at) => state.nodes[at].stray = None,
            Event::GiveUp(at) => {
                state.faults.losses -= 1;
                let node = &mut state.nodes[at];
                if let Call::Writing { write, .. } = std::mem::replace(&mut node.call, Call::Idle) {
                    node.stray = Some(write);
                }
            }
            Event::Ask(at) | Event::Read(at) | Event::Receive(at) | Event::Apply(at) | Event::Learn(at) => {
                self.call(state, at, event);
            }
        }
        self.keep_writing(state);
    }

    fn call(self, state: &mut State, at: usize, event: Event) {
        let call = std::mem::replace(&mut state.nodes[at].call, Call::Idle);
        state.nodes[at].call = match (event, call) {
            // The time of the request matters only for the rule that counts from it.
            (Event::Ask(_), Call::Idle) if !self.counts_from_before_its_read => {
                Call::Answered { sent: NOW - DURATION, record: state.lease.clone() }
            }
            (Event::Ask(_), Call::Idle) => Call::Asked { sent: NOW },
            (Event::Read(_), Call::Asked { sent }) => Call::Answered { sent, record: state.lease.clone() },
            (Event::Receive(_), Call::Answered { sent, record }) => {
                return self.receive(state, at, sent, record);
            }
            (Event::Apply(_), Call::Writing { sent, write }) => {
                Call::Written { sent, record: state.apply(&write) }
            }
            (Event::Learn(_), Call::Written { sent, record }) => {
                if let Some(record) = record {
                    state.nodes[at].member.accept(record, sent, NOW);
                }
                Call::Idle
            }
            (_, call) => call,
        };
    }

    fn receive(self, state: &mut State, at: usize, sent: Duration, record: Option<Shown>) {
        let member = &mut state.nodes[at].member;
        member.observe(record, if self.counts_from_before_its_read { sent } else { NOW });
        let over = member.seen.as_ref().map(|seen| (seen.record.uid, seen.record.version));
        let draft = match member.decide(NOW, 0) {
            Step::Create(draft) if self.takes_a_missing_lease_at_once => {
                Draft { holder: Holder::Held(member.identity), ..draft }
            }
            Step::Create(draft) | Step::Replace(draft) => draft,
            Step::Wait(_) => return,
            Step::Lost(_) => return state.restart(at),
        };
        state.nodes[at].call = Call::Writing { sent: NOW, write: Write { over, draft } };
    }

    fn release(self, state: &mut State, at: usize, unanswered: bool) {
        let node = &mut state.nodes[at];
        if !unanswered {
            (node.awaits_until, node.in_transit) = (NOW, 0);
        }
        let over = node.member.seen.as_ref().map(|seen| (seen.record.uid, seen.record.version));
        let draft = node.member.release(unanswered && !self.releases_while_writing);
        state.restart(at);
        if let Some(draft) = draft {
            state.nodes[at].stray = Some(Write { over, draft });
        }
    }

    /// A process that leads sends a write in every moment.
    fn keep_writing(self, state: &mut State) {
        for node in &mut state.nodes {
            if let Some(hold) = node.member.hold.as_ref().filter(|hold| hold.until > NOW) {
                let deadline =
                    if self.writes_beyond_the_window { CALL } else { write_deadline(NOW, hold.until, CALL) };
                node.awaits_until = node.awaits_until.max(NOW + deadline);
            }
        }
    }
}
