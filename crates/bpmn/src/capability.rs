//! What this engine executes in this release. Everything that is not executed is refused, never ignored. Later releases
//! will extend the tables.

use std::collections::HashSet;

use plain_text::is_printable;

use crate::document::{Document, EventKind, FlowElement, FlowId, Kind, Node, Scope, child, extensions, text};
use crate::feel;
use crate::limits::{MAX_IDENTIFIER_CHARS, MAX_JOB_TYPES};
use crate::rule::Rule;
use crate::sink::{Sink, escaped, quoted};
use crate::{job_type, model};

/// The rule that refuses an element of this kind; `None` = the engine executes it.
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

/// The rule that refuses an event with this definition. No event definition is executed yet.
const fn refusal_of_event(kind: EventKind) -> Rule {
    match kind {
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
    }
}

/// Extension elements that would change the execution of any element.
const REFUSED_EXTENSIONS: [(&str, Rule, &str); 3] = [
    ("ioMapping", Rule::CapabilityIoMapping, "input and output mappings"),
    ("executionListeners", Rule::CapabilityListener, "execution listeners"),
    ("taskListeners", Rule::CapabilityListener, "task listeners"),
];

pub(crate) fn check<'d>(document: &Document<'d>, sink: &mut Sink<'d>) {
    for element in &document.elements {
        check_element(element, sink);
        check_extensions(element.node, sink);
        check_flows(document, element, sink);
        if element.kind == Kind::ServiceTask {
            check_job(element, sink);
        }
    }
    for flow in &document.flows {
        check_identifier(flow.node, "id", sink);
        if let Some(condition) = flow.condition {
            check_condition(&text(condition), flow.node, sink);
        }
    }
    check_one_process(document, sink);
    for scope in document.process_scopes() {
        check_identifier(scope.node, "id", sink);
        check_extensions(scope.node, sink);
        for tag in extensions(scope.node, "versionTag") {
            check_identifier(tag, "value", sink);
        }
        check_start(document, scope, sink);
    }
    check_job_types(document, sink);
}

fn check_job_types<'d>(document: &Document<'d>, sink: &mut Sink<'d>) {
    let mut known = HashSet::new();
    let mut first_beyond = None;
    for element in &document.elements {
        for definition in extensions(element.node, "taskDefinition") {
            let is_new =
                definition.attribute("type").and_then(model::static_text).is_some_and(|t| known.insert(t));
            if is_new && known.len() > MAX_JOB_TYPES {
                first_beyond.get_or_insert(definition);
            }
        }
    }
    if let Some(definition) = first_beyond {
        let message = format!("{} job types in one file, at most {MAX_JOB_TYPES} are executed", known.len());
        sink.report(Rule::CapabilityJobTypes, definition, message);
    }
}

/// A deployment has exactly one process, since versions belong to a process.
fn check_one_process<'d>(document: &Document<'d>, sink: &mut Sink<'d>) {
    /// How many ids the message contains; the rest are counted.
    const NAMED: usize = 2;
    let processes: Vec<Node<'d>> = document.process_scopes().map(|scope| scope.node).collect();
    let Some(second) = processes.get(1) else { return };
    let ids = processes.iter().map(|process| process.attribute("id").unwrap_or("one without an id"));
    let mut names: Vec<String> = ids.take(NAMED).map(quoted).collect();
    if processes.len() > NAMED {
        names.push(format!("{} more", processes.len() - NAMED));
    }
    let message = format!(
        "document has {} executable processes, {}; give each a document of its own",
        processes.len(),
        names.join(" and ")
    );
    // The message contains the ids, so the finding has no element.
    sink.report_at(Rule::CapabilityOneProcess, second.range().start, message);
}

fn check_start<'d>(document: &Document<'d>, scope: &Scope<'d>, sink: &mut Sink<'d>) {
    let mut starts = scope
        .elements
        .iter()
        .map(|id| &document.elements[*id])
        .filter(|element| element.kind == Kind::StartEvent)
        .peekable();
    // A process without any start event breaks another rule.
    if starts.peek().is_some() && starts.all(|start| !start.events.is_empty()) {
        let message = "process without a none start event is not executed yet";
        sink.report(Rule::CapabilityStartEvent, scope.node, message);
    }
}

fn check_element<'d>(element: &FlowElement<'d>, sink: &mut Sink<'d>) {
    let name = element.node.tag_name().name();
    check_identifier(element.node, "id", sink);
    for event in &element.events {
        let message = format!("{} {name} is not executed yet", event.kind.noun());
        sink.report(refusal_of_event(event.kind), element.node, message);
    }
    if child(element.node, "eventDefinitionRef").is_some() {
        let message = format!("{name} by eventDefinitionRef is not executed yet");
        sink.report(Rule::CapabilityEventReference, element.node, message);
    }
    // An intermediate event with a definition already has the finding for that definition.
    let is_refused_with_its_event =
        !element.events.is_empty() && matches!(element.kind, Kind::CatchEvent | Kind::ThrowEvent);
    if let Some(rule) = refusal_of_element(element.kind).filter(|_| !is_refused_with_its_event) {
        sink.report(rule, element.node, format!("{name} is not executed yet"));
    }
    if element.loop_characteristics().is_some() {
        let message = "loop or multi-instance is not executed yet";
        sink.report(Rule::CapabilityMultiInstance, element.node, message);
    }
    if element.is_for_compensation() {
        sink.report(Rule::CapabilityCompensation, element.node, "compensation handler is not executed yet");
    }
    for quantity in ["startQuantity", "completionQuantity"] {
        if element.node.attribute(quantity).is_some_and(|value| value.trim() != "1") {
            let message = format!("{quantity} other than 1 is not executed");
            sink.report(Rule::CapabilityQuantity, element.node, message);
        }
    }
}

