//! The judgement of the database, and of the provider that makes it.

use std::time::Duration;

use api_types::cluster::ClusterReason as Reason;
use api_types::cluster::{BARMAN_CLOUD_INSTALL, ClusterPhase};
use api_types::condition::POSTGRES_REACHABLE;
use controller_kit::condition::{Readiness, find};
use controller_kit::outcome::Next;

use super::{Judge, Judgement, RECHECK_MOVING, why_stopped};
use crate::observe::postgres::{PostgresProblem, PostgresView};
use crate::provider::archive::StoresView;
use crate::provider::{KeptSize, Managed, State, WhyKept};

/// A database that is away is asked again after 5 s, later after half the time that it has been away, to 60 s.
const RECHECK_POSTGRES: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(1));

impl Judge<'_> {
    pub(super) fn judge_postgres(&self) -> Option<Judgement> {
        let PostgresView::Unusable(problem) = &self.observed.postgres else { return None };
        let PostgresProblem { reason, cause } = problem;
        match reason {
            Reason::PostgresHibernated if self.cluster.spec.is_stopped() => {
                let message = format!(
                    "{}: no engine pod runs and Postgres sleeps, the data is kept",
                    why_stopped(self.cluster)
                );
                return Some(self.settled(Reason::Stopped, message));
            }
            // What it needs comes by itself.
            Reason::PostgresProvisioning
            | Reason::PostgresHibernating
            | Reason::RestoreBackupAwaited
            | Reason::RestoreBackupMissing => {
                return Some(self.moving(*reason, cause.clone(), RECHECK_MOVING));
            }
            _ => {}
        }
        Some(Judgement {
            phase: self.problem_phase(ClusterPhase::Pending),
            readiness: if problem.may_pass() { Readiness::InProgress } else { Readiness::Stalled },
            reason: *reason,
            message: cause.clone(),
            next: Next::Wait { recheck: self.postgres_recheck() },
        })
    }

    /// A database that serves, and is not as the spec asks for.
    pub(super) fn judge_provider(&self) -> Option<Judgement> {
        let managed = self.observed.managed.as_ref()?;
        if let Some(KeptSize { size, why }) = &managed.kept_size {
            return Some(match why {
                WhyKept::Shrinks => self.stalled(
                    Reason::StorageShrinkRefused,
                    format!(
                        "spec.postgres.managed.storageSize is less than the {size} that the volumes have: they cannot shrink"
                    ),
                ),
                WhyKept::ClassIsFixed(class) => self.stalled(
                    Reason::StorageCannotGrow,
                    format!(
                        "StorageClass {class} does not let volumes grow (allowVolumeExpansion): they keep their {size}"
                    ),
                ),
            });
        }
        if self.cluster.spec.wal_archive().is_some() && !managed.archives {
            return Some(self.judge_missing_archive(managed));
        }
        match managed.state.as_ref()? {
            State::Ready | State::Hibernated | State::Waking => None,
            State::Provisioning(what) => Some(self.moving(
                Reason::PostgresProvisioning,
                format!("the managed Postgres {what}"),
                RECHECK_MOVING,
            )),
            State::Hibernating => {
                let message = "the engine is stopped, the managed Postgres goes to sleep".to_owned();
                Some(self.moving(Reason::PostgresHibernating, message, RECHECK_MOVING))
            }
            State::Degraded(what) => {
                let phase = self.problem_phase(ClusterPhase::Provisioning);
                let message = format!("the managed Postgres serves, {what}");
                Some(Judgement { phase, ..self.moving(Reason::PostgresDegraded, message, RECHECK_MOVING) })
            }
            State::Failed(what) => {
                Some(self.stalled(Reason::PostgresFailed, format!("the managed Postgres {what}")))
            }
        }
    }

    /// It serves, and nothing is backed up.
    fn judge_missing_archive(&self, managed: &Managed) -> Judgement {
        let (reason, message) = match &managed.stores {
            StoresView::Unread(problem) => (problem.reason, problem.to_string()),
            StoresView::KindMissing | StoresView::Known(_) => (
                Reason::ProviderMissing,
                format!(
                    "spec.backup.method CloudNativePG needs the plugin Barman Cloud, which is not installed, so no WAL is archived: {BARMAN_CLOUD_INSTALL}"
                ),
            ),
        };
        Judgement { next: Next::Wait { recheck: RECHECK_POSTGRES.1 }, ..self.stalled(reason, message) }
    }

    fn postgres_recheck(&self) -> Duration {
        let (min, max) = RECHECK_POSTGRES;
        let conditions =
            self.cluster.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
        let since = find(conditions, POSTGRES_REACHABLE).filter(|reachable| reachable.status == "False");
        let away = since.map_or(Duration::ZERO, |since| {
            Duration::try_from(self.now.duration_since(since.last_transition_time.0)).unwrap_or_default()
        });
        (away / 2).clamp(min, max)
    }
}
