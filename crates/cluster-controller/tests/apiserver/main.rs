//! On a real API server.
#![cfg(test)]

mod access;
mod convergence;
mod deletion;
mod passed_on;
mod pods;
mod refused;
mod rotation;
mod upgrade;
mod world;
