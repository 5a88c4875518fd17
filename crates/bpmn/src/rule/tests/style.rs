use super::Source::Process;
use super::{Case, check};
use crate::{Class, Mode, lint};

#[test]
fn error_prone_modelling_is_reported_in_strict_mode() {
    check(CASES, Mode::Strict, &[Class::Style]);
}

#[test]
fn lenient_mode_reports_no_style() {
    for case in CASES {
        let report = lint(case.source.document().as_bytes(), Mode::Lenient);
        assert!(report.findings.iter().all(|finding| finding.class() != Class::Style), "{}", case.name);
    }
}

pub(super) const CASES: &[Case] = &[
    Case {
        name: "a process in good style",
        source: Process(
            r#"<startEvent id="S" name="s"/><endEvent id="E" name="e"/><sequenceFlow id="f" sourceRef="S" targetRef="E"/>"#,
        ),
        expected: &[],
    },
    Case {
        name: "elements without flows",
        source: Process(r#"<startEvent id="S" name="s"/><serviceTask id="T" name="t"/>"#),
        expected: &[
            "style-end-event P",
            "style-implicit-end S",
            "style-implicit-start T",
            "style-implicit-end T",
        ],
    },
    Case {
        name: "paths fork and meet without a gateway",
        source: Process(
            r#"<startEvent id="S" name="s"/><serviceTask id="T" name="t"/><endEvent id="E" name="e"/>
               <sequenceFlow id="a" sourceRef="S" targetRef="T"/><sequenceFlow id="b" sourceRef="S" targetRef="T"/>
               <sequenceFlow id="c" sourceRef="T" targetRef="E"/>"#,
        ),
        expected: &["style-implicit-split S", "style-fake-join T", "style-duplicate-flow b"],
    },
    Case {
        name: "a gateway that joins and forks, and gateways with one flow in and out",
        source: Process(
            r#"<startEvent id="S" name="s"/><parallelGateway id="A"/><parallelGateway id="B"/><parallelGateway id="C"/>
               <endEvent id="E" name="e"/><endEvent id="F" name="f"/>
               <sequenceFlow id="a" sourceRef="S" targetRef="A"/><sequenceFlow id="b" sourceRef="A" targetRef="C"/>
               <sequenceFlow id="c" sourceRef="C" targetRef="E"/><sequenceFlow id="d" sourceRef="C" targetRef="B"/>
               <sequenceFlow id="e" sourceRef="B" targetRef="C"/><sequenceFlow id="g" sourceRef="C" targetRef="F"/>"#,
        ),
        expected: &[
            "style-superfluous-gateway A",
            "style-superfluous-gateway B",
            "style-gateway-join-fork C",
        ],
    },
    Case {
        name: "nothing has a name",
        source: Process(
            r#"<startEvent id="S"/><exclusiveGateway id="X" default="c"/><endEvent id="E"/><endEvent id="F" name="f"/>
               <sequenceFlow id="a" sourceRef="S" targetRef="X"/>
               <sequenceFlow id="b" sourceRef="X" targetRef="E"><conditionExpression>=yes</conditionExpression></sequenceFlow>
               <sequenceFlow id="c" sourceRef="X" targetRef="F"/>"#,
        ),
        expected: &["style-label S", "style-label E", "style-label b"],
    },
];
