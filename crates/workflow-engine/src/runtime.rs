//! What an instance does: the token game (pure) and the compiled definitions that it is played on.

pub mod definitions;
pub mod tokens;
