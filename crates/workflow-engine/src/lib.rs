//! The BPMN engine that a WorkflowCluster runs, on Postgres.
//!
//! Owns the schema, the isolation of tenants, the token game, jobs and their leases, and the services of
//! `workflow.engine.v1`. It never calls Kubernetes, keeps nothing on disk, and knows other replicas only through the
//! database.
//!
//! Rooms: [`args`] → [`serve`] (ports, tasks) → [`grpc`] and [`gateway`] (who may call what) → [`engine`] (use cases,
//! one transaction each) → [`storage`] (all SQL) through [`database`] (transactions of one tenant); [`runtime`] is the
//! pure token game, [`schema`] the migrations and their state, [`streams`] what is reported as it happens.

pub mod admin;
pub mod args;
pub mod clock;
pub mod database;
pub mod deletion;
mod digest;
pub mod engine;
pub mod error;
pub mod gateway;
pub mod grpc;
pub mod lag;
pub mod lint;
pub mod metrics;
pub mod node;
pub mod runtime;
pub mod schema;
pub mod serve;
pub mod storage;
pub mod streams;
pub mod tenant_id;
pub mod tenant_scope;
pub mod tls;
pub mod upkeep;
mod wakeups;
mod wire;
