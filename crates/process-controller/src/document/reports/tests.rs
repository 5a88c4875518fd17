use std::cell::Cell;

use super::*;
use crate::testing::{NO_TASK_DEFINITION, ORDER_FLOW};

fn lint(reports: &Reports, bpmn: &str, mode: Mode, linted: &Cell<u32>) -> Report {
    reports.get_or_lint(&bpmn::digest(bpmn.as_bytes()), mode, || {
        linted.set(linted.get() + 1);
        bpmn::lint(bpmn.as_bytes(), mode)
    })
}

#[test]
fn a_document_is_linted_once_per_mode_and_its_report_stays_the_same() {
    let (reports, linted) = (Reports::default(), Cell::new(0));
    for _ in 0..3 {
        for mode in [Mode::Strict, Mode::Lenient] {
            for bpmn in [ORDER_FLOW, NO_TASK_DEFINITION] {
                assert_eq!(lint(&reports, bpmn, mode, &linted), bpmn::lint(bpmn.as_bytes(), mode));
            }
        }
    }
    assert_eq!(linted.get(), 4);
}

#[test]
fn reports_are_kept_while_there_is_room_for_them() {
    let (reports, linted) = (Reports::default(), Cell::new(0));
    let large = Report { job_types: vec!["x".repeat(ROOM / 10)], ..Report::default() };
    for document in 0..100 {
        reports.get_or_lint(&document.to_string(), Mode::Strict, || large.clone());
        let kept = reports.lock();
        let used: usize =
            kept.reports.iter().map(|((key, _), report)| key.len() + size_of_report(report)).sum();
        assert_eq!(used, kept.used);
        assert!(used <= ROOM);
    }
    let larger = Report { job_types: vec!["x".repeat(ROOM)], ..Report::default() };
    assert_eq!(reports.get_or_lint("larger", Mode::Strict, || larger.clone()), larger);
    assert!(reports.lock().used <= ROOM);
    lint(&reports, ORDER_FLOW, Mode::Strict, &linted);
    lint(&reports, ORDER_FLOW, Mode::Strict, &linted);
    assert_eq!(linted.get(), 1);
}
