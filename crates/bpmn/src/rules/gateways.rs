//! Gateways: conditions, defaults and what an event-based gateway leads to.

use std::collections::BTreeSet;

use crate::document::{Document, ElementId, EventKind, FlowElement, Kind};
use crate::rule::Rule;
use crate::rules::events;
use crate::sink::{Sink, quoted};

pub(super) fn check<'d>(document: &Document<'d>, element: &FlowElement<'d>, sink: &mut Sink<'d>) {
    match element.kind {
        Kind::ExclusiveGateway => check_default(document, element, sink),
        Kind::InclusiveGateway => {
            check_default(document, element, sink);
        }
        Kind::EventBasedGateway => check_event_based(document, element, sink),
        _ => {}
    }
    check_condition_places(document, element, sink);
}

fn check_default<'d>(document: &Document<'d>, element: &FlowElement<'d>, sink: &mut Sink<'d>) {
    let Some(default) = element.node.attribute("default") else { return };
    let starts_here = document
        .flow_by_id(default)
        .and_then(|flow| document.flows[flow].source)
        .is_some_and(|source| std::ptr::eq(&raw const document.elements[source], element));
    if !starts_here {
        let message = format!("default flow {} does not start here", quoted(default));
        sink.report(Rule::DefaultFlow, element.node, message);
    }
}

/// Reports conditions on other flows, where they would be ignored.
fn check_condition_places<'d>(document: &Document<'d>, element: &FlowElement<'d>, sink: &mut Sink<'d>) {
    if matches!(element.kind, Kind::ExclusiveGateway | Kind::InclusiveGateway) {
        return;
    }
    for flow in element.declared_outgoing.iter().map(|id| &document.flows[*id]) {
        if flow.condition.is_some() {
            let message = "condition on a flow that does not start at an exclusive or inclusive gateway";
            sink.report(Rule::MisplacedCondition, flow.node, message);
        }
    }
}

fn check_event_based<'d>(document: &Document<'d>, element: &FlowElement<'d>, sink: &mut Sink<'d>) {
    if element.declared_outgoing.len() < 2 {
        let message = "event-based gateway with less than two outgoing sequence flows";
        sink.report(Rule::EventGatewayFlows, element.node, message);
    }
    let targets: BTreeSet<ElementId> =
        element.declared_outgoing.iter().filter_map(|id| document.flows[*id].target).collect();
    for target in targets.iter().map(|id| &document.elements[*id]) {
        let is_possible = target.kind == Kind::CatchEvent
            && matches!(
                target.events.as_slice(),
                [event] if matches!(event.kind, EventKind::Message | EventKind::Timer | EventKind::Signal)
            );
        if !is_possible {
            let message =
                "event-based gateway leads to something other than a message, timer or signal event";
            sink.report(Rule::EventGatewayTarget, target.node, message);
        }
        let is_shared = target.declared_incoming.iter().any(|id| {
            document.flows[*id]
                .source
                .is_some_and(|source| !std::ptr::eq(&raw const document.elements[source], element))
        });
        if is_shared {
            let message = "flow into an event that an event-based gateway leads to";
            sink.report(Rule::EventGatewayTarget, target.node, message);
        }
    }
    events::check_caught_once(document, targets.iter().map(|id| &document.elements[*id]), sink);
}
