use rstest::rstest;

use super::scan;
use crate::limits::{MAX_ATTRIBUTES, MAX_BYTES, MAX_DEPTH, MAX_NAME_BYTES, MAX_NAMESPACES};
use crate::{Class, Mode, Rule, lint};

fn nested(depth: usize) -> String {
    "<a>".repeat(depth) + &"</a>".repeat(depth)
}

fn attributes(count: usize) -> String {
    let attributes: Vec<String> = (0..count).map(|number| format!("a{number}=''")).collect();
    format!("<a {}/>", attributes.join(" "))
}

/// Each element declares one namespace within the scope of those around it.
fn namespaces(count: usize) -> String {
    let mut declarations = (0..count).map(|number| format!(" xmlns:n{number}='u'"));
    let first: String = declarations.by_ref().take(200).collect();
    let second: String = declarations.collect();
    format!("<a{first}><b{second}/></a>")
}

fn named(length: usize) -> String {
    format!("<{}/>", "n".repeat(length))
}

fn padded(size: usize) -> String {
    let document = "<a></a>";
    format!("<a>{}</a>", " ".repeat(size - document.len()))
}

#[rstest]
#[case::size(padded(MAX_BYTES))]
#[case::depth(nested(MAX_DEPTH))]
#[case::attributes(attributes(MAX_ATTRIBUTES))]
#[case::namespaces(namespaces(MAX_NAMESPACES))]
#[case::name(named(MAX_NAME_BYTES))]
fn document_at_its_budget_passes(#[case] document: String) {
    assert_eq!(scan(document.as_bytes()), Ok(document.as_str()));
}

#[rstest]
#[case::size(padded(MAX_BYTES + 1), Rule::XmlTooLarge)]
#[case::depth(nested(MAX_DEPTH + 1), Rule::XmlTooDeep)]
#[case::attributes(attributes(MAX_ATTRIBUTES + 1), Rule::XmlTooManyAttributes)]
#[case::namespaces(namespaces(MAX_NAMESPACES + 1), Rule::XmlTooManyNamespaces)]
#[case::name(named(MAX_NAME_BYTES + 1), Rule::XmlNameTooLong)]
#[case::attribute_name(format!("<a {}=''/>", "n".repeat(MAX_NAME_BYTES + 1)), Rule::XmlNameTooLong)]
#[case::doctype("<?xml version='1.0'?>\n<!DOCTYPE a SYSTEM 'http://169.254.169.254/'><a/>".to_owned(), Rule::XmlDoctype)]
#[case::unclosed("<a><b></b>".to_owned(), Rule::XmlMalformed)]
#[case::mismatched("<a></b>".to_owned(), Rule::XmlMalformed)]
fn document_beyond_a_budget_is_refused(#[case] document: String, #[case] rule: Rule) {
    assert_eq!(scan(document.as_bytes()).map_err(|refusal| refusal.rule), Err(rule));
}

#[rstest]
#[case::mark(b"\xef\xbb\xbf<a/>", Ok("<a/>"))]
#[case::declared(
    b"<?xml version='1.0' encoding='utf-8'?><a/>",
    Ok("<?xml version='1.0' encoding='utf-8'?><a/>")
)]
#[case::ascii_in_another_encoding(
    b"<?xml version='1.0' encoding='ISO-8859-1'?><a/>",
    Ok("<?xml version='1.0' encoding='ISO-8859-1'?><a/>")
)]
#[case::another_encoding(
    b"<?xml version='1.0' encoding='ISO-8859-1'?><a>\xe4</a>",
    Err(Rule::CapabilityEncoding)
)]
#[case::utf_16_with_mark(b"\xff\xfe<\0a\0/\0>\0", Err(Rule::CapabilityEncoding))]
#[case::utf_16(b"<\0a\0/\0>\0", Err(Rule::CapabilityEncoding))]
#[case::not_utf_8(b"<a>\xe4</a>", Err(Rule::XmlEncoding))]
fn only_utf_8_is_read(#[case] bytes: &[u8], #[case] expected: Result<&str, Rule>) {
    assert_eq!(scan(bytes).map_err(|refusal| refusal.rule), expected);
}

#[test]
fn number_of_nodes_is_limited() {
    let document = format!("<a>{}</a>", "<a/>".repeat(200_000));
    let report = lint(document.as_bytes(), Mode::Lenient);
    let rules: Vec<(Rule, Class)> =
        report.findings.iter().map(|finding| (finding.rule, finding.class())).collect();
    assert_eq!(rules, [(Rule::XmlTooManyNodes, Class::Xml)]);
}
