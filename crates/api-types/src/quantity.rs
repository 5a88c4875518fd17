//! Amounts of CPU, memory and storage, kept exactly as the user wrote them.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity as KubeQuantity;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

use crate::grammar;

/// Largest whole number: far above any real amount, and exact also for JSON parsers that read numbers as doubles.
const MAX_INTEGER: i64 = 1_000_000_000_000_000;

/// The greatest amount that Kubernetes stores, in billionths. It stores a greater one as this.
const GREATEST: i128 = i64::MAX as i128 * BILLION;
const BILLION: i128 = 1_000_000_000;

/// The amount that `text` means, in billionths and rounded up to a whole number of them, as Kubernetes stores it:
/// `0.5`, `500m` and `5e-1` are the same. `None` if it is not a quantity.
#[must_use]
pub fn billionths(text: &str) -> Option<i128> {
    let (number, scale) = split_suffix(text)?;
    let unsigned = number.strip_prefix(['+', '-']).unwrap_or(number);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let is_number = whole.len() + fraction.len() > 0
        && whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
    if !is_number {
        return None;
    }
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let cut = digits.len().saturating_sub(MOST_DIGITS);
    let exact = format!("0{}", &digits[..digits.len() - cut]).parse::<i128>().ok()?;
    let point = i32::try_from(cut).ok()? - i32::try_from(fraction.len()).ok()?;
    let amount = match scale {
        Scale::Binary(bits) => shift_decimal(exact.checked_shl(bits).filter(|_| bits < 64)?, point + 9),
        Scale::Decimal(exponent) => shift_decimal(exact, exponent.saturating_add(point + 9)),
    };
    let amount = amount.min(GREATEST);
    Some(if number.starts_with('-') { -amount } else { amount })
}

/// Digits that are read; further ones are ignored. So many digits times 2^60 fit in an `i128`, and no real amount has
/// more.
const MOST_DIGITS: usize = 20;

enum Scale {
    Binary(u32),
    Decimal(i32),
}

fn split_suffix(text: &str) -> Option<(&str, Scale)> {
    const BINARY: [(&str, u32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];
    const DECIMAL: [(&str, i32); 9] =
        [("n", -9), ("u", -6), ("m", -3), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
    let binary =
        BINARY.iter().find_map(|(suffix, bits)| Some((text.strip_suffix(suffix)?, Scale::Binary(*bits))));
    let decimal = || {
        DECIMAL
            .iter()
            .find_map(|(suffix, exponent)| Some((text.strip_suffix(suffix)?, Scale::Decimal(*exponent))))
    };
    binary.or_else(decimal).or_else(|| match text.split_once(['e', 'E']) {
        Some((number, exponent)) => Some((number, Scale::Decimal(exponent.parse().ok()?))),
        None => Some((text, Scale::Decimal(0))),
    })
}

/// `number` times ten to the `exponent`, rounded up; [`GREATEST`] on overflow.
fn shift_decimal(number: i128, exponent: i32) -> i128 {
    let power = 10_i128.checked_pow(exponent.unsigned_abs());
    match power {
        Some(power) if exponent >= 0 => number.checked_mul(power).unwrap_or(GREATEST),
        Some(power) => number / power + i128::from(number % power > 0),
        None if exponent >= 0 && number > 0 => GREATEST,
        None => i128::from(number > 0),
    }
}

/// A Kubernetes quantity as written: `cpu: 2` stays a number, `cpu: "2"` and `500m` stay strings.
///
/// Why not the quantity of k8s-openapi: it turns numbers into strings, and then the live object is no longer a superset
/// of what was applied, which makes GitOps tools report a difference for ever.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Quantity {
    /// A whole number of the base unit, 0 or more.
    Integer(i64),
    /// A number with an optional suffix, see [`grammar::QUANTITY`].
    Text(String),
}

impl Quantity {
    /// The amount in billionths, see [`billionths`].
    #[must_use]
    pub fn billionths(&self) -> Option<i128> {
        billionths(&self.to_string())
    }

    /// The form that pod specs take.
    pub fn to_kube(&self) -> KubeQuantity {
        KubeQuantity(self.to_string())
    }
}

impl std::fmt::Display for Quantity {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Integer(whole) => write!(out, "{whole}"),
            Self::Text(text) => out.write_str(text),
        }
    }
}

impl From<&str> for Quantity {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<i64> for Quantity {
    fn from(whole: i64) -> Self {
        Self::Integer(whole)
    }
}

impl JsonSchema for Quantity {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "pattern": grammar::QUANTITY,
            "maxLength": grammar::QUANTITY_MAX,
            "minimum": 0,
            "maximum": MAX_INTEGER,
        })
    }
}

#[cfg(test)]
mod tests;
