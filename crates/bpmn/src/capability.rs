//! What this engine executes in this release: one table, which later releases widen, and nothing outside it is ever
//! ignored.

use crate::document::{Document, EventKind, FlowElement, Kind, extensions, text};
use crate::feel;
use crate::model;
use crate::rule::Rule;
use crate::sink::{Sink, quoted};

/// The table: the rule that refuses an element of this kind, or `None` when the engine executes it.
const fn refusal_of_element(kind: Kind) -> Option<Rule> {
    match kind {
        Kind::StartEvent
        | Kind::EndEvent
        | Kind::ServiceTask
        | Kind::ExclusiveGateway
        | Kind::ParallelGateway => None,
        Kind::CatchEvent | Kind::ThrowEvent => Some(Rule::CapabilityIntermediateEvent),
        Kind::BoundaryEvent => Some(Rule::CapabilityBoundaryEvent),
        Kind::Task => Some(Rule::CapabilityUndefinedTask),
        Kind::UserTask => Some(Rule::CapabilityUserTask),
        Kind::ManualTask => Some(Rule::CapabilityManualTask),
        Kind::ScriptTask => Some(Rule::CapabilityScriptTask),
        Kind::BusinessRuleTask => Some(Rule::CapabilityBusinessRuleTask),
        Kind::SendTask => Some(Rule::CapabilitySendTask),
        Kind::ReceiveTask => Some(Rule::CapabilityReceiveTask),
        Kind::CallActivity => Some(Rule::CapabilityCallActivity),
        Kind::SubProcess | Kind::EventSubProcess | Kind::AdHocSubProcess | Kind::Transaction => {
            Some(Rule::CapabilitySubProcess)
        }
        Kind::InclusiveGateway => Some(Rule::CapabilityInclusiveGateway),
        Kind::EventBasedGateway => Some(Rule::CapabilityEventBasedGateway),
        Kind::ComplexGateway => Some(Rule::CapabilityComplexGateway),
        Kind::Other => Some(Rule::CapabilityElement),
    }
}

/// The second half of the table: the rule that refuses an event with this definition.
const fn refusal_of_event(kind: EventKind) -> Option<Rule> {
    Some(match kind {
        EventKind::Message => Rule::CapabilityMessageEvent,
        EventKind::Timer => Rule::CapabilityTimerEvent,
        EventKind::Error => Rule::CapabilityErrorEvent,
        EventKind::Escalation => Rule::CapabilityEscalationEvent,
        EventKind::Signal => Rule::CapabilitySignalEvent,
        EventKind::Link => Rule::CapabilityLinkEvent,
        EventKind::Compensation => Rule::CapabilityCompensation,
        EventKind::Conditional => Rule::CapabilityConditionalEvent,
        EventKind::Terminate => Rule::CapabilityTerminateEvent,
        EventKind::Cancel => Rule::CapabilityCancelEvent,
    })
}

/// Extension elements that would change what happens, on any element.
const REFUSED_EXTENSIONS: [(&str, Rule, &str); 3] = [
    ("ioMapping", Rule::CapabilityIoMapping, "input and output mappings"),
    ("executionListeners", Rule::CapabilityListener, "execution listeners"),
    ("taskListeners", Rule::CapabilityListener, "task listeners"),
];

pub(crate) fn check<'d>(document: &Document<'d>, sink: &mut Sink<'d>) {
    for element in &document.elements {
        check_element(element, sink);
        if element.kind == Kind::ExclusiveGateway {
            check_fork(document, element, sink);
        }
    }
    for flow in &document.flows {
        if let Some(condition) = flow.condition {
            check_condition(&text(condition), flow.node, sink);
        }
    }
    for scope in document.process_scopes() {
        check_extensions(scope.node, sink);
        let mut starts = scope
            .elements
            .iter()
            .map(|id| &document.elements[*id])
            .filter(|element| element.kind == Kind::StartEvent);
        // A process without any start event breaks a rule of its own.
        let is_triggered = scope.elements.iter().any(|id| document.elements[*id].kind == Kind::StartEvent);
        if is_triggered && starts.all(|start| !start.events.is_empty()) {
            let message = "process without a none start event is not executed yet";
            sink.report(Rule::CapabilityStartEvent, scope.node, message);
        }
    }
}

