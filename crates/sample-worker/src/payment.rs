//! The work itself: variables in, variables out. This is the part to replace by your own.

use engine_client::model::Variables;
use serde_json::json;

/// Payments above it are declined.
const LIMIT: f64 = 1000.0;

/// What the job did to the instance's variables, or why it never can: then it becomes an incident.
///
/// `charge-payment` reads `amount` and gives `paymentApproved` and `paymentMessage`; `refund-payment` reads `amount` and
/// gives `paymentRefunded`.
pub(crate) fn perform(job_type: &str, variables: &Variables) -> Result<Variables, String> {
    match job_type {
        "charge-payment" => {
            let amount = amount(variables)?;
            let approved = amount <= LIMIT;
            let message = if approved { "approved" } else { "declined: amount is above the limit" };
            Ok([("paymentApproved", json!(approved)), ("paymentMessage", json!(message))]
                .map(named)
                .into_iter()
                .collect())
        }
        "refund-payment" => {
            amount(variables)?;
            Ok([("paymentRefunded", json!(true))].map(named).into_iter().collect())
        }
        other => Err(format!("this worker serves charge-payment and refund-payment, not {other}")),
    }
}

fn amount(variables: &Variables) -> Result<f64, String> {
    let amount = variables.get("amount").ok_or("variable amount is missing: expected a number above 0")?;
    let number = amount.as_f64().filter(|number| *number > 0.0);
    number.ok_or_else(|| format!("variable amount is {amount}: expected a number above 0"))
}

fn named((name, value): (&str, serde_json::Value)) -> (String, serde_json::Value) {
    (name.to_owned(), value)
}

#[cfg(test)]
mod tests;
