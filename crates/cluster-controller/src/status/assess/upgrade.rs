//! The judgement of a cluster whose version or pod template is being changed.

use std::time::Duration;

use api_types::cluster::{ClusterPhase, ClusterReason as Reason, UpgradeStage};

use super::super::RESYNC;
use super::super::facts::upgrade_message;
use super::{Judge, Judgement, RECHECK_AT_ONCE, RECHECK_MOVING};
use crate::upgrade::revisions::wanted_revision;

impl Judge<'_> {
    /// An upgrade that is watched, waits or went wrong. What holds a pod up is reported first, and so is a roll.
    pub(super) fn judge_upgrade(&self) -> Option<Judgement> {
        let (reason, message) = upgrade_message(self.target, self.plan)?;
        let moving = |recheck| self.moving(reason, message.clone(), recheck);
        let stage = self.plan.upgrade.stage()?;
        // It goes on when the engine runs; until then a cluster that is stopped is as its spec says.
        let waits_for_pods = matches!(
            stage,
            UpgradeStage::Canary | UpgradeStage::Rolling | UpgradeStage::RolledBack | UpgradeStage::Failed
        );
        if waits_for_pods && self.cluster.spec.engine_pods() == 0 {
            return None;
        }
        match stage {
            UpgradeStage::Canary => self.judge_problem().or_else(|| Some(moving(recheck_of(reason)))),
            UpgradeStage::RollingBack => {
                let judged = self.judge_former_template().unwrap_or_else(|| moving(RECHECK_MOVING));
                Some(Judgement { phase: ClusterPhase::RollingBack, ..judged })
            }
            UpgradeStage::RolledBack => {
                self.judge_former_template().or_else(|| Some(self.stalled(reason, message)))
            }
            UpgradeStage::Failed => Some(self.stalled(reason, message)),
            UpgradeStage::Soaking => self.judge_pods().or_else(|| Some(moving(recheck_of(reason)))),
            UpgradeStage::Rolling if reason == Reason::MaintenanceWindowAwaited => {
                self.judge_problem().or_else(|| Some(moving(recheck_of(reason))))
            }
            UpgradeStage::Preflight
            | UpgradeStage::Planned
            | UpgradeStage::BackingUp
            | UpgradeStage::Expanding
            | UpgradeStage::Contracting
            | UpgradeStage::Verifying => {
                Some(moving(if awaits_nobody(reason) { RECHECK_AT_ONCE } else { RESYNC }))
            }
            UpgradeStage::Rolling | UpgradeStage::Done => None,
        }
    }

    /// The template that the pods go back to may have a problem of its own.
    fn judge_former_template(&self) -> Option<Judgement> {
        let set =
            self.observed.children.stateful_set().filter(|_| !self.plan.upgrade.rollout.change.template)?;
        let wanted = wanted_revision(set)?;
        self.judge_problem_of(|pod| pod.revision.as_deref() == Some(wanted))
    }
}

/// A person or a time of day is awaited: nothing else shows that it came. Each pass runs a process on every pod of a new
/// template, so it is looked at rarely.
fn awaits_nobody(reason: Reason) -> bool {
    !matches!(reason, Reason::FinalizeAwaited | Reason::MaintenanceWindowAwaited | Reason::BackupAwaited)
}

fn recheck_of(reason: Reason) -> Duration {
    if awaits_nobody(reason) { RECHECK_MOVING } else { RESYNC }
}