fn check_extensions<'d>(node: Node<'d>, sink: &mut Sink<'d>) {
    for (name, rule, noun) in REFUSED_EXTENSIONS {
        if let Some(extension) = extensions(node, name).next() {
            sink.report(rule, extension, format!("{noun} are not executed yet"));
        }
    }
}

fn check_job<'d>(element: &FlowElement<'d>, sink: &mut Sink<'d>) {
    let Some(definition) = extensions(element.node, "taskDefinition").next() else { return };
    let job_type = definition.attribute("type").unwrap_or_default();
    match model::static_text(job_type) {
        // A missing type breaks another rule.
        _ if job_type.is_empty() => {}
        Some(constant) => check_job_type(definition, &constant, sink),
        None if may_be_feel(job_type) => {
            let message =
                format!("job type {} depends on variables, which is not executed yet", quoted(job_type));
            sink.report(Rule::CapabilityJobType, definition, message);
        }
        None => {}
    }
    let retries = definition.attribute("retries");
    if retries.is_none_or(may_be_feel) && model::retries(retries).is_none() {
        let message = format!("retries {} are not executed", quoted(retries.unwrap_or_default()));
        sink.report(Rule::CapabilityRetries, definition, message);
    }
}

/// Refuses job types for which no worker can activate jobs.
fn check_job_type<'d>(definition: Node<'d>, job_type: &str, sink: &mut Sink<'d>) {
    if let Some(problem) = job_type::problem(job_type) {
        let message = format!("no WorkflowWorker can serve job type {}, which {problem}", escaped(job_type));
        sink.report(Rule::CapabilityUnservableJobType, definition, message);
    } else if !is_identifier(job_type) || job_type.contains(is_hidden_blank) {
        let message = format!("job type {} holds characters that cannot be seen", escaped(job_type));
        sink.report(Rule::CapabilityIdentifier, definition, message);
    }
}

/// A character that looks like a space or is invisible, so that two different types would look the same.
fn is_hidden_blank(character: char) -> bool {
    (character.is_whitespace() && character != ' ') || character == '\u{ad}'
}

/// False for an expression that is not FEEL, which breaks another rule.
fn may_be_feel(value: &str) -> bool {
    feel::expression_text(value)
        .is_none_or(|text| !feel::parse(text).is_err_and(|error| error.is_malformed()))
}

fn check_condition<'d>(value: &str, flow: Node<'d>, sink: &mut Sink<'d>) {
    let parsed = feel::expression_text(value).map(feel::parse);
    if let Some(Err(feel::Error::Unsupported { feature })) = parsed {
        let message = format!("condition uses {feature}, which is not executed yet");
        sink.report(Rule::CapabilityFeel, flow, message);
    }
}

/// The rules of `rules` use the flows that an element declares by `incoming` and `outgoing` children, which are
/// optional. But the engine executes the flows by `sourceRef` and `targetRef`. Errors of undeclared flows are reported
/// here.
fn check_flows<'d>(document: &Document<'d>, element: &FlowElement<'d>, sink: &mut Sink<'d>) {
    match element.kind {
        Kind::StartEvent if !element.incoming.is_empty() => {
            sink.report(Rule::CapabilityFlow, element.node, "incoming sequence flow of a start event");
        }
        Kind::EndEvent if !element.outgoing.is_empty() && element.declared_outgoing.is_empty() => {
            sink.report(Rule::CapabilityFlow, element.node, "outgoing sequence flow of an end event");
        }
        _ => {}
    }
    let default = element.node.attribute("default").and_then(|id| document.flow_by_id(id));
    let declared: HashSet<FlowId> = element.declared_outgoing.iter().copied().collect();
    for id in &element.outgoing {
        let flow = &document.flows[*id];
        if element.kind == Kind::ExclusiveGateway {
            let must_decide = element.outgoing.len() > 1 && declared.len() < 2;
            if must_decide && flow.condition.is_none() && default != Some(*id) {
                sink.report(Rule::CapabilityFlow, flow.node, "missing condition");
            }
        } else if flow.condition.is_some() && !declared.contains(id) {
            let message = "condition on a flow that does not start at an exclusive gateway";
            sink.report(Rule::CapabilityFlow, flow.node, message);
        }
    }
}

fn check_identifier<'d>(node: Node<'d>, name: &str, sink: &mut Sink<'d>) {
    let Some(value) = node.attribute(name).filter(|value| !is_identifier(value)) else { return };
    let element = node.tag_name().name();
    let message = format!(
        "{name} {} of {element} is longer than {MAX_IDENTIFIER_CHARS} characters or not printable",
        quoted(value)
    );
    sink.report(Rule::CapabilityIdentifier, node, message);
}

/// Whether a name can be stored and shown: printable, and within the limit of length.
pub(crate) fn is_identifier(value: &str) -> bool {
    value.chars().all(is_printable) && value.chars().nth(MAX_IDENTIFIER_CHARS).is_none()
}
