//! Events: their definitions, references, and duplicate catch events of a scope.

use std::collections::HashSet;

use crate::document::{Document, EventDefinition, EventKind, FlowElement, Kind, Node, Scope, is_true};
use crate::rule::Rule;
use crate::rules::timers;
use crate::sink::{Sink, quoted};

pub(super) fn check<'d>(document: &Document<'d>, element: &FlowElement<'d>, sink: &mut Sink<'d>) {
    match element.kind {
        Kind::StartEvent => check_count(element, 0..=1, sink),
        Kind::EndEvent => check_end(element, sink),
        Kind::CatchEvent => check_catch(element, sink),
        Kind::BoundaryEvent => check_boundary(document, element, sink),
        _ => {}
    }
    for event in &element.events {
        check_definition(document, *event, Some(element), sink);
    }
    if element.kind.is_activity() {
        check_boundary_events(document, element, sink);
    }
    if element.kind == Kind::ReceiveTask {
        check_receive_task(document, element, sink);
    }
    if element.is_for_compensation() {
        check_compensation_handler(element, sink);
    }
}

/// Checks the events of a process or sub-process against each other.
pub(super) fn check_scope<'d>(document: &Document<'d>, scope: &Scope<'d>, sink: &mut Sink<'d>) {
    let elements = || scope.elements.iter().map(|id| &document.elements[*id]);

    let event_sub_process_starts = elements()
        .filter(|element| element.kind == Kind::EventSubProcess)
        .filter_map(|element| element.inner)
        .flat_map(|inner| document.scopes[inner].elements.iter())
        .map(|id| &document.elements[*id])
        .filter(|element| element.kind == Kind::StartEvent);
    check_caught_once(document, event_sub_process_starts, sink);

    if scope.is_process() {
        let signal_starts = elements()
            .filter(|element| element.kind == Kind::StartEvent && element.has_event(EventKind::Signal));
        check_caught_once(document, signal_starts, sink);
    }
    let link_catches =
        elements().filter(|element| element.kind == Kind::CatchEvent && element.has_event(EventKind::Link));
    check_caught_once(document, link_catches, sink);
    check_link_pairs(document, scope, sink);
}

fn check_count<'d>(element: &FlowElement<'d>, allowed: std::ops::RangeInclusive<usize>, sink: &mut Sink<'d>) {
    let count = element.events.len();
    if !allowed.contains(&count) {
        let expected = if *allowed.start() == 0 { "at most one" } else { "exactly one" };
        let message = format!("{count} event definitions instead of {expected}");
        sink.report(Rule::EventDefinitionCount, element.node, message);
    }
}

fn check_end<'d>(element: &FlowElement<'d>, sink: &mut Sink<'d>) {
    check_count(element, 0..=1, sink);
    if !element.declared_outgoing.is_empty() {
        sink.report(Rule::EndEventOutgoing, element.node, "outgoing sequence flow of an end event");
    }
    for event in &element.events {
        let is_possible = match event.kind {
            EventKind::Error
            | EventKind::Message
            | EventKind::Terminate
            | EventKind::Signal
            | EventKind::Escalation
            | EventKind::Compensation => true,
            EventKind::Timer | EventKind::Link | EventKind::Conditional | EventKind::Cancel => false,
        };
        if !is_possible {
            let message = format!("{} event cannot be an end event", event.kind.noun());
            sink.report(Rule::EndEventType, element.node, message);
        }
    }
}

fn check_catch<'d>(element: &FlowElement<'d>, sink: &mut Sink<'d>) {
    check_count(element, 1..=1, sink);
    let [event] = element.events.as_slice() else { return };
    match event.kind {
        EventKind::Message | EventKind::Signal | EventKind::Link => {}
        EventKind::Timer => timers::check_fires_once(element.node, *event, sink),
        EventKind::Error
        | EventKind::Escalation
        | EventKind::Compensation
        | EventKind::Conditional
        | EventKind::Terminate
        | EventKind::Cancel => {
            let message = format!("{} event cannot be an intermediate catch event", event.kind.noun());
            sink.report(Rule::CatchEventType, element.node, message);
        }
    }
}

