//! The rules of the schema once more (objects can be older than the schema), and what this version acts on. Pure.

use api_types::WorkflowProcess;
use api_types::process::ProcessReason as Reason;
use controller_kit::outcome::ErrorClass;
use controller_kit::problem::Problem;

/// Checks in order; the first that fails is reported.
pub fn validate(process: &WorkflowProcess) -> Result<(), Problem<Reason>> {
    if let Some(violation) = api_types::violations(process).into_iter().next() {
        return Err(Problem::invalid_spec(violation.message));
    }
    if process.spec.source.flux_ref.is_some() {
        return Err(Problem::new(
            Reason::FieldsNotActedOn,
            ErrorClass::Invalid,
            "spec.source.fluxRef is stored but not acted on by this version; use spec.source.gitRef, spec.source.configMapRef or spec.source.bpmn",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
