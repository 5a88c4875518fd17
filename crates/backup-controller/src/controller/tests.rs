//! Whole passes in memory.

mod base_backup;
mod convergence;
mod crash;
mod deletion;
mod drill;
mod failures;
mod order;
