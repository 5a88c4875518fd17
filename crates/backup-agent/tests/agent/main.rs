//! The agent on a real PostgreSQL and real destinations.
#![cfg(test)]

mod adopt;
mod busy;
mod damage;
mod delete;
mod drill;
mod full;
mod interrupted;
mod logins;
mod refusals;
mod round_trip;
mod s3;
mod support;
mod tls;
mod versions;
