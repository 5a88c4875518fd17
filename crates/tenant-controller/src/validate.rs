//! The rules of the schema once more: objects can be older than the schema. Pure.

use api_types::WorkflowTenant;
use api_types::tenant::TenantReason;
use controller_kit::problem::Problem;

/// Checks the spec; the first violation is reported.
pub fn validate(tenant: &WorkflowTenant) -> Result<(), Problem<TenantReason>> {
    match api_types::violations(tenant).into_iter().next() {
        None => Ok(()),
        Some(violation) => Err(Problem::invalid_spec(violation.message)),
    }
}

#[cfg(test)]
mod tests;
