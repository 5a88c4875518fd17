//! The streaming pass before a tree is built: encoding, DOCTYPE and the budgets of [`crate::limits`].

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use crate::limits::{MAX_ATTRIBUTES, MAX_BYTES, MAX_DEPTH, MAX_NAME_BYTES, MAX_NAMESPACES};
use crate::rule::Rule;
use crate::sink::quoted;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Why a document is refused before it is parsed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) rule: Rule,
    /// Byte offset in the [`readable`] text.
    pub(crate) offset: usize,
    pub(crate) message: String,
}

impl Refusal {
    fn new(rule: Rule, offset: usize, message: impl Into<String>) -> Self {
        Self { rule, offset, message: message.into() }
    }
}

/// The document as text without its byte order mark. An error if a budget is exceeded.
pub(crate) fn scan(bytes: &[u8]) -> Result<&str, Refusal> {
    if bytes.len() > MAX_BYTES {
        let message = format!("document of {} bytes is larger than {MAX_BYTES}", bytes.len());
        return Err(Refusal::new(Rule::XmlTooLarge, 0, message));
    }
    let text = decode(bytes)?;
    check_characters(text)?;
    check_budgets(text)?;
    Ok(text)
}

/// The text in which places are counted: the document without its byte order mark, up to the first byte that is not
/// UTF-8.
pub(crate) fn readable(bytes: &[u8]) -> &str {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let valid = match std::str::from_utf8(bytes) {
        Ok(text) => return text,
        Err(error) => &bytes[..error.valid_up_to()],
    };
    std::str::from_utf8(valid).unwrap_or_default()
}

fn decode(bytes: &[u8]) -> Result<&str, Refusal> {
    if let Some(encoding) = wide_encoding(bytes) {
        let message = format!("document is encoded in {encoding}; save it as UTF-8");
        return Err(Refusal::new(Rule::CapabilityEncoding, 0, message));
    }
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let decoded = std::str::from_utf8(bytes);
    // ASCII bytes mean the same in every encoding whose declaration is in ASCII.
    let declared = declared_encoding(bytes).filter(|(name, _)| !is_utf8(name) && !bytes.is_ascii());
    if let Some((name, offset)) = declared {
        let name = quoted(name);
        let message = if decoded.is_ok() {
            format!("document declares {name} but its bytes are UTF-8; declare encoding=\"UTF-8\"")
        } else {
            format!("document is encoded in {name}; save it as UTF-8 and declare encoding=\"UTF-8\"")
        };
        return Err(Refusal::new(Rule::CapabilityEncoding, offset, message));
    }
    decoded.map_err(|error| {
        let offset = error.valid_up_to();
        let message = match error.error_len() {
            Some(_) => format!("document is not UTF-8: byte 0x{:02X} is no character; save it as UTF-8", bytes[offset]),
            None => "document ends within a character: it is cut off or not saved as UTF-8; save it whole as UTF-8"
                .to_owned(),
        };
        Refusal::new(Rule::XmlEncoding, offset, message)
    })
}

/// Detects UTF-16 and UTF-32 by the byte order mark, or by zero bytes: the first characters of XML are ASCII, so their
/// other bytes are zero.
fn wide_encoding(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] | [1..=255, 0, 0, 0, ..] | [0, 0, 0, 1..=255, ..] => {
            Some("UTF-32")
        }
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [1..=255, 0, 1..=255, 0, ..] | [0, 1..=255, 0, 1..=255, ..] => {
            Some("UTF-16")
        }
        _ => None,
    }
}

/// The name in `<?xml … encoding="name"?>`, and its offset.
fn declared_encoding(bytes: &[u8]) -> Option<(&str, usize)> {
    let end = bytes.windows(2).take(MAX_NAME_BYTES).position(|pair| pair == b"?>")?;
    let declaration = std::str::from_utf8(&bytes[..end]).ok()?;
    let (_, value) = declaration.strip_prefix("<?xml")?.split_once("encoding")?;
    let value = value.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    let (name, _) = value[1..].split_once(quote)?;
    Some((name, declaration.len() - value.len() + 1))
}

/// `utf8` is not a registered name, but can only mean UTF-8.
fn is_utf8(name: &str) -> bool {
    name.eq_ignore_ascii_case("utf-8") || name.eq_ignore_ascii_case("utf8")
}

