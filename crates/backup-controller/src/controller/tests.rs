//! Whole passes in memory.

mod convergence;
