//! End-to-end tests of the engine: processes of the real binary, on a real PostgreSQL, called over TLS.
#![cfg(test)]

mod all_methods;
mod canary;
mod claim;
mod client;
mod connections;
mod deploy;
mod discovery;
mod epochs;
mod gateway;
mod history;
mod incidents;
mod instances;
mod isolation;
mod job_types;
mod jobs;
mod lag;
mod migrate;
mod models;
mod outage;
mod owners;
mod plans;
mod purge;
mod roles;
mod rotation;
mod routing;
mod serve;
mod start;
mod storage;
mod streams;
mod support;
mod tenants;
mod waiting;
