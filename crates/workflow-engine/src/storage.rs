//! All SQL on tenants' data. Every function takes a transaction of one tenant or the monitor's, never a bare connection.

pub mod definitions;
pub mod instances;
pub mod jobs;
pub mod keys;
pub mod lag;
pub mod nodes;
pub mod request_log;
pub mod tenants;
