//! On a real API server.
#![cfg(test)]

mod convergence;
mod world;
