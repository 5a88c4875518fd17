//! Execution listeners: where they stand and how often.

use std::collections::HashSet;

use crate::document::{Node, child, extension_children, extensions};
use crate::rule::Rule;
use crate::rules::tasks;
use crate::sink::Sink;

pub(super) fn check<'d>(node: Node<'d>, sink: &mut Sink<'d>) {
    let kind = node.tag_name().name();
    for listeners in extensions(node, "executionListeners") {
        let mut seen = HashSet::new();
        for listener in extension_children(listeners, "executionListener") {
            tasks::check_not_empty(listener, &["eventType", "type"], sink);
            let event = listener.attribute("eventType").unwrap_or_default();
            if !can_listen(node, kind, event) {
                let message = format!("{event} listener cannot stand on {kind}");
                sink.report(Rule::ExecutionListener, listener, message);
            }
            if !seen.insert((event, listener.attribute("type").unwrap_or_default())) {
                sink.report(Rule::ExecutionListener, listener, "second listener of the same event and type");
            }
        }
    }
}

fn can_listen(node: Node<'_>, kind: &str, event: &str) -> bool {
    if matches!(kind, "sequenceFlow" | "adHocSubProcess" | "transaction" | "complexGateway") {
        return false;
    }
    match event {
        // Nothing runs before an instance or a boundary event has started.
        "start" => !matches!(kind, "startEvent" | "boundaryEvent"),
        // A gateway is left in the moment it is entered, an error by being caught elsewhere.
        "end" => {
            !(kind.ends_with("Gateway")
                || (kind == "endEvent" && child(node, "errorEventDefinition").is_some()))
        }
        _ => true,
    }
}
