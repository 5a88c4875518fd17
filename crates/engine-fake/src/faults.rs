//! What goes wrong when a test wants it, and what was asked.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use super::FakeEngine;
use engine_client::{EngineError, ErrorClass, Operation};

/// One call that reached the fake, also when it was then refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Which one.
    pub operation: Operation,
    /// About what: a tenant, or `tenant/process`; empty when about the whole engine.
    pub subject: String,
}

#[derive(Default)]
pub(super) struct Faults {
    calls: Vec<Call>,
    unreachable: bool,
    hanging: bool,
    latency: Duration,
    always: BTreeMap<Operation, ErrorClass>,
    once: BTreeMap<Operation, VecDeque<ErrorClass>>,
}

impl FakeEngine {
    /// Every call fails as if nobody listened; streams end.
    pub fn set_unreachable(&self, unreachable: bool) {
        self.change(|world| world.faults.unreachable = unreachable);
    }

    /// Calls that reach a [`FakeServer`](super::FakeServer) are never answered and its streams fall silent; a direct
    /// call fails like one whose deadline passed.
    pub fn set_hanging(&self, hanging: bool) {
        self.change(|world| world.faults.hanging = hanging);
    }

    /// Every call takes this long.
    pub fn set_latency(&self, latency: Duration) {
        self.change(|world| world.faults.latency = latency);
    }

    /// This call fails until [`FakeEngine::heal`].
    pub fn fail(&self, operation: Operation, class: ErrorClass) {
        self.change(|world| world.faults.always.insert(operation, class));
    }

    /// This call fails once more.
    pub fn fail_once(&self, operation: Operation, class: ErrorClass) {
        self.change(|world| world.faults.once.entry(operation).or_default().push_back(class));
    }

    /// Nothing goes wrong any more. The log of calls stays.
    pub fn heal(&self) {
        self.change(|world| {
            let calls = std::mem::take(&mut world.faults.calls);
            world.faults = Faults { calls, ..Faults::default() };
        });
    }

    /// All calls so far, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.world().faults.calls.clone()
    }

    /// How often this call was made.
    pub fn count(&self, operation: Operation) -> usize {
        self.world().faults.calls.iter().filter(|call| call.operation == operation).count()
    }

    /// Forgets all calls so far.
    pub fn forget_calls(&self) {
        self.world().faults.calls.clear();
    }

    pub(super) fn is_hanging(&self) -> bool {
        self.world().faults.hanging
    }

    /// Records a call and lets it go wrong.
    pub(super) async fn admit(
        &self,
        operation: Operation,
        subject: impl Into<String>,
    ) -> Result<(), EngineError> {
        let latency = {
            let mut world = self.world();
            world.faults.calls.push(Call { operation, subject: subject.into() });
            world.faults.latency
        };
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        self.world().faults.judge(operation)
    }

    /// Whether a stream may go on.
    pub(super) fn judge_stream(&self, operation: Operation) -> Result<(), EngineError> {
        self.world().faults.judge(operation)
    }
}

impl Faults {
    fn judge(&mut self, operation: Operation) -> Result<(), EngineError> {
        if self.unreachable {
            return Err(EngineError::new(
                operation,
                ErrorClass::Unavailable,
                "connection to the engine failed",
            ));
        }
        if self.hanging {
            return Err(EngineError::new(
                operation,
                ErrorClass::Unavailable,
                "engine gave no answer in time",
            ));
        }
        let once = self.once.get_mut(&operation).and_then(VecDeque::pop_front);
        match once.or_else(|| self.always.get(&operation).cloned()) {
            Some(class) => Err(EngineError::new(operation, class, "the test wants it so")),
            None => Ok(()),
        }
    }
}