fn check_boundary<'d>(document: &Document<'d>, element: &FlowElement<'d>, sink: &mut Sink<'d>) {
    check_count(element, 1..=1, sink);
    if element.attached_to.is_none() {
        sink.report(Rule::BoundaryEventHost, element.node, "boundary event is attached to no activity");
    }
    if !element.declared_incoming.is_empty() {
        sink.report(Rule::BoundaryEventIncoming, element.node, "incoming sequence flow of a boundary event");
    }
    let is_compensation = element.has_event(EventKind::Compensation);
    if element.declared_outgoing.is_empty() && !(is_compensation && document.has_association(element)) {
        let message = "missing outgoing sequence flow or association";
        sink.report(Rule::BoundaryEventOutgoing, element.node, message);
    }
    for event in &element.events {
        let is_possible = match event.kind {
            EventKind::Timer
            | EventKind::Message
            | EventKind::Error
            | EventKind::Signal
            | EventKind::Escalation
            | EventKind::Compensation => true,
            EventKind::Link | EventKind::Conditional | EventKind::Terminate | EventKind::Cancel => false,
        };
        if !is_possible {
            let message = format!("{} event cannot be a boundary event", event.kind.noun());
            sink.report(Rule::BoundaryEventType, element.node, message);
        }
        let host = element.attached_to.map(|id| document.elements[id].kind);
        let is_scope = host.is_some_and(|kind| kind.is_sub_process() || kind == Kind::CallActivity);
        if event.kind == EventKind::Escalation && !is_scope {
            let message = "escalation boundary event on something other than a sub-process or call activity";
            sink.report(Rule::EscalationBoundaryHost, element.node, message);
        }
    }
    check_interruption(element, "cancelActivity", sink);
}

/// Checks which events may be non-interrupting, and which timers may have a cycle.
pub(super) fn check_interruption<'d>(element: &FlowElement<'d>, attribute: &str, sink: &mut Sink<'d>) {
    let is_interrupting = element.node.attribute(attribute).is_none_or(|value| is_true(Some(value)));
    for event in &element.events {
        match event.kind {
            EventKind::Timer if is_interrupting => timers::check_no_cycle(element.node, *event, sink),
            EventKind::Message | EventKind::Timer | EventKind::Signal | EventKind::Escalation => {}
            _ if is_interrupting => {}
            kind => {
                let message = format!("{} event cannot be non-interrupting", kind.noun());
                sink.report(Rule::NonInterruptingEvent, element.node, message);
            }
        }
    }
}

/// One event definition, of an element or shared under `definitions`.
pub(super) fn check_definition<'d>(
    document: &Document<'d>,
    event: EventDefinition<'d>,
    element: Option<&FlowElement<'d>>,
    sink: &mut Sink<'d>,
) {
    let is_throw = element.is_some_and(|element| element.kind.is_throw());
    let is_catch = element.is_some_and(|element| element.kind.is_catch());
    let attribute = |target: Node<'d>, name| target.attribute(name).unwrap_or_default();
    match event.kind {
        EventKind::Message => {
            if !is_throw && document.referenced(event.node, "messageRef", "message").is_none() {
                sink.report(Rule::MessageReference, event.node, "missing message");
            }
        }
        EventKind::Signal => {
            if document.referenced(event.node, "signalRef", "signal").is_none() {
                sink.report(Rule::SignalReference, event.node, "missing signal");
            }
        }
        EventKind::Error => match document.referenced(event.node, "errorRef", "error") {
            // Without a reference, every error is caught.
            None if is_catch && !refers_to_other(document, event.node, "errorRef") => {}
            None => sink.report(Rule::ErrorReference, event.node, "missing error"),
            Some(error) if is_throw && attribute(error, "errorCode").is_empty() => {
                sink.report(Rule::ErrorCode, event.node, "thrown error without a code");
            }
            Some(error) if is_catch && attribute(error, "errorCode").starts_with('=') => {
                sink.report(Rule::ErrorCode, event.node, "caught error with a code that is an expression");
            }
            Some(_) => {}
        },
        EventKind::Escalation => match document.referenced(event.node, "escalationRef", "escalation") {
            None if is_throw => {
                sink.report(Rule::EscalationReference, event.node, "missing escalation");
            }
            Some(escalation) if is_throw && attribute(escalation, "escalationCode").is_empty() => {
                sink.report(Rule::EscalationCode, event.node, "thrown escalation without a code");
            }
            Some(escalation) if is_catch && attribute(escalation, "escalationCode").starts_with('=') => {
                let message = "caught escalation with a code that is an expression";
                sink.report(Rule::EscalationCode, event.node, message);
            }
            None | Some(_) => {}
        },
        EventKind::Link => {
            if attribute(event.node, "name").is_empty() {
                sink.report(Rule::LinkName, event.node, "link event without a link name");
            }
        }
        EventKind::Compensation => check_compensation(document, event, element, sink),
        EventKind::Timer => timers::check(event, element, document, sink),
        EventKind::Conditional | EventKind::Cancel => {
            let message = format!("{} event is not supported", event.kind.noun());
            sink.report(Rule::EventDefinitionType, event.node, message);
        }
        EventKind::Terminate => {}
    }
}

