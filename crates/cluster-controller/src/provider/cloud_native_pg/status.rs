//! What a `Cluster` says of itself. Its status has no `observedGeneration`: it counts only once the object is as it was asked
//! for, and for the numbers and names that it holds, not for its condition `Ready`, which may be that of another spec.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use kube::api::DynamicObject;
use serde::Deserialize;

use super::super::{Order, State};

const HEALTHY: &str = "Cluster in healthy state";
/// Type of the condition that shows how far hibernation is.
const HIBERNATED: &str = "cnpg.io/hibernation";
/// Type of the condition that shows whether WAL is archived.
const ARCHIVING: &str = "ContinuousArchiving";

#[derive(Debug, Default, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    phase: String,
    instances: i32,
    ready_instances: i32,
    current_primary: String,
    target_primary: String,
    conditions: Vec<Condition>,
}

impl Status {
    fn of(live: &DynamicObject) -> Self {
        let status = live.data.get("status").cloned().unwrap_or_default();
        serde_json::from_value(status).unwrap_or_default()
    }

    fn has(&self, type_: &str, status: &str) -> bool {
        self.conditions.iter().any(|found| found.type_ == type_ && found.status == status)
    }
}

#[derive(Debug, Default, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Condition {
    #[serde(rename = "type")]
    type_: String,
    status: String,
}

/// A phase that a person has to end, in our words.
fn failure(phase: &str) -> Option<&'static str> {
    Some(match phase {
        "Cluster is unrecoverable and needs manual intervention" => "cannot be recovered without a person",
        "Cluster cannot proceed to reconciliation due to an unknown plugin being required" => {
            "needs a CloudNativePG plugin that is not installed"
        }
        "Cluster cannot proceed to reconciliation due to an error while interacting with plugins" => {
            "waits for a CloudNativePG plugin that does not answer"
        }
        "Cluster has incomplete or invalid image catalog" => "has no usable image catalog",
        "Cluster cannot execute instance online upgrade due to missing architecture binary" => {
            "runs on a processor that CloudNativePG has no program for"
        }
        "Unable to create required cluster objects" => "is refused objects that it needs",
        "Invalid cluster definition" => "is refused by CloudNativePG",
        "Waiting for user action" => "waits for a person",
        _ => return None,
    })
}

/// A phase that passes, in our words.
fn passing(phase: &str) -> Option<&'static str> {
    Some(match phase {
        "Setting up primary" => "sets up its primary",
        "Creating a new replica" => "adds an instance",
        "Failing over" => "fails over to another instance",
        "Switchover in progress" => "switches to another primary",
        "Upgrading cluster"
        | "Cluster upgrade delayed"
        | "Online upgrade in progress"
        | "Upgrading Postgres major version" => "replaces its instances",
        "Waiting for the instances to become active" => "waits for its instances",
        "Primary instance is being restarted in-place"
        | "Primary instance is being restarted without a switchover" => "restarts its primary",
        "Applying configuration" => "applies its configuration",
        "Promoting to primary cluster" => "is promoted",
        _ => return None,
    })
}

/// Another number when what is read here is another: CloudNativePG writes much more, and all the time.
pub(super) fn fingerprint(live: &DynamicObject) -> u64 {
    let mut hasher = DefaultHasher::new();
    Status::of(live).hash(&mut hasher);
    hasher.finish()
}

/// Measured by the number of instances that was asked for.
pub(super) fn judge(order: &Order<'_>, live: &DynamicObject, converged: bool) -> State {
    let (wanted, asleep) = (order.managed.replicas(), order.circumstances.asleep);
    let status = Status::of(live);
    let sleeps = status.has(HIBERNATED, "True");
    match (asleep, sleeps) {
        (true, true) if converged => return State::Hibernated,
        (true, _) => return State::Hibernating,
        (false, true) => return State::Waking,
        (false, false) if !converged => return State::Provisioning("is being changed".to_owned()),
        (false, false) => {}
    }
    if let Some(what) = failure(&status.phase) {
        return State::Failed(what.to_owned());
    }
    let has_primary = !status.current_primary.is_empty() && status.current_primary == status.target_primary;
    let is_complete = status.instances == wanted && status.ready_instances == wanted;
    if has_primary && is_complete && status.phase == HEALTHY {
        let archive_fails = order.circumstances.archives && status.has(ARCHIVING, "False");
        return if archive_fails {
            State::Degraded("and cannot archive its WAL at spec.backup.destination".to_owned())
        } else {
            State::Ready
        };
    }
    let counts = format!("{} of {wanted} instances are ready", status.ready_instances);
    match passing(&status.phase) {
        Some(what) => State::Provisioning(format!("{what}; {counts}")),
        // All instances were there, and one is away.
        None if has_primary && status.instances == wanted && status.ready_instances > 0 => {
            State::Degraded(counts)
        }
        None => State::Provisioning(format!("is on its way; {counts}")),
    }
}
