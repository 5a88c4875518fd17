//! Processes and sub-processes: their existence, ids, start events and elements.

use crate::document::{Document, EventKind, FlowElement, Kind, Scope};
use crate::rule::Rule;
use crate::rules::{events, listeners};
use crate::sink::Sink;

pub(super) fn check<'d>(document: &Document<'d>, sink: &mut Sink<'d>) {
    if document.scopes.is_empty() {
        sink.report(
            Rule::NoExecutableProcess,
            document.root,
            "no process is executable; set isExecutable=\"true\" on the one that is to run",
        );
    }
    for scope in &document.scopes {
        if scope.node.attribute("id").is_none_or(str::is_empty) && scope.is_process() {
            sink.report(Rule::MissingProcessId, scope.node, "process without an id");
        }
        check_starts(document, scope, sink);
        events::check_scope(document, scope, sink);
        listeners::check(scope.node, sink);
    }
    let flow_nodes = document.elements.iter().map(|element| element.node);
    let flows = document.flows.iter().map(|flow| flow.node);
    for node in flow_nodes.chain(flows) {
        if node.attribute("id").is_none_or(str::is_empty) {
            sink.report(Rule::MissingElementId, node, format!("{} without an id", node.tag_name().name()));
        }
    }
    for element in &document.elements {
        if matches!(
            element.kind,
            Kind::AdHocSubProcess | Kind::Transaction | Kind::ComplexGateway | Kind::Other
        ) {
            let name = element.node.tag_name().name();
            sink.report(Rule::UnsupportedElement, element.node, format!("{name} has no executable meaning"));
        }
    }
}

fn check_starts<'d>(document: &Document<'d>, scope: &Scope<'d>, sink: &mut Sink<'d>) {
    let starts: Vec<&FlowElement<'d>> = scope
        .elements
        .iter()
        .map(|id| &document.elements[*id])
        .filter(|element| element.kind == Kind::StartEvent)
        .collect();
    let Some(kind) = scope.element.map(|id| document.elements[id].kind) else {
        if starts.is_empty() {
            sink.report(Rule::NoStartEvent, scope.node, "no start event");
        }
        for start in starts.iter().filter(|start| start.events.is_empty()).skip(1) {
            sink.report(Rule::MultipleNoneStartEvents, start.node, "second start event without a trigger");
        }
        return;
    };
    if starts.len() != 1 && kind != Kind::AdHocSubProcess {
        let message = format!("{} start events instead of exactly one", starts.len());
        sink.report(Rule::SubProcessStartEvent, scope.node, message);
    }
    let Some(start) = starts.first() else { return };
    if kind == Kind::EventSubProcess {
        check_event_sub_process_start(start, sink);
    } else if !start.events.is_empty() {
        sink.report(Rule::SubProcessTypedStart, start.node, "trigger in an embedded sub-process");
    }
}

fn check_event_sub_process_start<'d>(start: &FlowElement<'d>, sink: &mut Sink<'d>) {
    if start.events.is_empty() {
        sink.report(Rule::EventSubProcessStart, start.node, "missing trigger of an event sub-process");
    }
    for event in &start.events {
        let is_possible = match event.kind {
            EventKind::Message
            | EventKind::Timer
            | EventKind::Error
            | EventKind::Signal
            | EventKind::Escalation => true,
            EventKind::Compensation
            | EventKind::Link
            | EventKind::Conditional
            | EventKind::Terminate
            | EventKind::Cancel => false,
        };
        if !is_possible {
            let message = format!("{} event cannot start an event sub-process", event.kind.noun());
            sink.report(Rule::EventSubProcessStart, start.node, message);
        }
    }
    events::check_interruption(start, "isInterrupting", sink);
}
