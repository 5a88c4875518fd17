//! The rules that engines of this kind apply before they accept a process, one module per subject. The functions only
//! report findings.

mod definitions;
mod events;
mod expressions;
mod flows;
mod gateways;
mod listeners;
mod loops;
mod processes;
mod tasks;
mod timers;
mod user_tasks;

use crate::document::Document;
use crate::sink::Sink;

pub(crate) fn check<'d>(document: &Document<'d>, sink: &mut Sink<'d>) {
    processes::check(document, sink);
    definitions::check(document, sink);
    for element in &document.elements {
        tasks::check(document, element, sink);
        user_tasks::check(element, sink);
        events::check(document, element, sink);
        gateways::check(document, element, sink);
        listeners::check(element.node, sink);
        expressions::check_element(element, sink);
    }
    for flow in &document.flows {
        listeners::check(flow.node, sink);
        expressions::check_extensions(flow.node, sink);
    }
    for process in document.process_scopes() {
        expressions::check_extensions(process.node, sink);
    }
    flows::check(document, sink);
    loops::check(document, sink);
}
