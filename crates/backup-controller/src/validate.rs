//! The spec alone. Pure.

use api_types::backup::BackupReason;
use api_types::{WorkflowBackup, violations};
use controller_kit::problem::Problem;

/// Checks what the schema says once more: objects can be older than it.
pub fn validate(backup: &WorkflowBackup) -> Result<(), Problem<BackupReason>> {
    let broken = violations(backup);
    let Some(first) = broken.first() else { return Ok(()) };
    let more = match broken.len() - 1 {
        0 => String::new(),
        others => format!("; and {others} more"),
    };
    Err(Problem::invalid_spec(format!("{first}{more}")))
}
