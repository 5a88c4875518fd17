//! The protocol, checked in every order of events: two processes with clocks of their own, an API server that keeps the
//! Lease, calls that take any time or get no answer, processes that are suspended, crash, are restarted or end in
//! order, and somebody who deletes the Lease. What a process does is [`Member`]'s own code.
//!
//! Time is counted in ticks, of which the Lease lasts [`DURATION`]. States hold ages, not times, so that there are finitely
//! many of them and none is cut off: each process's clock always shows [`NOW`], and a tick moves what it remembers back.

use rstest::rstest;
use stateright::{Checker as _, Model, Property};

use super::super::protocol::write_deadline;
use super::*;

mod rules;
mod state;

use rules::Rules;
use state::{Call, Node, Shown, State};

/// In ticks; a process writes for two of them after it sent a renewal. A tick is five seconds of the default.
const DURATION: Duration = Duration::from_secs(3);
/// What the clock of each process shows in every state.
const NOW: Duration = Duration::from_secs(100);
/// The longest call, as `client::CALL_DEADLINE`.
const CALL: Duration = Duration::from_secs(4);

/// What may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Event {
    /// A process asks for the Lease.
    Ask(usize),
    /// The API server answers it.
    Read(usize),
    /// The answer is there: the process decides, and may send a write.
    Receive(usize),
    /// The API server handles the write.
    Apply(usize),
    /// The process receives the answer.
    Learn(usize),
    /// The process waits no longer for an answer; its write may still arrive.
    GiveUp(usize),
    /// A write that nobody waits for arrives.
    ApplyStray(usize),
    /// A write that nobody waits for never arrives.
    LoseStray(usize),
    /// The process is killed and another one is started in its place. What it had sent may still arrive.
    Crash(usize),
    /// The process ends in order, with or without a write that got no answer, and another one is started.
    Release(usize, bool),
    /// Somebody deletes the Lease.
    Delete,
    /// Time goes on; one clock may run faster or slower.
    Tick(Pace),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Pace {
    Even,
    Fast(usize),
    Slow(usize),
}

/// How much goes wrong in one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Faults {
    crashes: u8,
    deletions: u8,
    /// Writes to the Lease without an answer, which arrive late or never.
    losses: u8,
    /// Ticks by which clocks may differ.
    drift: u8,
    /// Ticks after its deadline within which a write that was given up may still take effect.
    transit: u8,
}

struct Protocol {
    rules: Rules,
    faults: Faults,
    /// Treat two states that differ only in the order of the processes as one. Runs are then hard to read.
    symmetric: bool,
}

impl Model for Protocol {
    type State = State;
    type Action = Event;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self.faults)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Event>) {
        for (at, node) in state.nodes.iter().enumerate() {
            match &node.call {
                Call::Idle => actions.push(Event::Ask(at)),
                Call::Asked { .. } => actions.push(Event::Read(at)),
                Call::Answered { .. } => actions.push(Event::Receive(at)),
                Call::Writing { .. } => actions.push(Event::Apply(at)),
                Call::Written { .. } => actions.push(Event::Learn(at)),
            }
            // To give up a read is the same as to ask later.
            let is_write = matches!(node.call, Call::Writing { .. } | Call::Written { .. });
            if is_write && node.stray.is_none() && state.faults.losses > 0 {
                actions.push(Event::GiveUp(at));
            }
            if node.stray.is_some() {
                actions.extend([Event::ApplyStray(at), Event::LoseStray(at)]);
            }
            if state.faults.crashes > 0 {
                actions.push(Event::Crash(at));
            }
            if node.is_leading() && node.stray.is_none() {
                actions.extend([Event::Release(at, false), Event::Release(at, true)]);
            }
        }
        if state.faults.deletions > 0 && state.lease.is_some() {
            actions.push(Event::Delete);
        }
        actions.push(Event::Tick(Pace::Even));
        if state.faults.drift > 0 {
            actions.extend(
                (0..state.nodes.len()).flat_map(|at| [Pace::Fast(at), Pace::Slow(at)]).map(Event::Tick),
            );
        }
    }

    fn next_state(&self, last: &State, event: Event) -> Option<State> {
        let mut state = last.clone();
        self.rules.take(&mut state, event);
        if self.symmetric {
            state.sort();
        }
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::<Self>::always(ONE_WRITER, |_, state| state.writers() <= 1),
            Property::<Self>::always(RECOVERY, |model, state| {
                state.nodes.iter().any(Node::is_leading) || model.recovers(state.clone())
            }),
            Property::<Self>::sometimes("one leads", |_, state| state.nodes.iter().any(Node::is_leading)),
        ]
    }
}

const ONE_WRITER: &str = "the writes of one process at most can take effect";
const RECOVERY: &str = "once nothing goes wrong any more, somebody leads";

