//! The rules of the schema once more: objects can be older than the schema. Pure.

use api_types::WorkflowProcess;
use api_types::process::ProcessReason as Reason;
use controller_kit::problem::Problem;

/// Checks in order; the first that fails is reported.
pub fn validate(process: &WorkflowProcess) -> Result<(), Problem<Reason>> {
    let violation = api_types::violations(process).into_iter().next();
    violation.map_or(Ok(()), |violation| Err(Problem::invalid_spec(violation.message)))
}

#[cfg(test)]
mod tests;
