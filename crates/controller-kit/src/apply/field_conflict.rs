//! Fields that another writer set to values of its own. They are set back, because an apply sends only fields that this
//! controller decides. The conflict is reported. Fields that are changed again and again are set back after growing
//! pauses.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use api_types::labels::{CLUSTER_CONTROLLER, PROCESS_CONTROLLER, TENANT_CONTROLLER, WORKER_CONTROLLER};
use api_types::reason::CommonReason;
use kube::core::Status;
use tokio::time::Instant;

use crate::events::{Event, EventType};
use crate::message::bounded;
use crate::plan::Desired;

/// After so long without a conflict, the pauses of an object begin again with the shortest.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(10);
/// A field is set back at once the first time, then after 2 s, 4 s, … up to this.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// With so many records, those older than [`FORGOTTEN_AFTER`] are dropped.
const REMEMBERED: usize = 1_000;

/// The fields of one object that others set, by writer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldConflict {
    /// `Kind namespace/name`.
    pub object: String,
    /// Field manager, and the paths of its fields.
    pub managers: BTreeMap<String, Vec<String>>,
}

impl FieldConflict {
    /// From the refusal of an apply that was not forced. `None` when it was refused for another reason, when every
    /// field is one of `shared`, or when controllers of this operator set the fields, by a patch.
    pub(super) fn of(refusal: &Status, object: &str, shared: &[&str]) -> Option<Self> {
        let mut managers: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for cause in refusal.details.iter().flat_map(|details| &details.causes) {
            let manager = manager_in(&cause.message);
            let is_shared = shared.contains(&cause.field.as_str());
            if is_field_manager_conflict(&cause.reason) && !is_shared && !is_of_this_operator(&manager) {
                managers.entry(manager).or_default().push(cause.field.clone());
            }
        }
        (!managers.is_empty()).then(|| Self { object: object.to_owned(), managers })
    }

    /// The object, and which field manager set which of its fields.
    #[must_use]
    pub fn message(&self) -> String {
        let reported =
            |(manager, fields): (&String, &Vec<String>)| format!("{manager:?} set {}", fields.join(", "));
        let managers: Vec<String> = self.managers.iter().map(reported).collect();
        bounded(&format!("{}: {}", self.object, managers.join("; ")))
    }

    /// The event for fields that were set back.
    #[must_use]
    pub fn event(&self) -> Event {
        let reason = CommonReason::Conflict.to_string();
        let note = format!("{reason}: set back what others changed: {}", self.message());
        Event { type_: EventType::Warning, reason, note }
    }
}

/// Was an apply refused because other field managers own its fields?
pub(crate) fn is_field_conflict(refusal: &Status) -> bool {
    let mut causes = refusal.details.iter().flat_map(|details| &details.causes);
    refusal.code == 409 && causes.any(|cause| is_field_manager_conflict(&cause.reason))
}

fn is_of_this_operator(manager: &str) -> bool {
    [CLUSTER_CONTROLLER, TENANT_CONTROLLER, PROCESS_CONTROLLER, WORKER_CONTROLLER]
        .iter()
        .any(|owner| owner.field_manager == manager)
}

fn is_field_manager_conflict(reason: &str) -> bool {
    reason == "FieldManagerConflict"
}

/// `conflict with "kubectl-edit" using apps/v1`: the API server quotes the name.
fn manager_in(message: &str) -> String {
    message.split('"').nth(1).unwrap_or("another writer").to_owned()
}

/// Recent conflicts, by `Kind namespace/name` of the object.
#[derive(Default)]
pub(super) struct FieldConflicts(Mutex<HashMap<String, Record>>);

struct Record {
    /// Digest of the desired object: the pause does not count for another one.
    desired: String,
    /// How often it was set back.
    times: u32,
    /// When it was set back last.
    at: Instant,
    /// The last refusal since then, if there was one.
    refusal: Option<Status>,
}

impl Record {
    fn is_pausing(&self, desired: &str, now: Instant) -> bool {
        let pause = Duration::from_secs(1 << self.times.min(6)).min(LONGEST_PAUSE);
        self.desired == desired && now.duration_since(self.at) < pause
    }
}

impl FieldConflicts {
    /// The refusal of the same desired object, while it pauses: then it is not tried again.
    pub(super) fn refusal_during_pause(&self, desired: &Desired, now: Instant) -> Option<Status> {
        let records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let record = records.get(&desired.display())?;
        record.refusal.clone().filter(|_| record.is_pausing(desired.digest(), now))
    }

    /// May the fields be set back now?
    pub(super) fn may_set_back(&self, desired: &Desired, refusal: &Status, now: Instant) -> bool {
        let is_recent = |record: &Record| now.duration_since(record.at) < FORGOTTEN_AFTER;
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if records.len() >= REMEMBERED {
            records.retain(|_, record| is_recent(record));
        }
        let former = records.get_mut(&desired.display()).filter(|record| is_recent(record));
        let times = match former {
            Some(record) if record.is_pausing(desired.digest(), now) => {
                record.refusal = Some(refusal.clone());
                return false;
            }
            former => former.map_or(0, |record| record.times) + 1,
        };
        let record = Record { desired: desired.digest().to_owned(), times, at: now, refusal: None };
        records.insert(desired.display(), record);
        true
    }
}

#[cfg(test)]
mod tests;