/// Whether the reference resolves to an element of another kind.
fn refers_to_other<'d>(document: &Document<'d>, node: Node<'d>, attribute: &str) -> bool {
    node.attribute(attribute).is_some_and(|reference| document.resolve(reference).is_some())
}

fn check_compensation<'d>(
    document: &Document<'d>,
    event: EventDefinition<'d>,
    element: Option<&FlowElement<'d>>,
    sink: &mut Sink<'d>,
) {
    let Some(element) = element else { return };
    if element.kind.is_throw()
        && event.node.attribute("waitForCompletion").is_some_and(|value| !is_true(Some(value)))
    {
        sink.report(Rule::CompensationWait, element.node, "compensation that does not wait for completion");
    }
    let Some(reference) = event.node.attribute("activityRef").filter(|reference| !reference.is_empty())
    else {
        return;
    };
    let problem = match document.element_by_id(reference).map(|id| &document.elements[id]) {
        Some(activity) if !activity.kind.is_activity() => "is no activity",
        Some(activity) if !can_be_compensated(document, activity) => {
            "is neither a sub-process nor has a compensation boundary event"
        }
        Some(activity) if !is_in_compensated_scope(document, element, activity) => "is in another scope",
        Some(_) => return,
        None => "does not exist",
    };
    let message = format!("compensated activity {} {problem}", quoted(reference));
    sink.report(Rule::CompensationActivity, element.node, message);
}

fn can_be_compensated(document: &Document<'_>, activity: &FlowElement<'_>) -> bool {
    let has_handler =
        activity.boundary_events.iter().any(|id| document.elements[*id].has_event(EventKind::Compensation));
    has_handler || (activity.kind.is_sub_process() && activity.kind != Kind::EventSubProcess)
}

/// An event inside an event sub-process may also compensate activities of the surrounding scope.
fn is_in_compensated_scope(
    document: &Document<'_>,
    event: &FlowElement<'_>,
    activity: &FlowElement<'_>,
) -> bool {
    let around = document.scopes[event.scope].element.map(|id| &document.elements[id]);
    let beside = around.filter(|around| around.kind == Kind::EventSubProcess).map(|around| around.scope);
    event.scope == activity.scope || beside == Some(activity.scope)
}

fn check_compensation_handler<'d>(element: &FlowElement<'d>, sink: &mut Sink<'d>) {
    if element.kind.is_task()
        && !(element.declared_incoming.is_empty()
            && element.declared_outgoing.is_empty()
            && element.boundary_events.is_empty())
    {
        let message = "compensation handler with sequence flows or boundary events";
        sink.report(Rule::CompensationHandler, element.node, message);
    }
}

fn check_boundary_events<'d>(document: &Document<'d>, element: &FlowElement<'d>, sink: &mut Sink<'d>) {
    check_caught_once(document, element.boundary_events.iter().map(|id| &document.elements[*id]), sink);
}

