//! Timers: exactly one definition, of the right kind, with a valid value.

use crate::document::{Document, EventDefinition, FlowElement, Kind, Node, child, text};
use crate::feel;
use crate::rule::Rule;
use crate::sink::{Sink, quoted};
use crate::temporal;

pub(super) fn check<'d>(
    event: EventDefinition<'d>,
    element: Option<&FlowElement<'d>>,
    document: &Document<'d>,
    sink: &mut Sink<'d>,
) {
    let parts = ["timeDate", "timeDuration", "timeCycle"].map(|name| child(event.node, name));
    if parts.iter().flatten().count() != 1 {
        let message = "timer without exactly one of timeDate, timeDuration and timeCycle";
        sink.report(Rule::TimerDefinition, event.node, message);
    }
    // There are no variables before a process starts, so the timer of its start event cannot depend on one. Its
    // expression may still call functions, which are not evaluated here.
    let is_process_start = element.is_some_and(|element| {
        element.kind == Kind::StartEvent && document.scopes[element.scope].is_process()
    });
    for part in parts.into_iter().flatten() {
        check_value(part, is_process_start, sink);
    }
}

fn check_value<'d>(part: Node<'d>, is_process_start: bool, sink: &mut Sink<'d>) {
    let value = text(part);
    let constant = match feel::expression_text(&value) {
        None => value.clone(),
        Some(expression) => match feel::parse(expression) {
            Ok(feel::Expr::String(constant)) if is_process_start => constant,
            Ok(feel::Expr::Path(_)) if is_process_start => {
                let message = format!("timer {} depends on a variable", quoted(&value));
                sink.report(Rule::TimerValue, part, message);
                return;
            }
            _ => return,
        },
    };
    let (is_valid, noun) = match part.tag_name().name() {
        "timeDate" => (temporal::is_date_time(&constant), "date with a time zone"),
        "timeDuration" => (temporal::is_duration(&constant), "duration"),
        _ => (temporal::is_cycle(&constant), "repetition or cron expression"),
    };
    if !is_valid {
        sink.report(Rule::TimerValue, part, format!("timer {} is not a {noun}", quoted(&value)));
    }
}

/// An intermediate timer fires once, so it cannot have a cycle.
pub(super) fn check_fires_once<'d>(node: Node<'d>, event: EventDefinition<'d>, sink: &mut Sink<'d>) {
    if child(event.node, "timeDuration").is_none() && child(event.node, "timeDate").is_none() {
        sink.report(Rule::TimerCycle, node, "timer without timeDate or timeDuration");
    }
}

/// An interrupting timer ends its activity or scope, so it cannot fire again.
pub(super) fn check_no_cycle<'d>(node: Node<'d>, event: EventDefinition<'d>, sink: &mut Sink<'d>) {
    if child(event.node, "timeCycle").is_some() {
        sink.report(Rule::TimerCycle, node, "interrupting timer with a cycle");
    }
}
