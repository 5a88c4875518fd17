//! Values that are, or may be, expressions.

use crate::document::{FlowElement, Node, child, extension_children, extensions, text};
use crate::feel;
use crate::rule::Rule;
use crate::sink::{Sink, quoted};

/// FEEL's words that cannot be variable names.
const RESERVED_WORDS: [&str; 11] =
    ["null", "true", "false", "function", "if", "then", "else", "for", "between", "instance", "of"];

/// Attributes of extension elements that may be expressions, whatever element they stand on.
const OPTIONAL: [(&str, &[&str]); 9] = [
    ("taskDefinition", &["type", "retries"]),
    ("calledElement", &["processId"]),
    ("calledDecision", &["decisionId"]),
    ("formDefinition", &["formId", "formKey", "externalReference"]),
    ("assignmentDefinition", &["assignee", "candidateGroups", "candidateUsers"]),
    ("taskSchedule", &["dueDate", "followUpDate"]),
    ("priorityDefinition", &["priority"]),
    ("publishMessage", &["correlationKey", "messageId", "timeToLive"]),
    ("adHoc", &["activeElementsCollection"]),
];
/// The same for children of extension elements.
const OPTIONAL_OF_CHILDREN: [(&str, &str, &[&str]); 2] = [
    ("executionListeners", "executionListener", &["type", "retries"]),
    ("taskListeners", "taskListener", &["type", "retries"]),
];

pub(super) fn check_element<'d>(element: &FlowElement<'d>, sink: &mut Sink<'d>) {
    let node = element.node;
    for mapping in extensions(node, "ioMapping") {
        for input in extension_children(mapping, "input") {
            check_present(input, "source", sink);
            check_path(input, "target", sink);
        }
        for output in extension_children(mapping, "output") {
            check_mandatory(output, "source", sink);
            check_path(output, "target", sink);
        }
    }
    for script in extensions(node, "script") {
        check_mandatory(script, "expression", sink);
    }
    check_extensions(node, sink);
    if let Some(characteristics) = child(node, "multiInstanceLoopCharacteristics") {
        for settings in extensions(characteristics, "loopCharacteristics") {
            check_mandatory(settings, "inputCollection", sink);
            if settings.attribute("outputElement").is_some() {
                check_mandatory(settings, "outputElement", sink);
            }
        }
        if let Some(condition) = child(characteristics, "completionCondition") {
            check_text(condition, sink);
        }
    }
    for event in &element.events {
        check_event(event.node, sink);
    }
}

/// Checks the expressions in extension elements of a flow node, flow, scope or event definition.
pub(super) fn check_extensions<'d>(node: Node<'d>, sink: &mut Sink<'d>) {
    for (name, attributes) in OPTIONAL {
        for extension in extensions(node, name) {
            for attribute in attributes {
                check_optional(extension, attribute, sink);
            }
        }
    }
    for (parent, name, attributes) in OPTIONAL_OF_CHILDREN {
        for extension in extensions(node, parent).flat_map(|parent| extension_children(parent, name)) {
            for attribute in attributes {
                check_optional(extension, attribute, sink);
            }
        }
    }
}

/// An event definition, of an element or shared under `definitions`.
pub(super) fn check_event<'d>(event: Node<'d>, sink: &mut Sink<'d>) {
    for part in ["timeDate", "timeDuration", "timeCycle", "condition"] {
        if let Some(part) = child(event, part) {
            check_text(part, sink);
        }
    }
    check_extensions(event, sink);
}

/// A sequence flow's condition, which must be an expression.
pub(super) fn check_condition<'d>(condition: Node<'d>, sink: &mut Sink<'d>) {
    let value = text(condition);
    check_is_expression(condition, &value, sink);
    check_syntax(condition, "", &value, sink);
}

/// A text that may be static or an expression.
fn check_text<'d>(node: Node<'d>, sink: &mut Sink<'d>) {
    check_syntax(node, "", &text(node), sink);
}

/// An attribute that may be missing, static or an expression.
pub(super) fn check_optional<'d>(node: Node<'d>, name: &str, sink: &mut Sink<'d>) {
    if let Some(value) = node.attribute(name) {
        check_syntax(node, name, value, sink);
    }
}

/// An attribute that must be there, static or an expression.
fn check_present<'d>(node: Node<'d>, name: &str, sink: &mut Sink<'d>) {
    if node.attribute(name).is_none() {
        let message = format!("missing {name} of {}", node.tag_name().name());
        sink.report(Rule::ExpressionExpected, node, message);
    }
    check_optional(node, name, sink);
}

/// An attribute that must be an expression.
pub(super) fn check_mandatory<'d>(node: Node<'d>, name: &str, sink: &mut Sink<'d>) {
    if let Some(value) = node.attribute(name) {
        check_is_expression(node, value, sink);
    }
    check_present(node, name, sink);
}

fn check_is_expression<'d>(node: Node<'d>, value: &str, sink: &mut Sink<'d>) {
    if feel::expression_text(value).is_none() {
        let message = format!("{} is not an expression, which starts with =", quoted(value));
        sink.report(Rule::ExpressionExpected, node, message);
    }
}

/// `name` is the attribute's name; empty when the value is the element's text.
fn check_syntax<'d>(node: Node<'d>, name: &str, value: &str, sink: &mut Sink<'d>) {
    let parsed = feel::expression_text(value).map(feel::parse);
    if let Some(Err(error)) = parsed.filter(|parsed| parsed.as_ref().is_err_and(feel::Error::is_malformed)) {
        let name = if name.is_empty() { String::new() } else { format!("{name} ") };
        sink.report(Rule::FeelSyntax, node, format!("{name}{} is not FEEL: {error}", quoted(value)));
    }
}

fn check_path<'d>(node: Node<'d>, name: &str, sink: &mut Sink<'d>) {
    let path = node.attribute(name).unwrap_or_default();
    if !is_path(path) || RESERVED_WORDS.contains(&path) {
        sink.report(Rule::PathSyntax, node, format!("{name} {} is not a variable path", quoted(path)));
    }
}

fn is_path(path: &str) -> bool {
    path.split('.').all(|name| {
        !name.is_empty()
            && !name.starts_with(|first: char| first.is_ascii_digit())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    })
}
