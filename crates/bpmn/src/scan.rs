//! The streaming pass before any tree: encoding, DOCTYPE and the budgets of [`crate::limits`].

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use crate::limits::{MAX_ATTRIBUTES, MAX_BYTES, MAX_DEPTH, MAX_NAME_BYTES, MAX_NAMESPACES};
use crate::rule::Rule;

/// Why a document is not parsed at all.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) rule: Rule,
    pub(crate) offset: usize,
    pub(crate) message: String,
}

impl Refusal {
    fn new(rule: Rule, offset: usize, message: impl Into<String>) -> Self {
        Self { rule, offset, message: message.into() }
    }
}

/// The document as text, its byte order mark removed, when it is within every budget.
pub(crate) fn scan(bytes: &[u8]) -> Result<&str, Refusal> {
    if bytes.len() > MAX_BYTES {
        let message = format!("document of {} bytes is larger than {MAX_BYTES}", bytes.len());
        return Err(Refusal::new(Rule::XmlTooLarge, 0, message));
    }
    let text = decode(bytes)?;
    check_budgets(text)?;
    Ok(text)
}

fn decode(bytes: &[u8]) -> Result<&str, Refusal> {
    let wide = bytes.starts_with(&[0xfe, 0xff])
        || bytes.starts_with(&[0xff, 0xfe])
        || bytes.iter().take(4).any(|byte| *byte == 0);
    if wide {
        return Err(Refusal::new(
            Rule::CapabilityEncoding,
            0,
            "document is encoded in UTF-16 or UTF-32; save it as UTF-8",
        ));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let declared = declared_encoding(bytes);
    let is_utf8 = declared.as_deref().is_none_or(|name| name.eq_ignore_ascii_case("utf-8"));
    // The bytes of ASCII mean the same in every other encoding that spells its declaration in ASCII.
    if !is_utf8 && !bytes.is_ascii() {
        let name = crate::sink::quoted(declared.as_deref().unwrap_or_default());
        return Err(Refusal::new(
            Rule::CapabilityEncoding,
            0,
            format!("document is encoded in {name}; save it as UTF-8"),
        ));
    }
    std::str::from_utf8(bytes).map_err(|error| {
        Refusal::new(
            Rule::XmlEncoding,
            0,
            format!("document is not UTF-8: byte {} is invalid", error.valid_up_to()),
        )
    })
}

/// The name in `<?xml … encoding="name"?>`.
fn declared_encoding(bytes: &[u8]) -> Option<String> {
    let declaration = bytes.strip_prefix(b"<?xml")?;
    let end = declaration.windows(2).take(MAX_NAME_BYTES).position(|pair| pair == b"?>")?;
    let declaration = std::str::from_utf8(&declaration[..end]).ok()?;
    let (_, value) = declaration.split_once("encoding")?;
    let value = value.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    value[1..].split_once(quote).map(|(name, _)| name.to_owned())
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

/// Number of namespace declarations on an element whose names and attributes are within the budgets.
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
