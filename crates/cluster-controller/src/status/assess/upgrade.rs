//! The judgement of a cluster whose version or pod template is being changed.

use api_types::cluster::{ClusterPhase, ClusterReason as Reason, UpgradeStage};

use super::super::RESYNC;
use super::super::facts::upgrade_message;
use super::{Judge, Judgement, RECHECK_AT_ONCE, RECHECK_MOVING};
use crate::upgrade::revisions::wanted_revision;

impl Judge<'_> {
    /// An upgrade that is watched, waits or went wrong. What holds a pod up is reported first, and so is a roll.
    pub(super) fn judge_upgrade(&self) -> Option<Judgement> {
        let (reason, message) = upgrade_message(self.target, self.plan)?;
        let moving = || self.moving(reason, message.clone(), RECHECK_MOVING);
        match self.plan.upgrade.stage()? {
            UpgradeStage::Canary => self.judge_problem().or_else(|| Some(moving())),
            UpgradeStage::RollingBack => {
                let judged = self.judge_former_template().unwrap_or_else(moving);
                Some(Judgement { phase: ClusterPhase::RollingBack, ..judged })
            }
            UpgradeStage::RolledBack => {
                self.judge_former_template().or_else(|| Some(self.stalled(reason, message)))
            }
            UpgradeStage::Failed => Some(self.stalled(reason, message)),
            // Each pass runs a process on every pod: rarely, while a person is awaited.
            UpgradeStage::Soaking => self.judge_pods().or_else(|| {
                let recheck = if reason == Reason::FinalizeAwaited { RESYNC } else { RECHECK_MOVING };
                Some(self.moving(reason, message, recheck))
            }),
            UpgradeStage::Preflight
            | UpgradeStage::Planned
            | UpgradeStage::Expanding
            | UpgradeStage::Contracting => Some(self.moving(reason, message, RECHECK_AT_ONCE)),
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
