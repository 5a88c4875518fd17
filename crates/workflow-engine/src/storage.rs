//! All SQL on tenants' data. Every function takes a transaction of one tenant or of the monitor, never a connection.
//!
//! Sessions plan each statement once, independently of the later size of the tables (`database::prepare_session`). So
//! the statements that start instances, and activate and complete jobs, must allow only one plan: they find rows by
//! `key = ANY` of an array, by `ON CONFLICT`, or in a LATERAL that must run for each row. A join of the written table
//! with an array is none of these: while the table looks empty, the planner prefers to read all rows of the tenant.

pub mod cancel;
pub mod definitions;
pub mod incidents;
pub mod instance_views;
pub mod instances;
pub mod job_types;
pub mod jobs;
pub mod keys;
pub mod lag;
pub mod nodes;
pub mod owners;
pub mod purge;
pub mod request_log;
pub mod retired;
pub mod tenants;
pub mod usage;
pub mod waiting;
pub mod writers;
