//! What this operator's services share of its domain: references and grants between its objects, and the way from a
//! WorkflowCluster to its engine.
//!
//! - [`reference`](mod@reference) follows `clusterRef` and `tenantRef`, and says who grants them.
//! - [`fields`] says which fields of a referenced object its dependants read.
//! - [`awaited`] says what a cluster or tenant still lacks before its dependants can go on.
//! - [`engine`] turns a WorkflowCluster into a connection, [`error`] classifies what the engine answers.
//! - [`grant`] names the permission that a person has to create.
//!
//! What any operator could use is in `controller-kit`.
#![deny(missing_docs)]

pub mod awaited;
pub mod engine;
pub mod error;
pub mod fields;
pub mod grant;
pub mod reference;