fn check_element<'d>(element: &FlowElement<'d>, sink: &mut Sink<'d>) {
    let name = element.node.tag_name().name();
    let events: Vec<(Rule, EventKind)> = element
        .events
        .iter()
        .filter_map(|event| refusal_of_event(event.kind).map(|rule| (rule, event.kind)))
        .collect();
    for (rule, kind) in &events {
        sink.report(*rule, element.node, format!("{} {name} is not executed yet", kind.noun()));
    }
    // An intermediate event is what its definition makes of it; one finding says so.
    let is_told_by_event = !events.is_empty() && matches!(element.kind, Kind::CatchEvent | Kind::ThrowEvent);
    if let Some(rule) = refusal_of_element(element.kind).filter(|_| !is_told_by_event) {
        sink.report(rule, element.node, format!("{name} is not executed yet"));
    }
    if element.loop_characteristics().is_some() {
        sink.report(
            Rule::CapabilityMultiInstance,
            element.node,
            "loop or multi-instance is not executed yet",
        );
    }
    if element.is_for_compensation() {
        sink.report(Rule::CapabilityCompensation, element.node, "compensation handler is not executed yet");
    }
    check_extensions(element.node, sink);
    if element.kind == Kind::ServiceTask {
        check_job(element, sink);
    }
}

fn check_extensions<'d>(node: crate::document::Node<'d>, sink: &mut Sink<'d>) {
    for (name, rule, noun) in REFUSED_EXTENSIONS {
        if let Some(extension) = extensions(node, name).next() {
            sink.report(rule, extension, format!("{noun} are not executed yet"));
        }
    }
}

fn check_job<'d>(element: &FlowElement<'d>, sink: &mut Sink<'d>) {
    let Some(definition) = extensions(element.node, "taskDefinition").next() else { return };
    let job_type = definition.attribute("type").unwrap_or_default();
    // An expression that is no FEEL breaks a rule of its own.
    let is_feel = feel::expression_text(job_type)
        .is_none_or(|text| !matches!(feel::parse(text), Err(feel::Error::Syntax { .. })));
    if !job_type.is_empty() && is_feel && model::static_text(job_type).is_none() {
        let message =
            format!("job type {} depends on variables, which is not executed yet", quoted(job_type));
        sink.report(Rule::CapabilityJobType, definition, message);
    }
    let retries = definition.attribute("retries");
    let is_feel = retries
        .and_then(feel::expression_text)
        .is_none_or(|text| !matches!(feel::parse(text), Err(feel::Error::Syntax { .. })));
    if is_feel && model::retries(retries).is_none() {
        let message = format!("retries {} are not executed", quoted(retries.unwrap_or_default()));
        sink.report(Rule::CapabilityRetries, definition, message);
    }
}

fn check_condition<'d>(value: &str, flow: crate::document::Node<'d>, sink: &mut Sink<'d>) {
    let parsed = feel::expression_text(value).map(feel::parse);
    if let Some(Err(feel::Error::Unsupported { feature })) = parsed {
        sink.report(
            Rule::CapabilityFeel,
            flow,
            format!("condition uses {feature}, which is not executed yet"),
        );
    }
}

/// The rule for conditions counts the flows that the gateway declares; what runs are the flows that leave it.
fn check_fork<'d>(document: &Document<'d>, gateway: &FlowElement<'d>, sink: &mut Sink<'d>) {
    if gateway.outgoing.len() < 2 || gateway.declared_outgoing.len() > 1 {
        return;
    }
    let default = gateway.node.attribute("default").and_then(|id| document.flow_by_id(id));
    for id in &gateway.outgoing {
        let flow = &document.flows[*id];
        if flow.condition.is_none() && default != Some(*id) {
            sink.report(Rule::CapabilityFlow, flow.node, "missing condition");
        }
    }
}

#[cfg(test)]
mod tests;
