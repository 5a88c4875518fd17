//! Instances of the fake by the elements that they wait at.

use std::collections::{BTreeMap, BTreeSet};

use super::{FakeEngine, World};
use engine_client::{
    EngineError, ErrorClass, Operation,
    model::{InstanceState, WaitingCount, WaitingInstances},
};

/// The most that one call asks for.
const MAX_ELEMENTS: usize = 1000;

impl FakeEngine {
    /// What [`Engine::count_waiting_instances`](engine_client::Engine::count_waiting_instances) tells about a process, instead of
    /// counting. Of its counts an answer has those of the elements that were asked for.
    pub fn set_waiting_instances(&self, tenant_id: &str, process_id: &str, waiting: WaitingInstances) {
        self.change(|world| world.waiting.insert((tenant_id.to_owned(), process_id.to_owned()), waiting));
    }
}

impl World {
    pub(super) fn waiting_instances(
        &self,
        tenant_id: &str,
        process_id: &str,
        element_ids: &[String],
    ) -> Result<WaitingInstances, EngineError> {
        let asked: BTreeSet<&str> = element_ids.iter().map(String::as_str).collect();
        if asked.is_empty() || element_ids.len() > MAX_ELEMENTS || asked.len() < element_ids.len() {
            let message = format!("element_ids must have 1 to {MAX_ELEMENTS} entries, each once");
            return Err(EngineError::new(Operation::CountWaitingInstances, ErrorClass::Invalid, message));
        }
        Ok(match self.waiting.get(&(tenant_id.to_owned(), process_id.to_owned())) {
            Some(waiting) => narrowed(waiting, &asked),
            None => self.counted(tenant_id, process_id, &asked),
        })
    }

    fn counted(&self, tenant_id: &str, process_id: &str, asked: &BTreeSet<&str>) -> WaitingInstances {
        let is_running = |key: &i64| {
            self.instances.get(key).is_some_and(|(_, instance)| instance.state == InstanceState::Active)
        };
        let mut places: BTreeMap<&str, BTreeSet<i64>> = BTreeMap::new();
        for job in self.jobs.values().map(|entry| &entry.job) {
            let is_asked = job.tenant_id == tenant_id
                && job.process_id == process_id
                && asked.contains(job.element_id.as_str());
            if is_asked && is_running(&job.instance_key) {
                places.entry(&job.element_id).or_default().insert(job.instance_key);
            }
        }
        let all: BTreeSet<i64> = places.values().flatten().copied().collect();
        let counts = places.iter().map(|(element_id, instances)| WaitingCount {
            element_id: (*element_id).to_owned(),
            instances: instances.len() as u64,
        });
        WaitingInstances { counts: counts.collect(), instances: all.len() as u64, is_at_least: false }
    }
}

fn narrowed(waiting: &WaitingInstances, asked: &BTreeSet<&str>) -> WaitingInstances {
    let counts = waiting.counts.iter().filter(|count| asked.contains(count.element_id.as_str())).cloned();
    let counts: Vec<WaitingCount> = counts.collect();
    let places = counts.iter().map(|count| count.instances).sum();
    WaitingInstances { instances: waiting.instances.min(places), counts, is_at_least: waiting.is_at_least }
}
