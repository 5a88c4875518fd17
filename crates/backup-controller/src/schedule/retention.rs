//! Which backups of a schedule are old. Pure.

use std::sync::Arc;

use api_types::WorkflowBackup;
use api_types::backup::BackupPhase;
use controller_kit::pass::is_deleting;
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;

use super::Cause;

/// The backups to delete, the oldest first.
///
/// - Only what a schedule made. Never the newest that is complete, and never one that `is_kept` says is being read.
/// - Complete ones: older than `retention_days`, or beyond the newest `keep_last`; with both set, only when both say so.
/// - Failed ones leave nothing to restore from. They go when they are older than `retention_days`; without that, when they are
///   older than every complete one that stays.
#[must_use]
pub fn plan_retention(
    backups: &[Arc<WorkflowBackup>],
    retention_days: Option<i32>,
    keep_last: Option<i32>,
    is_kept: impl Fn(&WorkflowBackup) -> bool,
    now: Timestamp,
) -> Vec<Arc<WorkflowBackup>> {
    let limit = retention_days.map(|days| SignedDuration::from_hours(i64::from(days) * 24));
    let is_too_old = |at: Timestamp| limit.is_some_and(|limit| now.duration_since(at) > limit);
    let most = keep_last.and_then(|number| usize::try_from(number).ok());
    let of_schedule =
        || backups.iter().filter(|backup| Cause::Schedule.is_of(backup) && !is_deleting(&***backup));

    let mut complete: Vec<(Timestamp, &Arc<WorkflowBackup>)> =
        of_schedule().filter_map(|backup| Some((completed_at(backup)?, backup))).collect();
    complete.sort_by_key(|(at, backup)| std::cmp::Reverse((*at, backup.name_any())));
    let is_old = |rank: usize, at: Timestamp| match (limit, most) {
        (None, None) => false,
        (Some(_), None) => is_too_old(at),
        (None, Some(most)) => rank >= most,
        (Some(_), Some(most)) => is_too_old(at) && rank >= most,
    };
    let mut oldest_that_stays = None;
    let mut old = Vec::new();
    for (rank, (at, backup)) in complete.into_iter().enumerate() {
        if rank > 0 && is_old(rank, at) && !is_kept(backup) {
            old.push((at, backup));
        } else {
            oldest_that_stays = Some(at);
        }
    }

    let failed = of_schedule().filter(|backup| phase(backup) == BackupPhase::Failed);
    for backup in failed.filter(|backup| completed_at(backup).is_none() && !is_kept(backup)) {
        let Some(made) = backup.creation_timestamp().map(|time| time.0) else { continue };
        let is_old = match (limit, most) {
            (Some(_), _) => is_too_old(made),
            (None, Some(_)) => oldest_that_stays.is_some_and(|oldest| made < oldest),
            (None, None) => false,
        };
        if is_old {
            old.push((made, backup));
        }
    }
    old.sort_by_key(|(at, backup)| (*at, backup.name_any()));
    old.into_iter().map(|(_, backup)| backup.clone()).collect()
}

fn completed_at(backup: &WorkflowBackup) -> Option<Timestamp> {
    Some(backup.status.as_ref()?.completed_at.as_ref()?.0)
}

fn phase(backup: &WorkflowBackup) -> BackupPhase {
    backup.status.as_ref().and_then(|status| status.phase).unwrap_or_default()
}

#[cfg(test)]
mod tests;
