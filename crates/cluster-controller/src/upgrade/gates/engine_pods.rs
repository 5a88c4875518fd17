//! The engine runs, and none of its pods starts or ends, so that at most one is away at a time. A pod that is not well is not waited for: the next
//! template may be what mends it.

use api_types::cluster::UpgradeStage;
use jiff::{SignedDuration, Timestamp};

use super::Scene;
use crate::observe::pods::{PodHealth, PodView};
use crate::upgrade::health::START_DEADLINE;

pub(super) fn closed(scene: &Scene<'_>) -> Option<String> {
    if scene.input.cluster.spec.engine_pods() == 0 {
        // A plan that has not begun does not wait for pods that shall not be there.
        let has_begun = matches!(scene.record.stage, UpgradeStage::Canary | UpgradeStage::Rolling);
        return has_begun.then(|| "the engine is started".to_owned());
    }
    let moving = scene.observed.engine_pods().find(|pod| is_moving(pod, scene.now))?;
    Some(if moving.terminating {
        format!("engine pod {} has ended", moving.name)
    } else {
        format!("engine pod {} is ready", moving.name)
    })
}

fn is_moving(pod: &PodView, now: Timestamp) -> bool {
    let starts = match pod.health {
        PodHealth::Unready { since: Some(since) } => {
            now.duration_since(since) < SignedDuration::try_from(START_DEADLINE).unwrap_or_default()
        }
        PodHealth::Unready { since: None } | PodHealth::Ready => false,
    };
    pod.terminating || (starts && pod.problem.is_none())
}
