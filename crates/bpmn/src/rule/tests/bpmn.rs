mod events;
mod expressions;
mod flows;
mod processes;
mod tasks;

use super::{Case, check};
use crate::{Class, Mode};

#[test]
fn documents_that_break_a_rule_of_bpmn_are_refused() {
    for cases in GROUPS {
        check(cases, Mode::Lenient, &[Class::Xml, Class::Bpmn]);
    }
}

pub(super) const GROUPS: [&[Case]; 5] =
    [processes::CASES, tasks::CASES, events::CASES, flows::CASES, expressions::CASES];
