//! Execution of instances: how tokens move (without I/O), and the compiled definitions.

pub mod definitions;
pub mod tokens;
