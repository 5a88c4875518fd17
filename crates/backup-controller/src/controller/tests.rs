//! Whole passes in memory.

mod convergence;
mod crash;
mod deletion;
mod drill;
mod failures;
mod order;
