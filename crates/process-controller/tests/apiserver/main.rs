//! On a real API server.
#![cfg(test)]

mod convergence;
mod git;
mod world;
