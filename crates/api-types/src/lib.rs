//! The custom resources of group `workflow.example.com`: their types, schemas, conditions, reasons, names and labels.
//!
//! Owns: the fields that a user may write (`spec`), the fields that the controllers report (`status`), the words of
//! both, and the names that controllers, engine, workers and adapter must agree on.
//! Never does: talk to an apiserver or an engine, read a clock, decide anything. There is no I/O here.

#![deny(missing_docs)]
// KubeSchema copies each struct with its `pub` into the body of a function.
#![allow(unreachable_pub)]
// Clippy takes two printer columns of the same type for a duplicate.
#![allow(clippy::duplicated_attributes)]

pub mod backup;
pub mod child_fields;
pub mod cluster;
pub mod condition;
pub mod engine_access;
pub mod grammar;
pub mod job_type;
pub mod labels;
pub mod names;
pub mod process;
pub mod quantity;
pub mod reason;
pub mod reference;
pub mod render;
pub mod scheduling;
pub mod schema;
pub mod status;
pub mod tenant;
pub mod violation;
pub mod worker;
pub mod worker_env;

pub use backup::{WorkflowBackup, WorkflowBackupSpec, WorkflowBackupStatus};
pub use cluster::{WorkflowCluster, WorkflowClusterSpec, WorkflowClusterStatus};
pub use process::{WorkflowProcess, WorkflowProcessSpec, WorkflowProcessStatus};
pub use tenant::{WorkflowTenant, WorkflowTenantSpec, WorkflowTenantStatus};
pub use violation::{Violation, violations};
pub use worker::{WorkflowWorker, WorkflowWorkerSpec, WorkflowWorkerStatus};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

/// The API group of every kind.
pub const GROUP: &str = "workflow.example.com";
/// The only served version of every kind.
pub const VERSION: &str = "v1alpha1";
/// `status.observedGeneration` of an object that no controller has seen yet, as the API server defaults it.
pub const UNSEEN_GENERATION: i64 = -1;
/// `status.message` is never longer than this many characters.
pub const MAX_MESSAGE_CHARS: usize = 256;

/// The CustomResourceDefinitions, in the order of their kinds.
pub fn crds() -> [CustomResourceDefinition; 5] {
    [
        WorkflowCluster::crd(),
        WorkflowTenant::crd(),
        WorkflowProcess::crd(),
        WorkflowWorker::crd(),
        WorkflowBackup::crd(),
    ]
}