impl Protocol {
    /// From here on every call is answered at once.
    fn recovers(&self, mut state: State) -> bool {
        let steps = [Event::LoseStray, Event::Ask, Event::Read, Event::Receive, Event::Apply, Event::Learn];
        for _ in 0..3 * DURATION.as_secs() {
            for at in 0..state.nodes.len() {
                for step in steps {
                    self.rules.take(&mut state, step(at));
                }
            }
            if state.nodes.iter().any(Node::is_leading) {
                return true;
            }
            self.rules.take(&mut state, Event::Tick(Pace::Even));
        }
        false
    }
}

const NOTHING: Faults = Faults { crashes: 0, deletions: 0, losses: 0, drift: 0, transit: 1 };

/// Checks all runs of at most `deepest` events. The states are finite: without faults, no run of new states has more
/// than 63 events. One thread, because `cargo test` runs the cases in parallel.
fn prove(faults: Faults, deepest: usize) {
    let model = Protocol { rules: Rules::default(), faults, symmetric: true };
    let checker = model.checker().target_max_depth(deepest).spawn_bfs().join();
    println!("{} states of {faults:?}, {} events deep", checker.unique_state_count(), checker.max_depth());
    checker.assert_properties();
}

#[rstest]
#[case::nothing_goes_wrong(NOTHING)]
#[case::the_lease_is_deleted(Faults { deletions: 1, ..NOTHING })]
#[case::a_process_is_killed(Faults { crashes: 1, ..NOTHING })]
#[case::an_answer_is_lost(Faults { losses: 1, ..NOTHING })]
#[case::clocks_run_differently(Faults { drift: 1, transit: 0, ..NOTHING })]
fn one_process_writes(#[case] faults: Faults) {
    // The wrong rules of the test below show after 20 events at most.
    prove(faults, 27);
}

#[rstest]
#[case::nothing_goes_wrong(NOTHING)]
#[case::deleted(Faults { deletions: 1, ..NOTHING })]
#[case::killed(Faults { crashes: 1, ..NOTHING })]
#[case::an_answer_is_lost(Faults { losses: 1, ..NOTHING })]
#[case::clocks_run_differently(Faults { drift: 1, transit: 0, ..NOTHING })]
#[case::killed_and_deleted(Faults { crashes: 1, deletions: 1, ..NOTHING })]
#[case::deleted_twice(Faults { deletions: 2, ..NOTHING })]
#[case::deleted_and_an_answer_is_lost(Faults { deletions: 1, losses: 1, ..NOTHING })]
#[case::killed_and_an_answer_is_lost(Faults { crashes: 1, losses: 1, ..NOTHING })]
#[case::killed_deleted_and_clocks(Faults { crashes: 1, deletions: 1, drift: 1, transit: 0, ..NOTHING })]
#[ignore = "takes minutes: `./dev nightly`"]
fn one_process_writes_whatever_goes_wrong_together(#[case] faults: Faults) {
    prove(faults, usize::MAX);
}

/// One of the shortest runs after which two processes can write; empty if there is none.
fn counterexample(rules: Rules, faults: Faults) -> Vec<Event> {
    let only = stateright::HasDiscoveries::AnyOf([ONE_WRITER].into());
    let model = Protocol { rules, faults, symmetric: false };
    let checker = model.checker().finish_when(only).spawn_bfs().join();
    checker.discovery(ONE_WRITER).map(stateright::Path::into_actions).unwrap_or_default()
}

/// Wrong rules that this protocol once had, one at a time. Each leads to two writers.
#[rstest]
#[case::counting_from_before_the_read(
    Rules { counts_from_before_its_read: true, ..Rules::default() }, NOTHING, "Read("
)]
#[case::a_deleted_lease_is_taken_at_once(
    Rules { takes_a_missing_lease_at_once: true, ..Rules::default() }, Faults { deletions: 1, ..NOTHING }, "Delete"
)]
#[case::writes_that_outlast_the_window(
    Rules { writes_beyond_the_window: true, ..Rules::default() }, NOTHING, "Tick("
)]
#[case::giving_it_away_while_a_write_is_under_way(
    Rules { releases_while_writing: true, ..Rules::default() }, NOTHING, "Release("
)]
fn each_wrong_rule_leads_to_two_writers(#[case] rules: Rules, #[case] faults: Faults, #[case] by: &str) {
    let run = counterexample(rules, faults);
    println!("{run:?}");
    assert!(run.iter().any(|event| format!("{event:?}").starts_with(by)), "{run:?}");
    assert!(most_writers(&run, faults) <= 1, "the same run with the rules of today: {run:?}");
}

/// The greatest number of writers in a run with the rules of today.
fn most_writers(run: &[Event], faults: Faults) -> usize {
    let mut state = State::new(faults);
    let rules = Rules::default();
    run.iter()
        .map(|event| {
            rules.take(&mut state, *event);
            state.writers()
        })
        .max()
        .unwrap_or_default()
}

/// The margin has no reserve: each assumption of the ADR is needed.
#[rstest]
#[case::a_write_that_is_under_way_for_longer(Faults { transit: 2, ..NOTHING })]
#[case::clocks_that_use_it_too(Faults { drift: 1, ..NOTHING })]
fn beyond_the_margin_two_processes_write(#[case] faults: Faults) {
    assert_ne!(counterexample(Rules::default(), faults), []);
}
