//! On a real API server.
#![cfg(test)]

mod convergence;
mod deletion;
mod external;
mod managed;
mod passed_on;
mod permissions;
mod pods;
mod provider;
mod refused;
mod rotation;
mod upgrade;
mod world;
