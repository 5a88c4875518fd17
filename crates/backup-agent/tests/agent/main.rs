//! The agent on a real PostgreSQL and real destinations.
#![cfg(test)]

mod logins;
mod round_trip;
mod support;
