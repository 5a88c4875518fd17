//! Sequence flows: their ends, conditions, and the references between them and flow nodes.

use crate::document::{Document, Kind, bpmn_children};
use crate::rule::Rule;
use crate::rules::expressions;
use crate::sink::{Sink, quoted};

pub(super) fn check<'d>(document: &Document<'d>, sink: &mut Sink<'d>) {
    for (id, flow) in document.flows.iter().enumerate() {
        for (name, end) in [("sourceRef", flow.source), ("targetRef", flow.target)] {
            let process = |scope: usize| document.scopes[scope].process;
            let is_inside =
                end.is_some_and(|end| process(document.elements[end].scope) == process(flow.scope));
            if !is_inside {
                let message = format!("{name} of a sequence flow is no flow node of its process");
                sink.report(Rule::FlowReference, flow.node, message);
            }
        }
        if let Some(condition) = flow.condition {
            expressions::check_condition(condition, sink);
            continue;
        }
        let Some(gateway) = flow.source.map(|source| &document.elements[source]) else { continue };
        let is_decision = matches!(gateway.kind, Kind::ExclusiveGateway | Kind::InclusiveGateway);
        let default = gateway.node.attribute("default").and_then(|name| document.flow_by_id(name));
        if is_decision && gateway.declared_outgoing.len() > 1 && default != Some(id) {
            sink.report(Rule::MissingCondition, flow.node, "missing condition");
        }
    }
    check_declared(document, sink);
}

/// Checks that `outgoing` children name sequence flows. `incoming` children are not checked.
fn check_declared<'d>(document: &Document<'d>, sink: &mut Sink<'d>) {
    for element in &document.elements {
        for node in bpmn_children(element.node).filter(|node| node.tag_name().name() == "outgoing") {
            let reference = node.text().unwrap_or_default().trim();
            if document.flow_by_id(reference).is_none() {
                let message = format!("outgoing {} is no sequence flow", quoted(reference));
                sink.report(Rule::FlowReference, node, message);
            }
        }
    }
}
