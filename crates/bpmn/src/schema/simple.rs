//! Values of attributes and text-only elements.

use super::grammar::Value;
use super::is_xml_space;
use crate::document::Node;

pub(super) fn is_valid(node: Node<'_>, value: &str, expected: Value) -> bool {
    let collapsed = value.trim_matches(is_xml_space);
    match expected {
        // URIs are used as names in models, and tools disagree on which characters they may contain.
        Value::String | Value::AnyUri => true,
        Value::Boolean => matches!(collapsed, "true" | "false" | "0" | "1"),
        Value::Integer => {
            let digits = collapsed.strip_prefix(['-', '+']).unwrap_or(collapsed);
            !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
        }
        Value::Double => is_double(collapsed),
        Value::QName => is_qname(node, collapsed),
        Value::Id | Value::IdRef => is_ncname(collapsed),
        Value::OneOf(words) => words.split('|').any(|word| word == value),
    }
}

/// The word for a message.
pub(super) fn noun(expected: Value) -> String {
    match expected {
        Value::String => "text".to_owned(),
        Value::AnyUri => "a URI".to_owned(),
        Value::Boolean => "true or false".to_owned(),
        Value::Integer => "a whole number".to_owned(),
        Value::Double => "a number".to_owned(),
        Value::QName => "a name with a declared prefix".to_owned(),
        Value::Id | Value::IdRef => "an id".to_owned(),
        Value::OneOf(words) => format!("one of {}", words.replace('|', ", ")),
    }
}

fn is_double(value: &str) -> bool {
    match value {
        "INF" | "-INF" | "NaN" => true,
        _ => {
            value
                .bytes()
                .all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E'))
                && value.parse::<f64>().is_ok()
        }
    }
}

fn is_qname(node: Node<'_>, value: &str) -> bool {
    match value.split_once(':') {
        Some((prefix, local)) => {
            is_ncname(prefix)
                && is_ncname(local)
                && (prefix == "xml" || node.lookup_namespace_uri(Some(prefix)).is_some())
        }
        None => is_ncname(value),
    }
}

fn is_ncname(value: &str) -> bool {
    let mut characters = value.chars();
    characters.next().is_some_and(is_name_start) && characters.all(is_name_part)
}

fn is_name_start(character: char) -> bool {
    character == '_' || character.is_alphabetic()
}

fn is_name_part(character: char) -> bool {
    is_name_start(character)
        || character.is_numeric()
        || matches!(character, '-' | '.' | '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}'..='\u{2040}')
}
