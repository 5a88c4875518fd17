//! Execution listeners: where they stand and how often.

use std::collections::HashSet;

use crate::document::{Node, child, extension_children, extensions};
use crate::rule::Rule;
use crate::rules::tasks;
use crate::sink::{Sink, quoted};

pub(super) fn check<'d>(node: Node<'d>, sink: &mut Sink<'d>) {
    let kind = node.tag_name().name();
    for listeners in extensions(node, "executionListeners") {
        let mut seen = HashSet::new();
        for listener in extension_children(listeners, "executionListener") {
            tasks::check_not_empty(listener, &["eventType", "type"], sink);
            if listener.attribute("retries").is_some() {
                tasks::check_not_empty(listener, &["retries"], sink);
            }
            let event = listener.attribute("eventType").unwrap_or_default();
            if !can_listen(node, kind, event) {
                let message = format!("{} listener cannot stand on {kind}", quoted(event));
                sink.report(Rule::ExecutionListener, listener, message);
            }
            if !seen.insert((event, listener.attribute("type").unwrap_or_default())) {
                sink.report(Rule::ExecutionListener, listener, "second listener of the same event and type");
            }
        }
    }
}

fn can_listen(node: Node<'_>, kind: &str, event: &str) -> bool {
    let has = |definition| child(node, definition).is_some();
    match kind {
        "sequenceFlow" | "adHocSubProcess" | "transaction" | "complexGateway" => false,
        // A compensation boundary event is never triggered, it only marks a handler.
        "boundaryEvent" if has("compensateEventDefinition") => false,
        // There is nothing to listen to before an instance or a boundary event has started.
        "startEvent" | "boundaryEvent" => event != "start",
        // A token leaves a gateway at once, so there is no separate end.
        _ if kind.ends_with("Gateway") => event != "end",
        // An error or escalation may be caught elsewhere, which ends the event before an end listener could run.
        "endEvent" if has("errorEventDefinition") => event != "end",
        "intermediateThrowEvent" if has("escalationEventDefinition") => event != "end",
        _ => matches!(event, "start" | "end"),
    }
}