/// XML allows no control characters except line breaks and tabs, not even as references.
fn check_characters(text: &str) -> Result<(), Refusal> {
    if text.starts_with('\u{feff}') {
        let message = "second byte order mark (U+FEFF) before the document; remove it";
        return Err(Refusal::new(Rule::XmlMalformed, 0, message));
    }
    let foreign = text.char_indices().find(|(_, character)| {
        matches!(character, '\0'..='\u{8}' | '\u{b}'..='\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}'..='\u{ffff}')
    });
    foreign.map_or(Ok(()), |(offset, character)| {
        let message = format!("character U+{:04X} is not allowed in XML; remove it", u32::from(character));
        Err(Refusal::new(Rule::XmlMalformed, offset, message))
    })
}

fn check_budgets(text: &str) -> Result<(), Refusal> {
    let mut reader = Reader::from_str(text);
    // Namespace declarations of each open element.
    let mut open: Vec<usize> = Vec::new();
    let mut namespaces = 0;
    loop {
        let offset = offset_of(&reader);
        let event = reader.read_event().map_err(|error| {
            let place = usize::try_from(reader.error_position()).unwrap_or(usize::MAX);
            Refusal::new(Rule::XmlMalformed, place, format!("not well-formed XML: {error}"))
        })?;
        match event {
            Event::Start(start) => {
                let declared = check_start(&start, offset)?;
                open.push(declared);
                namespaces += declared;
                if open.len() > MAX_DEPTH {
                    let message = format!("elements are nested deeper than {MAX_DEPTH}");
                    return Err(Refusal::new(Rule::XmlTooDeep, offset, message));
                }
                if namespaces > MAX_NAMESPACES {
                    return Err(too_many_namespaces(offset));
                }
            }
            Event::Empty(start) => {
                let declared = check_start(&start, offset)?;
                if namespaces + declared > MAX_NAMESPACES {
                    return Err(too_many_namespaces(offset));
                }
            }
            Event::End(_) => namespaces -= open.pop().unwrap_or_default(),
            Event::DocType(_) => {
                return Err(Refusal::new(
                    Rule::XmlDoctype,
                    offset,
                    "document has a DOCTYPE, which is never read; remove it",
                ));
            }
            Event::Eof if open.is_empty() => return Ok(()),
            Event::Eof => {
                return Err(Refusal::new(
                    Rule::XmlMalformed,
                    text.len(),
                    "not well-formed XML: an element is not closed",
                ));
            }
            Event::Text(_)
            | Event::CData(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::GeneralRef(_) => {}
        }
    }
}

/// Checks the budgets of an element's names and attributes. Returns the number of its namespace declarations.
fn check_start(start: &BytesStart<'_>, offset: usize) -> Result<usize, Refusal> {
    let too_long = |name: &str| Refusal::new(Rule::XmlNameTooLong, offset, name.to_owned());
    if start.name().as_ref().len() > MAX_NAME_BYTES {
        return Err(too_long(&format!("element name is longer than {MAX_NAME_BYTES} bytes")));
    }
    let mut attributes = 0;
    let mut declared = 0;
    for attribute in start.attributes().with_checks(false) {
        let attribute = attribute.map_err(|error| {
            Refusal::new(Rule::XmlMalformed, offset, format!("not well-formed XML: {error}"))
        })?;
        let name = attribute.key.as_ref();
        attributes += 1;
        if attributes > MAX_ATTRIBUTES {
            let message = format!("element has more than {MAX_ATTRIBUTES} attributes");
            return Err(Refusal::new(Rule::XmlTooManyAttributes, offset, message));
        }
        if name.len() > MAX_NAME_BYTES {
            return Err(too_long(&format!("attribute name is longer than {MAX_NAME_BYTES} bytes")));
        }
        if name.starts_with("xmlns") {
            declared += 1;
        }
    }
    Ok(declared)
}

fn too_many_namespaces(offset: usize) -> Refusal {
    let message = format!("more than {MAX_NAMESPACES} namespace declarations are in scope");
    Refusal::new(Rule::XmlTooManyNamespaces, offset, message)
}

fn offset_of(reader: &Reader<&[u8]>) -> usize {
    usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
