//! Label and field selectors of a LIST.

use serde_json::Value;

/// Whether `labelSelector` (equality and set forms, comma = and) selects the object. An unreadable term is an error
/// with its text.
pub(super) fn selects_labels(selector: &str, object: &Value) -> Result<bool, String> {
    let label = |key: &str| object["metadata"]["labels"][key].as_str();
    for term in terms(selector) {
        let holds = if let Some((key, values)) = set_term(term, " notin ") {
            !label(key).is_some_and(|v| values.contains(&v))
        } else if let Some((key, values)) = set_term(term, " in ") {
            label(key).is_some_and(|v| values.contains(&v))
        } else if let Some((key, value)) = term.split_once("!=") {
            label(key.trim()) != Some(value.trim())
        } else if let Some((key, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
            label(key.trim()) == Some(value.trim())
        } else if let Some(key) = term.strip_prefix('!') {
            label(key.trim()).is_none()
        } else if term.contains([' ', '(', ')']) {
            return Err(format!("unable to parse requirement: {term}"));
        } else {
            label(term).is_some()
        };
        if !holds {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether `fieldSelector` (`path=value`, `path!=value`, comma = and) selects the object. The real apiserver knows only
/// a few paths per kind; here any dotted path works.
pub(super) fn selects_fields(selector: &str, object: &Value) -> Result<bool, String> {
    for term in terms(selector) {
        let (path, value, wanted) = if let Some((path, value)) = term.split_once("!=") {
            (path, value, false)
        } else if let Some((path, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
            (path, value, true)
        } else {
            return Err(format!("invalid selector: '{term}'; can't understand '{term}'"));
        };
        let found = path.split('.').fold(object, |at, field| &at[field]);
        let equal = match found {
            Value::Null => value.is_empty(),
            Value::String(text) => text == value,
            other => serde_json::from_str(value).is_ok_and(|value: Value| value == *other),
        };
        if equal != wanted {
            return Ok(false);
        }
    }
    Ok(true)
}

fn set_term<'a>(term: &'a str, operator: &str) -> Option<(&'a str, Vec<&'a str>)> {
    let (key, values) = term.split_once(operator)?;
    let values = values.trim().strip_prefix('(')?.strip_suffix(')')?;
    Some((key.trim(), values.split(',').map(str::trim).collect()))
}

/// Splits at the commas outside parentheses.
fn terms(selector: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_i32;
    selector
        .split(move |c| {
            depth += match c {
                '(' => 1,
                ')' => -1,
                _ => 0,
            };
            c == ',' && depth == 0
        })
        .map(str::trim)
        .filter(|term| !term.is_empty())
}
