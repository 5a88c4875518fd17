//! Each process confirmed its definition with the new version of the engine.

use controller_kit::message::listed;
use jiff::SignedDuration;

use super::Scene;

/// A process that could not confirm it for so long says itself what is wrong.
const DEADLINE: SignedDuration = SignedDuration::from_mins(5);
/// Characters for the names of processes.
const ROOM_FOR_NAMES: usize = 100;

pub(super) fn closed(scene: &Scene<'_>) -> Option<String> {
    let unconfirmed = &scene.observed.unconfirmed;
    let since = scene.record.stage_since.as_ref().map_or(scene.now, |since| since.0);
    let is_over = scene.now.duration_since(since) >= DEADLINE;
    if unconfirmed.is_empty() || is_over || scene.input.cluster.spec.engine_pods() == 0 {
        return None;
    }
    Some(format!("WorkflowProcesses confirmed their definitions: {}", listed(unconfirmed, ROOM_FOR_NAMES)))
}
