//! Label selectors in their string form, with the grammar and the matching of Kubernetes' own parser.
//!
//! `kube` can match and print selectors but not parse them, and its expressions know no `>` and `<`.

use std::{collections::BTreeSet, fmt, str::FromStr};

use api_types::grammar::is_label_value;

mod lexer;

use lexer::{Lexer, Token};

/// All requirements must hold; none means "everything".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    operator: Operator,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Operator {
    In(BTreeSet<String>),
    NotIn(BTreeSet<String>),
    Exists,
    DoesNotExist,
    GreaterThan(i64),
    LessThan(i64),
}

/// Why a selector could not be read; the message follows the one that Kubernetes gives.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unable to parse requirement: {0}")]
pub struct ParseError(String);

impl Selector {
    /// Whether an object with these labels is selected; `label` gives the value of a key.
    pub fn matches<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.0.iter().all(|requirement| requirement.matches(label(&requirement.key)))
    }

    /// Whether some object with these labels could be selected, whatever its labels of other keys are.
    pub fn admits<'a>(&self, fixed: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.0.iter().all(|requirement| match fixed(&requirement.key) {
            Some(value) => requirement.matches(Some(value)),
            None => true,
        })
    }

    /// The values that `key` must have one of, if the selector says so: what an index can be asked for.
    pub fn candidates(&self, key: &str) -> Option<&BTreeSet<String>> {
        self.0.iter().filter(|requirement| requirement.key == key).find_map(|requirement| match &requirement
            .operator
        {
            Operator::In(values) => Some(values),
            _ => None,
        })
    }
}

impl Requirement {
    fn matches(&self, value: Option<&str>) -> bool {
        match (&self.operator, value) {
            (Operator::In(values), Some(value)) => values.contains(value),
            (Operator::NotIn(values), Some(value)) => !values.contains(value),
            (Operator::Exists, value) => value.is_some(),
            (Operator::DoesNotExist, value) => value.is_none(),
            (Operator::GreaterThan(bound), Some(value)) => value.parse::<i64>().is_ok_and(|v| v > *bound),
            (Operator::LessThan(bound), Some(value)) => value.parse::<i64>().is_ok_and(|v| v < *bound),
            // Kubernetes: `!=` and `notin` hold for an object without the key.
            (Operator::NotIn(_), None) => true,
            (Operator::In(_) | Operator::GreaterThan(_) | Operator::LessThan(_), None) => false,
        }
    }
}

impl FromStr for Selector {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut lexer = Lexer::new(text);
        let mut requirements = Vec::new();
        if lexer.peek_value() == Token::End {
            return Ok(Self(requirements));
        }
        loop {
            requirements.push(parse_requirement(&mut lexer)?);
            match lexer.next_value() {
                Token::End => return Ok(Self(requirements)),
                Token::Comma => match lexer.peek_value() {
                    Token::Identifier(_) | Token::Not => {}
                    other => return Err(unexpected(&other, "identifier after ','")),
                },
                other => return Err(unexpected(&other, "',' or 'end of string'")),
            }
        }
    }
}

fn parse_requirement(lexer: &mut Lexer<'_>) -> Result<Requirement, ParseError> {
    let absent = lexer.peek_value() == Token::Not;
    if absent {
        lexer.next_value();
    }
    let key = match lexer.next_value() {
        Token::Identifier(key) => key,
        other => return Err(unexpected(&other, if absent { "identifier" } else { "!, identifier" })),
    };
    check_key(&key)?;
    if absent {
        return Ok(Requirement { key, operator: Operator::DoesNotExist });
    }
    if matches!(lexer.peek_value(), Token::End | Token::Comma) {
        return Ok(Requirement { key, operator: Operator::Exists });
    }
    let operator = match lexer.next_operator() {
        Token::In => Operator::In(checked(parse_set(lexer)?)?),
        Token::NotIn => Operator::NotIn(checked(parse_set(lexer)?)?),
        Token::Equal => Operator::In(checked(BTreeSet::from([parse_exact(lexer)?]))?),
        Token::NotEqual => Operator::NotIn(checked(BTreeSet::from([parse_exact(lexer)?]))?),
        Token::Greater => Operator::GreaterThan(parse_bound(lexer)?),
        Token::Less => Operator::LessThan(parse_bound(lexer)?),
        other => return Err(unexpected(&other, "in, notin, =, ==, !=, > or <")),
    };
    Ok(Requirement { key, operator })
}

/// The parenthesised list of `in` and `notin`. A missing value is the empty string: `()`, `(,a)`, `(a,)`.
fn parse_set(lexer: &mut Lexer<'_>) -> Result<BTreeSet<String>, ParseError> {
    match lexer.next_value() {
        Token::Open => {}
        other => return Err(unexpected(&other, "'('")),
    }
    let mut values = BTreeSet::new();
    loop {
        match lexer.next_value() {
            Token::Identifier(value) => {
                values.insert(value);
                match lexer.next_value() {
                    Token::Comma => {}
                    Token::Close => return Ok(values),
                    other => return Err(unexpected(&other, "',' or ')'")),
                }
            }
            Token::Comma => {
                values.insert(String::new());
            }
            Token::Close => {
                values.insert(String::new());
                return Ok(values);
            }
            other => return Err(unexpected(&other, "',', ')' or identifier")),
        }
    }
}

fn parse_exact(lexer: &mut Lexer<'_>) -> Result<String, ParseError> {
    if matches!(lexer.peek_value(), Token::End | Token::Comma) {
        return Ok(String::new());
    }
    match lexer.next_value() {
        Token::Identifier(value) => Ok(value),
        other => Err(unexpected(&other, "identifier")),
    }
}

fn parse_bound(lexer: &mut Lexer<'_>) -> Result<i64, ParseError> {
    let value = parse_exact(lexer)?;
    checked(BTreeSet::from([value.clone()]))?;
    value.parse().map_err(|_| {
        ParseError(format!("for 'Gt', 'Lt' operators, the value must be an integer, got {value:?}"))
    })
}

fn checked(values: BTreeSet<String>) -> Result<BTreeSet<String>, ParseError> {
    for value in &values {
        if !is_label_value(value) {
            return Err(ParseError(format!(
                "invalid label value: {value:?}: a valid label must be an empty string or consist of at most 63 \
                 alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
            )));
        }
    }
    Ok(values)
}

fn check_key(key: &str) -> Result<(), ParseError> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    if prefix.is_none_or(is_dns_subdomain) && !name.is_empty() && is_label_value(name) {
        return Ok(());
    }
    Err(ParseError(format!(
        "invalid label key: {key:?}: a name part must consist of at most 63 alphanumeric characters, '-', '_' or '.', \
         and must start and end with an alphanumeric character, with an optional DNS subdomain prefix and '/'"
    )))
}

fn is_dns_subdomain(value: &str) -> bool {
    value.len() <= 253
        && value.split('.').all(|label| {
            !label.is_empty()
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}

fn unexpected(found: &Token, expected: &str) -> ParseError {
    ParseError(format!("found '{found}', expected: {expected}"))
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Token::End => "",
            Token::Identifier(text) => text,
            Token::Not => "!",
            Token::Equal => "=",
            Token::NotEqual => "!=",
            Token::Greater => ">",
            Token::Less => "<",
            Token::Open => "(",
            Token::Close => ")",
            Token::Comma => ",",
            Token::In => "in",
            Token::NotIn => "notin",
        })
    }
}

#[cfg(test)]
mod tests;
