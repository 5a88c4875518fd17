//! Tasks, call activities and multi-instance: their definitions.

use std::collections::HashSet;

use crate::document::{Document, EventKind, FlowElement, Kind, Node, child, extension_children, extensions};
use crate::rule::Rule;
use crate::sink::{Sink, quoted};

/// Header keys with this prefix are reserved for the engine.
const RESERVED_HEADER_PREFIX: &str = "io.camunda.zeebe:";

pub(super) fn check<'d>(document: &Document<'d>, element: &FlowElement<'d>, sink: &mut Sink<'d>) {
    match element.kind {
        Kind::ServiceTask => check_task_definition(element, sink),
        Kind::SendTask => {
            check_publisher(document, element, element.node, sink);
        }
        Kind::ThrowEvent | Kind::EndEvent => {
            // The extension element for publishing is on the event definition.
            for event in element.events.iter().filter(|event| event.kind == EventKind::Message) {
                check_publisher(document, element, event.node, sink);
            }
        }
        Kind::ScriptTask => check_alternative(element, element.node, "script", sink),
        Kind::BusinessRuleTask => check_alternative(element, element.node, "calledDecision", sink),
        Kind::CallActivity => check_called_element(element, sink),
        _ => {}
    }
    for definition in extensions(element.node, "taskDefinition") {
        check_not_empty(definition, &["type"], sink);
        if definition.attribute("retries").is_some() {
            check_not_empty(definition, &["retries"], sink);
        }
    }
    for script in extensions(element.node, "script") {
        check_not_empty(script, &["expression", "resultVariable"], sink);
    }
    for decision in extensions(element.node, "calledDecision") {
        check_not_empty(decision, &["decisionId", "resultVariable"], sink);
        check_binding(decision, sink);
    }
    for headers in extensions(element.node, "taskHeaders") {
        check_headers(headers, sink);
    }
    if let Some(characteristics) = child(element.node, "multiInstanceLoopCharacteristics") {
        check_multi_instance(characteristics, sink);
    }
}

fn check_task_definition<'d>(element: &FlowElement<'d>, sink: &mut Sink<'d>) {
    match extensions(element.node, "taskDefinition").count() {
        0 => sink.report(Rule::MissingTaskDefinition, element.node, "missing taskDefinition"),
        1 => {}
        _ => sink.report(Rule::MissingTaskDefinition, element.node, "more than one taskDefinition"),
    }
}

/// A message is sent by a worker, or published by the engine, which needs a reference to it.
fn check_publisher<'d>(
    document: &Document<'d>,
    element: &FlowElement<'d>,
    holder: Node<'d>,
    sink: &mut Sink<'d>,
) {
    check_alternative(element, holder, "publishMessage", sink);
    for publisher in extensions(holder, "publishMessage") {
        check_not_empty(publisher, &["correlationKey"], sink);
        if document.referenced(holder, "messageRef", "message").is_none() {
            sink.report(Rule::MessageReference, holder, "missing message to publish");
        }
    }
}

/// The element must be executed either by a worker or by the engine. `holder` is the node with the engine's extension
/// element `own`.
fn check_alternative<'d>(
    element: &FlowElement<'d>,
    holder: Node<'d>,
    own: &'static str,
    sink: &mut Sink<'d>,
) {
    let by_worker = extensions(element.node, "taskDefinition").count();
    let by_engine = extensions(holder, own).count();
    if by_worker + by_engine != 1 {
        let problem = if by_worker + by_engine == 0 { "missing" } else { "more than one of" };
        let message = format!("{problem} taskDefinition or {own}");
        sink.report(Rule::MissingImplementation, element.node, message);
    }
}

fn check_called_element<'d>(element: &FlowElement<'d>, sink: &mut Sink<'d>) {
    if extensions(element.node, "calledElement").count() != 1 {
        sink.report(Rule::MissingCalledElement, element.node, "missing calledElement");
    }
    for called in extensions(element.node, "calledElement") {
        check_not_empty(called, &["processId"], sink);
        check_binding(called, sink);
    }
}

fn check_multi_instance<'d>(characteristics: Node<'d>, sink: &mut Sink<'d>) {
    if extensions(characteristics, "loopCharacteristics").count() != 1 {
        let message = "missing loopCharacteristics of a multi-instance activity";
        sink.report(Rule::MissingLoopCharacteristics, characteristics, message);
    }
    for settings in extensions(characteristics, "loopCharacteristics") {
        check_not_empty(settings, &["inputCollection"], sink);
        let is_set = |name| settings.attribute(name).is_some_and(|value| !value.is_empty());
        if is_set("outputElement") != is_set("outputCollection") {
            let message = "outputElement and outputCollection are not given together";
            sink.report(Rule::LoopOutput, settings, message);
        }
    }
}

fn check_headers<'d>(headers: Node<'d>, sink: &mut Sink<'d>) {
    let mut keys = HashSet::new();
    for header in extension_children(headers, "header") {
        let key = header.attribute("key").unwrap_or_default();
        if key.is_empty() {
            sink.report(Rule::TaskHeader, header, "header without a key");
        } else if header.attribute("value").is_none() {
            sink.report(Rule::TaskHeader, header, format!("header {} without a value", quoted(key)));
        }
        if key.starts_with(RESERVED_HEADER_PREFIX) {
            sink.report(Rule::TaskHeader, header, format!("reserved header key {}", quoted(key)));
        }
        if !keys.insert(key) {
            sink.report(Rule::TaskHeader, header, format!("second header with the key {}", quoted(key)));
        }
    }
}

/// A binding by version tag needs the tag.
pub(super) fn check_binding<'d>(extension: Node<'d>, sink: &mut Sink<'d>) {
    if extension.attribute("bindingType") == Some("versionTag") {
        check_not_empty(extension, &["versionTag"], sink);
    }
}

pub(super) fn check_not_empty<'d>(extension: Node<'d>, names: &[&str], sink: &mut Sink<'d>) {
    for name in names {
        if extension.attribute(*name).unwrap_or_default().is_empty() {
            let message = format!("missing {name} of {}", extension.tag_name().name());
            sink.report(Rule::EmptyAttribute, extension, message);
        }
    }
}
