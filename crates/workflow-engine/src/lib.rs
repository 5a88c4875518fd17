//! The BPMN engine that a WorkflowCluster runs, on Postgres. It owns the database schema, the isolation of tenants, the
//! execution of processes (moving tokens), jobs and their leases, and the services of `workflow.engine.v1`. It never
//! calls Kubernetes, stores nothing on disk, and its replicas communicate only through the database. Modules: [`args`]
//! → [`serve`] (ports, tasks) → [`grpc`] and [`gateway`] (authorization) → [`engine`] (use cases, one transaction each)
//! → [`storage`] (all SQL) through [`database`] (transactions of one tenant). [`runtime`] moves tokens without I/O,
//! [`schema`] has the migrations and their state, [`streams`] the server streams.

pub mod admin;
pub mod args;
pub mod claim;
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
pub mod release;
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
