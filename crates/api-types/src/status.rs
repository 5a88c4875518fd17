//! What every kind's status begins with.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::backup::{BackupPhase, WorkflowBackupStatus};
use crate::cluster::{ClusterPhase, WorkflowClusterStatus};
use crate::process::{ProcessPhase, WorkflowProcessStatus};
use crate::tenant::{TenantPhase, WorkflowTenantStatus};
use crate::worker::{WorkerPhase, WorkflowWorkerStatus};

/// The fields that every kind's status begins with; `P` is the kind's phase.
#[derive(Clone, Debug, PartialEq)]
pub struct StatusHead<P> {
    /// The `metadata.generation` that the status was computed for; [`crate::UNSEEN_GENERATION`] until a controller saw
    /// the object.
    pub observed_generation: Option<i64>,
    /// Where the object is in its life.
    pub phase: Option<P>,
    /// Whether the spec is reached.
    pub ready: bool,
    /// What happens now, or what is wrong and what to do.
    pub message: Option<String>,
    /// The conditions, sorted by type.
    pub conditions: Vec<Condition>,
}

/// A status whose head can be read and written without knowing the kind.
pub trait Status {
    /// The kind's phase.
    type Phase;

    /// The generation that the status was computed for.
    fn observed_generation(&self) -> Option<i64>;
    /// The phase; the first one of the kind while no controller has set any.
    fn phase(&self) -> Self::Phase;
    /// Whether the spec is reached.
    fn is_ready(&self) -> bool;
    /// The conditions.
    fn conditions(&self) -> &[Condition];
    /// Replaces the head.
    fn set_head(&mut self, head: StatusHead<Self::Phase>);
}

macro_rules! status {
    ($($status:ident $phase:ident),+) => {$(
        impl Status for $status {
            type Phase = $phase;

            fn observed_generation(&self) -> Option<i64> {
                self.observed_generation
            }

            fn phase(&self) -> $phase {
                self.phase.unwrap_or_default()
            }

            fn is_ready(&self) -> bool {
                self.ready
            }

            fn conditions(&self) -> &[Condition] {
                &self.conditions
            }

            fn set_head(&mut self, head: StatusHead<$phase>) {
                let StatusHead { observed_generation, phase, ready, message, conditions } = head;
                self.observed_generation = observed_generation;
                self.phase = phase;
                self.ready = ready;
                self.message = message;
                self.conditions = conditions;
            }
        }
    )+};
}

status!(
    WorkflowClusterStatus ClusterPhase,
    WorkflowTenantStatus TenantPhase,
    WorkflowProcessStatus ProcessPhase,
    WorkflowWorkerStatus WorkerPhase,
    WorkflowBackupStatus BackupPhase
);
