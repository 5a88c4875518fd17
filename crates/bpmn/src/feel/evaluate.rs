use std::cmp::Ordering;
use std::str::FromStr;

use serde_json::{Number, Value};

use super::{Decimal, Expr, Operator};

/// The value of an expression; `variables` is a JSON object. Never fails: an expression without a value is `null`.
pub fn evaluate(expr: &Expr, variables: &Value) -> Value {
    value_of(expr, variables).into_json()
}

/// Whether a gateway takes the flow with this condition, that is, whether its value is exactly `true`.
pub fn is_true(expr: &Expr, variables: &Value) -> bool {
    matches!(value_of(expr, variables), Operand::Boolean(true))
}

/// An intermediate value, with numbers as decimals.
enum Operand<'v> {
    Null,
    Boolean(bool),
    Number(Decimal),
    String(std::borrow::Cow<'v, str>),
    /// A list or a context, which the subset can only compare and return.
    Composite(&'v Value),
}

impl<'v> Operand<'v> {
    fn from_json(value: &'v Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Boolean(*value),
            Value::Number(number) => decimal(number).map_or(Self::Null, Self::Number),
            Value::String(value) => Self::String(value.into()),
            Value::Array(_) | Value::Object(_) => Self::Composite(value),
        }
    }

    fn into_json(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Boolean(value) => Value::Bool(value),
            Self::Number(value) => json_number(value),
            Self::String(value) => Value::String(value.into_owned()),
            Self::Composite(value) => value.clone(),
        }
    }

    fn boolean(self) -> Option<bool> {
        if let Self::Boolean(value) = self { Some(value) } else { None }
    }
}

fn value_of<'v>(expr: &'v Expr, variables: &'v Value) -> Operand<'v> {
    match expr {
        Expr::Null => Operand::Null,
        Expr::Boolean(value) => Operand::Boolean(*value),
        Expr::Number(value) => Operand::Number(*value),
        Expr::String(value) => Operand::String(value.into()),
        Expr::Path(path) => {
            let found = path.iter().try_fold(variables, |value, name| value.as_object()?.get(name));
            found.map_or(Operand::Null, Operand::from_json)
        }
        Expr::Not(operand) => logical(value_of(operand, variables).boolean().map(|value| !value)),
        Expr::Negate(operand) => match value_of(operand, variables) {
            Operand::Number(value) => Operand::Number(-value),
            _ => Operand::Null,
        },
        Expr::Binary(operator, left, right) => {
            binary(*operator, value_of(left, variables), value_of(right, variables))
        }
    }
}

fn binary<'v>(operator: Operator, left: Operand<'v>, right: Operand<'v>) -> Operand<'v> {
    match operator {
        Operator::And => logical(and(left.boolean(), right.boolean())),
        // By De Morgan's law, so that the three-valued logic is only in `and`.
        Operator::Or => logical(
            and(left.boolean().map(|value| !value), right.boolean().map(|value| !value)).map(|value| !value),
        ),
        Operator::Equal => logical(equal(&left, &right)),
        Operator::NotEqual => logical(equal(&left, &right).map(|value| !value)),
        Operator::Less => logical(order(&left, &right).map(Ordering::is_lt)),
        Operator::LessOrEqual => logical(order(&left, &right).map(Ordering::is_le)),
        Operator::Greater => logical(order(&left, &right).map(Ordering::is_gt)),
        Operator::GreaterOrEqual => logical(order(&left, &right).map(Ordering::is_ge)),
        Operator::Add => match (left, right) {
            (Operand::String(left), Operand::String(right)) => {
                Operand::String((left + right.as_ref()).into_owned().into())
            }
            (left, right) => arithmetic(left, right, Decimal::checked_add),
        },
        Operator::Subtract => arithmetic(left, right, Decimal::checked_sub),
        Operator::Multiply => arithmetic(left, right, Decimal::checked_mul),
        Operator::Divide => arithmetic(left, right, Decimal::checked_div),
    }
}

fn logical<'v>(value: Option<bool>) -> Operand<'v> {
    value.map_or(Operand::Null, Operand::Boolean)
}

fn and(left: Option<bool>, right: Option<bool>) -> Option<bool> {
    match (left, right) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

fn equal(left: &Operand<'_>, right: &Operand<'_>) -> Option<bool> {
    match (left, right) {
        (Operand::Null, Operand::Null) => Some(true),
        (Operand::Null, _) | (_, Operand::Null) => Some(false),
        (Operand::Boolean(left), Operand::Boolean(right)) => Some(left == right),
        (Operand::Number(left), Operand::Number(right)) => Some(left == right),
        (Operand::String(left), Operand::String(right)) => Some(left == right),
        (Operand::Composite(left), Operand::Composite(right)) => Some(left == right),
        _ => None,
    }
}

fn order(left: &Operand<'_>, right: &Operand<'_>) -> Option<Ordering> {
    match (left, right) {
        (Operand::Number(left), Operand::Number(right)) => Some(left.cmp(right)),
        (Operand::String(left), Operand::String(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

fn arithmetic<'v>(
    left: Operand<'v>,
    right: Operand<'v>,
    compute: impl FnOnce(Decimal, Decimal) -> Option<Decimal>,
) -> Operand<'v> {
    match (left, right) {
        (Operand::Number(left), Operand::Number(right)) => {
            compute(left, right).map_or(Operand::Null, Operand::Number)
        }
        _ => Operand::Null,
    }
}

fn decimal(number: &Number) -> Option<Decimal> {
    let text = number.to_string();
    Decimal::from_str(&text).or_else(|_| Decimal::from_scientific(&text)).ok()
}

fn json_number(value: Decimal) -> Value {
    let value = value.normalize();
    let text = value.to_string();
    let whole = text.parse::<i64>().map(Number::from).ok();
    whole.or_else(|| text.parse().ok().and_then(Number::from_f64)).map_or(Value::Null, Value::Number)
}
