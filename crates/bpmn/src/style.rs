//! Executable models that are easily misread, according to common BPMN style guides. The layout is not checked.

use std::collections::{BTreeMap, HashSet};

use crate::document::{Document, FlowElement, Kind};
use crate::rule::Rule;
use crate::sink::Sink;

pub(crate) fn check<'d>(document: &Document<'d>, others: &BTreeMap<String, String>, sink: &mut Sink<'d>) {
    for scope in &document.scopes {
        let mut elements = scope.elements.iter().map(|id| &document.elements[*id]);
        if !scope.elements.is_empty() && !elements.any(|element| element.kind == Kind::EndEvent) {
            sink.report(Rule::StyleEndEvent, scope.node, "no end event");
        }
    }
    for element in &document.elements {
        check_ends(element, sink);
        check_fork(document, element, sink);
        check_label(document, element, sink);
        if element.kind.is_gateway() {
            check_gateway(element, sink);
        }
    }
    check_duplicates(document, sink);
    for process in document.process_scopes() {
        if let Some(other) = process.node.attribute("id").and_then(|id| others.get(id)) {
            let message = format!("same id as the process of {other}");
            sink.report(Rule::StyleSharedProcessId, process.node, message);
        }
    }
}

fn check_ends<'d>(element: &FlowElement<'d>, sink: &mut Sink<'d>) {
    let stands_alone = element.kind == Kind::EventSubProcess || element.is_for_compensation();
    let is_link = element.has_event(crate::document::EventKind::Link);
    let is_compensation = element.has_event(crate::document::EventKind::Compensation);
    let starts = stands_alone
        || matches!(element.kind, Kind::StartEvent | Kind::BoundaryEvent)
        || (is_link && element.kind.is_catch());
    if !starts && element.incoming.is_empty() {
        sink.report(Rule::StyleImplicitStart, element.node, "no incoming sequence flow");
    }
    let ends = stands_alone
        || element.kind == Kind::EndEvent
        || (is_link && element.kind.is_throw())
        || (is_compensation && element.kind == Kind::BoundaryEvent);
    if !ends && element.outgoing.is_empty() {
        sink.report(Rule::StyleImplicitEnd, element.node, "no outgoing sequence flow");
    }
}

fn check_fork<'d>(document: &Document<'d>, element: &FlowElement<'d>, sink: &mut Sink<'d>) {
    if element.kind.is_gateway() {
        return;
    }
    let unconditional = element.outgoing.iter().filter(|id| document.flows[**id].condition.is_none()).count();
    if unconditional > 1 {
        sink.report(Rule::StyleImplicitSplit, element.node, "fork without a gateway");
    }
    if element.incoming.len() > 1 && element.kind.is_activity() {
        sink.report(Rule::StyleFakeJoin, element.node, "flows meet without a gateway, so each runs it");
    }
}

fn check_gateway<'d>(element: &FlowElement<'d>, sink: &mut Sink<'d>) {
    match (element.incoming.len(), element.outgoing.len()) {
        (2.., 2..) => sink.report(Rule::StyleJoinFork, element.node, "gateway joins and forks"),
        (1, 1) => sink.report(Rule::StyleSuperfluousGateway, element.node, "gateway with one way in and out"),
        _ => {}
    }
}

fn check_label<'d>(document: &Document<'d>, element: &FlowElement<'d>, sink: &mut Sink<'d>) {
    let is_named =
        |node: crate::document::Node<'_>| node.attribute("name").is_some_and(|name| !name.trim().is_empty());
    let needs_name = !element.kind.is_gateway() && !element.kind.is_sub_process();
    if needs_name && !is_named(element.node) {
        sink.report(Rule::StyleLabel, element.node, "no name");
    }
    if matches!(element.kind, Kind::ExclusiveGateway | Kind::InclusiveGateway) {
        for flow in element.outgoing.iter().map(|id| &document.flows[*id]) {
            if flow.condition.is_some() && !is_named(flow.node) {
                sink.report(Rule::StyleLabel, flow.node, "no name for the outcome of a decision");
            }
        }
    }
}

fn check_duplicates<'d>(document: &Document<'d>, sink: &mut Sink<'d>) {
    let mut seen = HashSet::new();
    for flow in &document.flows {
        if let (Some(source), Some(target)) = (flow.source, flow.target)
            && !seen.insert((source, target))
        {
            sink.report(
                Rule::StyleDuplicateFlow,
                flow.node,
                "second sequence flow between the same elements",
            );
        }
    }
}
