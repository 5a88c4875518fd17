//! The judgement of a cluster that begins with a backup.

use api_types::cluster::ClusterReason as Reason;

use super::{Judge, Judgement, RECHECK_AT_ONCE, RECHECK_MOVING};
use crate::recovery::Stage;

impl Judge<'_> {
    pub(super) fn judge_recovery(&self) -> Option<Judgement> {
        Some(match self.plan.recovery.as_ref()? {
            Stage::Done(_) | Stage::Unknown => return None,
            Stage::Held(reason @ (Reason::RestoreBackupAwaited | Reason::RestoreBackupMissing), message) => {
                self.moving(*reason, message.clone(), RECHECK_MOVING)
            }
            Stage::Held(reason, message) => self.stalled(*reason, message.clone()),
            Stage::JobMissing(_) => {
                let message = "the Job that restores the backup is being created".to_owned();
                self.moving(Reason::Restoring, message, RECHECK_AT_ONCE)
            }
            Stage::Running(job, problem) => {
                let message = match problem {
                    Some(problem) => format!("restore Job {job}: {problem}"),
                    None => format!("restore Job {job} is running"),
                };
                self.moving(Reason::Restoring, message, RECHECK_MOVING)
            }
            Stage::Succeeded(job) => {
                let message = format!("restore Job {job} is done; waiting for the database to show it");
                self.moving(Reason::Restoring, message, RECHECK_AT_ONCE)
            }
            Stage::Failed(job, why) => {
                let message =
                    format!("{why}; correct the cause and delete restore Job {job}, which makes it anew");
                self.stalled(Reason::RestoreFailed, message)
            }
        })
    }
}
