//! `successCondition` and `failureCondition`: what the platform can compare, and no more. It knows dotted paths, `==`, `!=`,
//! `<`, `<=`, `>` and `>=`, numbers, booleans and words without a dot, joined by `&&` or `,`.

use std::cmp::Ordering;
use std::fmt;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

/// All of these must hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition(Vec<Comparison>);

#[derive(Clone, Debug, PartialEq)]
struct Comparison {
    path: String,
    operator: Operator,
    expected: Literal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Debug, PartialEq)]
enum Literal {
    Number(f64),
    Boolean(bool),
    Word(String),
}

/// The longer ones first: `<=` begins with `<`.
const OPERATORS: [(&str, Operator); 6] = [
    ("==", Operator::Equal),
    ("!=", Operator::NotEqual),
    ("<=", Operator::LessOrEqual),
    (">=", Operator::GreaterOrEqual),
    ("<", Operator::Less),
    (">", Operator::Greater),
];

impl Condition {
    /// Reads one, and refuses what the platform's evaluator does not know.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let comparisons = text.split("&&").flat_map(|part| part.split(','));
        let read = |part: &str| Comparison::parse(part.trim()).with_context(|| format!("condition `{text}`"));
        comparisons.map(read).collect::<anyhow::Result<_>>().map(Self)
    }

    /// Whether it holds for this object. A field that is not there is equal to nothing.
    pub fn holds(&self, object: &Value) -> anyhow::Result<bool> {
        for comparison in &self.0 {
            if !comparison.holds(object)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The fields that it compares, as they are now.
    #[must_use]
    pub fn seen(&self, object: &Value) -> String {
        let seen = |comparison: &Comparison| match field(object, &comparison.path) {
            Some(value) => format!("{}={value}", comparison.path),
            None => format!("{} is not there", comparison.path),
        };
        self.0.iter().map(seen).collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, comparison) in self.0.iter().enumerate() {
            let and = if index > 0 { " && " } else { "" };
            write!(f, "{and}{comparison}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = OPERATORS.iter().find(|(_, known)| *known == self.operator).map_or("", |(word, _)| word);
        write!(f, "{} {word} ", self.path)?;
        match &self.expected {
            Literal::Number(number) => write!(f, "{number}"),
            Literal::Boolean(boolean) => write!(f, "{boolean}"),
            Literal::Word(word) => f.write_str(word),
        }
    }
}

impl Comparison {
    fn parse(text: &str) -> anyhow::Result<Self> {
        let at = |(word, operator): &(&str, Operator)| text.find(word).map(|at| (at, word.len(), *operator));
        let first = OPERATORS.iter().filter_map(at).min_by_key(|(at, length, _)| (*at, usize::MAX - length));
        let (at, length, operator) = first.context("expected <path> == <value>")?;
        let (path, value) = (text[..at].trim(), text[at + length..].trim());
        ensure!(is_path(path), "`{path}`: only dotted paths are compared, no queries of lists");
        let expected = Literal::parse(value)?;
        let is_ordered = !matches!(operator, Operator::Equal | Operator::NotEqual);
        ensure!(
            !is_ordered || matches!(expected, Literal::Number(_)),
            "`{value}`: only numbers are less or greater"
        );
        Ok(Self { path: path.to_owned(), operator, expected })
    }

    fn holds(&self, object: &Value) -> anyhow::Result<bool> {
        let Some(value) = field(object, &self.path).filter(|value| !value.is_null()) else {
            return Ok(self.operator == Operator::NotEqual);
        };
        ensure!(!value.is_array() && !value.is_object(), "{} is no plain value", self.path);
        let number = value.as_f64();
        let order = |expected: f64| number.and_then(|number| number.partial_cmp(&expected));
        Ok(match (self.operator, &self.expected) {
            (Operator::Equal, expected) => expected.is(value),
            (Operator::NotEqual, expected) => !expected.is(value),
            (Operator::Less, Literal::Number(limit)) => order(*limit).is_some_and(Ordering::is_lt),
            (Operator::LessOrEqual, Literal::Number(limit)) => order(*limit).is_some_and(Ordering::is_le),
            (Operator::Greater, Literal::Number(limit)) => order(*limit).is_some_and(Ordering::is_gt),
            (Operator::GreaterOrEqual, Literal::Number(limit)) => order(*limit).is_some_and(Ordering::is_ge),
            (operator, expected) => bail!("{operator:?} {expected:?}: only numbers are less or greater"),
        })
    }
}

impl Literal {
    fn parse(text: &str) -> anyhow::Result<Self> {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if let Ok(boolean) = text.parse() {
            return Ok(Self::Boolean(boolean));
        }
        if let Some(number) = text.parse().ok().filter(|number: &f64| number.is_finite()) {
            return Ok(Self::Number(number));
        }
        ensure!(!text.contains('.'), "`{text}`: a word with a dot cannot be compared");
        ensure!(
            !text.is_empty() && text.bytes().all(is_word),
            "`{text}`: expected a number, true, false or a word of letters, digits, `-` and `_`, without quotes"
        );
        Ok(Self::Word(text.to_owned()))
    }

    fn is(&self, value: &Value) -> bool {
        match self {
            Self::Number(number) => value.as_f64() == Some(*number),
            Self::Boolean(boolean) => value.as_bool() == Some(*boolean),
            Self::Word(word) => value.as_str() == Some(word),
        }
    }
}

fn is_path(path: &str) -> bool {
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    path.split('.').all(is_name)
}

/// The field at a dotted path.
pub(super) fn field<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(object, |value, name| value.get(name))
}

#[cfg(test)]
mod tests;
