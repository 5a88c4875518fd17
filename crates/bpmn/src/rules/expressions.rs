//! Values that are, or may be, expressions.

use crate::document::{FlowElement, Node, child, extension_children, extensions, text};
use crate::feel;
use crate::rule::Rule;
use crate::sink::{Sink, quoted};

/// Words of FEEL that are no variable names.
const RESERVED_WORDS: [&str; 11] =
    ["null", "true", "false", "function", "if", "then", "else", "for", "between", "instance", "of"];

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
    for definition in extensions(node, "taskDefinition") {
        check_optional(definition, "type", sink);
        check_optional(definition, "retries", sink);
    }
    for called in extensions(node, "calledElement") {
        check_optional(called, "processId", sink);
    }
    for decision in extensions(node, "calledDecision") {
        check_optional(decision, "decisionId", sink);
    }
    for script in extensions(node, "script") {
        check_mandatory(script, "expression", sink);
    }
    for assignment in extensions(node, "assignmentDefinition") {
        for name in ["assignee", "candidateGroups", "candidateUsers"] {
            check_optional(assignment, name, sink);
        }
    }
    for schedule in extensions(node, "taskSchedule") {
        for name in ["dueDate", "followUpDate"] {
            check_optional(schedule, name, sink);
        }
    }
    if let Some(characteristics) = child(node, "multiInstanceLoopCharacteristics") {
        for settings in extensions(characteristics, "loopCharacteristics") {
            check_mandatory(settings, "inputCollection", sink);
            if settings.attribute("outputElement").is_some() {
                check_mandatory(settings, "outputElement", sink);
            }
        }
        if let Some(condition) = child(characteristics, "completionCondition") {
            check_syntax(condition, &text(condition), sink);
        }
    }
    for event in &element.events {
        for part in ["timeDate", "timeDuration", "timeCycle"] {
            if let Some(part) = child(event.node, part) {
                check_syntax(part, &text(part), sink);
            }
        }
    }
}

/// A sequence flow's condition, which must be an expression.
pub(super) fn check_condition<'d>(condition: Node<'d>, sink: &mut Sink<'d>) {
    check_expression(condition, &text(condition), sink);
}

/// An attribute that may be missing, static or an expression.
pub(super) fn check_optional<'d>(node: Node<'d>, name: &str, sink: &mut Sink<'d>) {
    if let Some(value) = node.attribute(name) {
        check_syntax(node, value, sink);
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
    match node.attribute(name) {
        Some(value) => check_expression(node, value, sink),
        None => check_present(node, name, sink),
    }
}

fn check_expression<'d>(node: Node<'d>, value: &str, sink: &mut Sink<'d>) {
    if feel::expression_text(value).is_none() {
        let message = format!("{} is not an expression, which starts with =", quoted(value));
        sink.report(Rule::ExpressionExpected, node, message);
    }
    check_syntax(node, value, sink);
}

fn check_syntax<'d>(node: Node<'d>, value: &str, sink: &mut Sink<'d>) {
    let Some(Err(error @ feel::Error::Syntax { .. })) = feel::expression_text(value).map(feel::parse) else {
        return;
    };
    sink.report(Rule::FeelSyntax, node, format!("{} is not FEEL: {error}", quoted(value)));
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
