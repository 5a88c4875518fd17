//! Elements directly under `definitions` that are referred to: messages, signals, shared event definitions.
//!
//! They are checked only if an executable process refers to them.

use std::collections::{HashMap, HashSet};

use crate::document::{Document, Node, bpmn_children, extensions};
use crate::feel;
use crate::rule::Rule;
use crate::rules::{events, expressions, tasks};
use crate::sink::{Sink, quoted};

/// How often executable processes refer to a definition, and from where.
#[derive(Debug, Default, Clone, Copy)]
struct Uses {
    /// References of start events of processes.
    process_starts: usize,
    /// References of elements that wait in a running instance. Start events of event sub-processes count only directly
    /// within a process.
    waiting: usize,
}

pub(super) fn check<'d>(document: &Document<'d>, sink: &mut Sink<'d>) {
    let referenced: HashSet<Node<'d>> = document
        .executable_nodes()
        .filter(|node| node.tag_name().name() == "eventDefinitionRef")
        .filter_map(|node| document.resolve(node.text()?))
        .collect();
    for event in document.root_event_definitions().filter(|event| referenced.contains(&event.node)) {
        events::check_definition(document, event, None, sink);
        expressions::check_event(event.node, sink);
    }
    let uses = count_uses(document);
    for node in bpmn_children(document.root) {
        let Some(uses) = uses.get(&node).copied() else { continue };
        match node.tag_name().name() {
            "message" => check_message(node, uses, sink),
            "signal" => check_signal(node, uses, sink),
            "error" => expressions::check_optional(node, "errorCode", sink),
            "escalation" => expressions::check_optional(node, "escalationCode", sink),
            _ => {}
        }
    }
}

fn count_uses<'d>(document: &Document<'d>) -> HashMap<Node<'d>, Uses> {
    let mut uses: HashMap<Node<'d>, Uses> = HashMap::new();
    for node in document.executable_nodes() {
        let target = match node.tag_name().name() {
            "messageEventDefinition" | "receiveTask" | "sendTask" => {
                document.referenced(node, "messageRef", "message")
            }
            "signalEventDefinition" => document.referenced(node, "signalRef", "signal"),
            "errorEventDefinition" => document.referenced(node, "errorRef", "error"),
            "escalationEventDefinition" => document.referenced(node, "escalationRef", "escalation"),
            _ => None,
        };
        let Some(target) = target else { continue };
        let referrer =
            if node.tag_name().name() == "receiveTask" { Some(node) } else { node.parent_element() };
        let uses = uses.entry(target).or_default();
        match referrer.map(|referrer| referrer.tag_name().name()) {
            Some("receiveTask" | "intermediateCatchEvent" | "boundaryEvent") => uses.waiting += 1,
            Some("startEvent") => {
                let scope = referrer.and_then(|referrer| referrer.parent_element());
                let is_process = |scope: Node<'_>| scope.tag_name().name() == "process";
                if scope.is_some_and(is_process) {
                    uses.process_starts += 1;
                } else if scope.and_then(|scope| scope.parent_element()).is_some_and(is_process) {
                    uses.waiting += 1;
                }
            }
            _ => {}
        }
    }
    uses
}

fn check_message<'d>(message: Node<'d>, uses: Uses, sink: &mut Sink<'d>) {
    let name = message.attribute("name").unwrap_or_default();
    if name.is_empty() && (uses.waiting > 0 || uses.process_starts > 0) {
        sink.report(Rule::MessageName, message, "message without a name");
    }
    expressions::check_optional(message, "name", sink);
    if uses.waiting > 0 && extensions(message, "subscription").count() != 1 {
        sink.report(
            Rule::MissingSubscription,
            message,
            "missing subscription of a message that is waited for",
        );
    }
    if uses.waiting == 0 && uses.process_starts > 1 {
        sink.report(Rule::SharedStartMessage, message, "message of more than one start event");
    }
    if uses.process_starts > 0 {
        check_start_name(message, name, sink);
    }
    for subscription in extensions(message, "subscription") {
        tasks::check_not_empty(subscription, &["correlationKey"], sink);
        expressions::check_mandatory(subscription, "correlationKey", sink);
    }
}

fn check_signal<'d>(signal: Node<'d>, uses: Uses, sink: &mut Sink<'d>) {
    let name = signal.attribute("name").unwrap_or_default();
    if name.is_empty() && (uses.waiting > 0 || uses.process_starts > 0) {
        sink.report(Rule::SignalName, signal, "signal without a name");
    }
    expressions::check_optional(signal, "name", sink);
    if uses.process_starts > 0 {
        check_start_name(signal, name, sink);
    }
}

/// The name for a start event is evaluated without variables.
fn check_start_name<'d>(node: Node<'d>, name: &str, sink: &mut Sink<'d>) {
    let Some(Ok(expr)) = feel::expression_text(name).map(feel::parse) else { return };
    if !feel::evaluate(&expr, &serde_json::Value::Null).is_string() {
        let message = format!("name {} is not constant text", quoted(name));
        sink.report(Rule::StartNameExpression, node, message);
    }
}
