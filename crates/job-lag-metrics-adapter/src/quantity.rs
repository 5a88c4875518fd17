//! Kubernetes quantities, as far as a metric value needs them: whole units, or thousandths with the suffix `m`.

/// Thousandths of a unit as a quantity string: `1500` → `"1500m"`, `30000` → `"30"`.
///
/// The unsigned input is deliberate: the autoscaler reads a negative `AverageValue` as an overflow and scales to
/// the maximum, so a negative value must not be expressible.
pub fn from_millis(millis: u64) -> String {
    if millis.is_multiple_of(1000) { (millis / 1000).to_string() } else { format!("{millis}m") }
}

#[cfg(test)]
mod tests;
