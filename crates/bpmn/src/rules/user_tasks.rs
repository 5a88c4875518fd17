//! User tasks: forms, assignment, schedule.

use crate::document::{FlowElement, Kind, Node, extensions};
use crate::feel;
use crate::rule::Rule;
use crate::rules::tasks;
use crate::sink::{Sink, quoted};
use crate::temporal;

pub(super) fn check<'d>(element: &FlowElement<'d>, sink: &mut Sink<'d>) {
    if element.kind != Kind::UserTask {
        return;
    }
    let is_native = extensions(element.node, "userTask").next().is_some();
    for form in extensions(element.node, "formDefinition") {
        check_form(form, is_native, sink);
        tasks::check_binding(form, sink);
    }
    for assignment in extensions(element.node, "assignmentDefinition") {
        for name in ["candidateGroups", "candidateUsers"] {
            let is_list = |value: &str| value.split(',').all(|entry| !entry.trim().is_empty());
            check_static(assignment, name, "list of names", is_list, sink);
        }
    }
    for schedule in extensions(element.node, "taskSchedule") {
        for name in ["dueDate", "followUpDate"] {
            check_static(schedule, name, "date and time", temporal::is_date_time, sink);
        }
    }
    for priority in extensions(element.node, "priorityDefinition") {
        tasks::check_not_empty(priority, &["priority"], sink);
        let is_priority = |value: &str| value.parse::<u8>().is_ok_and(|value| value <= 100);
        check_static(priority, "priority", "number from 0 to 100", is_priority, sink);
    }
}

fn check_form<'d>(form: Node<'d>, is_native: bool, sink: &mut Sink<'d>) {
    let is_set = |name| form.attribute(name).is_some_and(|value: &str| !value.trim().is_empty());
    let keys = if is_native { ["formId", "externalReference"] } else { ["formId", "formKey"] };
    if keys.iter().filter(|name| is_set(**name)).count() != 1 {
        let message = format!("form is not named by exactly one of {} and {}", keys[0], keys[1]);
        sink.report(Rule::FormDefinition, form, message);
    }
}

fn check_static<'d>(
    extension: Node<'d>,
    name: &str,
    noun: &str,
    is_valid: impl Fn(&str) -> bool,
    sink: &mut Sink<'d>,
) {
    let constant =
        extension.attribute(name).filter(|value| !value.is_empty() && feel::expression_text(value).is_none());
    let Some(value) = constant else { return };
    if !is_valid(value) {
        sink.report(Rule::UserTaskValue, extension, format!("{name} {} is not a {noun}", quoted(value)));
    }
}
