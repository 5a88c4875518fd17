//! The rules of the schema once more: objects can be older than the schema. Pure.

use api_types::WorkflowTenant;

/// What is wrong with the spec, where, and what was expected; the first violation is reported.
pub type Verdict = Result<(), String>;

/// Checks the spec.
pub fn validate(tenant: &WorkflowTenant) -> Verdict {
    match api_types::violations(tenant).into_iter().next() {
        None => Ok(()),
        Some(violation) => Err(violation.message),
    }
}

#[cfg(test)]
mod tests;
