//! All SQL on tenants' data. Every function takes a transaction of one tenant or the monitor's, never a bare connection.
//!
//! Sessions plan each statement once, for whatever size the tables then have (`database::prepare_session`), so what starts,
//! takes and completes jobs is written such that only one plan is possible: rows are found by `key = ANY` of an array, by
//! `ON CONFLICT`, or in a LATERAL that has to run for each row. A join of the written table with an array is none of these:
//! on a table that looks empty, reading all of the tenant's rows seems cheaper than looking each up.

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
pub mod writers;
