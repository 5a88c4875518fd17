//! On a real API server.
#![cfg(test)]

mod autoscaler;
mod conflicts;
mod convergence;
mod crash;
mod passed_on;
mod permissions;
mod program;
mod world;