fn check_receive_task<'d>(document: &Document<'d>, element: &FlowElement<'d>, sink: &mut Sink<'d>) {
    let Some(message) = document.referenced(element.node, "messageRef", "message") else {
        sink.report(Rule::MessageReference, element.node, "missing message");
        return;
    };
    let Some(name) = message.attribute("name").filter(|name| !name.is_empty()) else { return };
    for boundary in element.boundary_events.iter().map(|id| &document.elements[*id]) {
        for event in boundary.events.iter().filter(|event| event.kind == EventKind::Message) {
            let other = document.referenced(event.node, "messageRef", "message");
            if other.and_then(|other| other.attribute("name")) == Some(name) {
                let message = format!("waits for the same message {} as its task", quoted(name));
                sink.report(Rule::ReceiveTaskMessage, boundary.node, message);
            }
        }
    }
}

/// Reports events of one scope or activity that catch the same thing, since only one of them could be triggered.
pub(super) fn check_caught_once<'d, 'e>(
    document: &Document<'d>,
    elements: impl Iterator<Item = &'e FlowElement<'d>>,
    sink: &mut Sink<'d>,
) where
    'd: 'e,
{
    // An event without a code catches every error or escalation, so there may be only one.
    let mut caught: HashSet<(EventKind, Option<&'d str>)> = HashSet::new();
    // Beside an escalation event without a reference, no other escalation event can be triggered.
    let mut escalations = 0_usize;
    let mut catches_every_escalation = false;
    for element in elements {
        for event in &element.events {
            let name = caught_name(document, *event);
            let can_be_same =
                name.is_some() || matches!(event.kind, EventKind::Error | EventKind::Escalation);
            let mut is_second = can_be_same && !caught.insert((event.kind, name));
            if event.kind == EventKind::Escalation {
                escalations += 1;
                catches_every_escalation |=
                    document.referenced(event.node, "escalationRef", "escalation").is_none();
                is_second |= catches_every_escalation && escalations > 1;
            }
            if is_second {
                let what = name.map_or_else(|| "without a code".to_owned(), quoted);
                let message = format!("second {} event {what}", event.kind.noun());
                sink.report(Rule::DuplicateEvent, element.node, message);
            }
        }
    }
}

/// The name or code by which two events of a kind are the same.
fn caught_name<'d>(document: &Document<'d>, event: EventDefinition<'d>) -> Option<&'d str> {
    let (reference, target, name) = match event.kind {
        EventKind::Message => ("messageRef", "message", "name"),
        EventKind::Signal => ("signalRef", "signal", "name"),
        EventKind::Error => ("errorRef", "error", "errorCode"),
        EventKind::Escalation => ("escalationRef", "escalation", "escalationCode"),
        EventKind::Link => return event.node.attribute("name").filter(|name| !name.is_empty()),
        EventKind::Timer
        | EventKind::Compensation
        | EventKind::Conditional
        | EventKind::Terminate
        | EventKind::Cancel => return None,
    };
    document.referenced(event.node, reference, target)?.attribute(name).filter(|name| !name.is_empty())
}

fn check_link_pairs<'d>(document: &Document<'d>, scope: &Scope<'d>, sink: &mut Sink<'d>) {
    let links = |kind: Kind| {
        scope
            .elements
            .iter()
            .map(|id| &document.elements[*id])
            .filter(move |element| element.kind == kind)
            .flat_map(|element| {
                element
                    .events
                    .iter()
                    .filter(|event| event.kind == EventKind::Link)
                    .filter_map(|event| event.node.attribute("name"))
                    .filter(|name| !name.is_empty())
                    .map(move |name| (element, name))
            })
    };
    let caught: HashSet<&str> = links(Kind::CatchEvent).map(|(_, name)| name).collect();
    for (element, name) in links(Kind::ThrowEvent).filter(|(_, name)| !caught.contains(name)) {
        let message = format!("link {} is caught nowhere in its scope", quoted(name));
        sink.report(Rule::LinkPair, element.node, message);
    }
}
