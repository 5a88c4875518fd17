//! `workflow-engine lint` as a pipeline runs it: the real binary on real files.
#![cfg(test)]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use boon::{Compiler, Schemas};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A process that would be deployed, without a finding.
fn good(process_id: &str) -> String {
    format!(
        r#"<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" targetNamespace="urn:test">
<process id="{process_id}" isExecutable="true">
<startEvent id="S" name="s"/><endEvent id="E" name="e"/><sequenceFlow id="F" sourceRef="S" targetRef="E"/>
</process></definitions>"#
    )
}

/// A warning in line 3, for the start event.
fn unnamed(process_id: &str) -> String {
    good(process_id).replace(r#" name="s""#, "")
}

/// An error in line 3, for a task without a job type.
fn bad(process_id: &str) -> String {
    let flow = r#"<sequenceFlow id="F" sourceRef="S" targetRef="E"/>"#;
    let task = r#"<serviceTask id="T" name="t"/><sequenceFlow id="F" sourceRef="S" targetRef="T"/><sequenceFlow id="G" sourceRef="T" targetRef="E"/>"#;
    good(process_id).replace(flow, task)
}

fn directory(files: &[(&str, &[u8])]) -> TempDir {
    let root = tempfile::tempdir().expect("should make a directory");
    for (name, content) in files {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().expect("is below the root")).expect("should make a directory");
        fs::write(path, content).expect("should write a file");
    }
    root
}

/// Exit code, standard output and error output.
fn lint(root: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_workflow-engine"));
    let output = command.current_dir(root).arg("lint").args(arguments).output().expect("should run");
    let text = |bytes| String::from_utf8(bytes).expect("should be text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

const MISSING: &str = "T.bpmn:3:57: error: missing taskDefinition on T [missing-task-definition]\n";

#[test]
fn files_that_would_be_deployed_exit_with_0() {
    let root = directory(&[
        ("flows/a.bpmn", good("a").as_bytes()),
        ("flows/sub/b.bpmn20.xml", unnamed("b").as_bytes()),
    ]);
    let warning = "flows/sub/b.bpmn20.xml:3:1: warning: no name on S [style-label]\n";
    assert_eq!(lint(root.path(), &["flows"]), (Some(0), warning.to_owned(), String::new()));
    assert_eq!(lint(root.path(), &["--mode", "lenient", "flows"]), (Some(0), String::new(), String::new()));
}

#[test]
fn a_document_that_would_be_refused_exits_with_1() {
    let root = directory(&[("T.bpmn", bad("a").as_bytes()), ("good.bpmn", good("b").as_bytes())]);
    assert_eq!(lint(root.path(), &["good.bpmn", "T.bpmn"]), (Some(1), MISSING.to_owned(), String::new()));
}

#[test]
fn what_cannot_be_read_exits_with_2_and_keeps_no_other_file_from_being_judged() {
    let large = vec![b' '; bpmn::limits::MAX_BYTES + 1];
    let root = directory(&[("T.bpmn", bad("a").as_bytes()), ("large.bpmn", &large), ("docs/readme.md", b"")]);
    symlink("loop.bpmn", root.path().join("loop.bpmn")).expect("should make a link");
    let arguments = ["large.bpmn", "gone.bpmn", "loop.bpmn", "docs", "T.bpmn"];
    let said = "docs has no BPMN file: nothing in it or below it ends with .bpmn or .bpmn20.xml, hidden directories and \
                symbolic links left out\n\
                gone.bpmn cannot be read: No such file or directory (os error 2)\n\
                large.bpmn is larger than 1024 KiB, the most that an engine takes\n\
                loop.bpmn cannot be read: Too many levels of symbolic links (os error 40)\n";
    assert_eq!(lint(root.path(), &arguments), (Some(2), MISSING.to_owned(), said.to_owned()));
}

#[test]
fn wrong_arguments_exit_with_2() {
    let root = directory(&[]);
    for (arguments, named) in [
        (&[][..], "<PATH>"),
        (&["--mode", "severe", "a.bpmn"], "'severe'"),
        (&["--format", "xml", "a.bpmn"], "'xml'"),
        (&["--what", "a.bpmn"], "'--what'"),
    ] {
        let (code, out, err) = lint(root.path(), arguments);
        assert_eq!((code, out), (Some(2), String::new()), "{arguments:?}: {err}");
        assert!(err.contains(named), "{err}");
    }
}

#[test]
fn a_process_id_of_two_files_is_a_warning_on_the_second() {
    let root = directory(&[
        ("a/order.bpmn", good("order").as_bytes()),
        ("b/order.bpmn", good("order").as_bytes()),
        ("b/refund.bpmn", good("refund").as_bytes()),
    ]);
    let on_second = "b/order.bpmn:2:1: warning: same id as the process of a/order.bpmn on order [style-shared-process-id]\n";
    assert_eq!(lint(root.path(), &["a", "b"]), (Some(0), on_second.to_owned(), String::new()));
    let on_first = "a/order.bpmn:2:1: warning: same id as the process of b/order.bpmn on order [style-shared-process-id]\n";
    assert_eq!(lint(root.path(), &["b", "a"]), (Some(0), on_first.to_owned(), String::new()));
    assert_eq!(lint(root.path(), &["--mode", "lenient", "a", "b"]), (Some(0), String::new(), String::new()));
}

/// A file with an error, one with a warning, one that cannot be read and one with a name that no URI can have as it is.
fn mixed() -> TempDir {
    directory(&[
        ("flows/T.bpmn", bad("a").as_bytes()),
        ("flows/größe 1.bpmn", unnamed("b").as_bytes()),
        ("flows/large.bpmn", &vec![b' '; bpmn::limits::MAX_BYTES + 1]),
    ])
}

#[test]
fn json_is_one_document() {
    let root = mixed();
    let (code, out, err) = lint(root.path(), &["--format", "json", "flows"]);
    let said = "flows/large.bpmn is larger than 1024 KiB, the most that an engine takes\n";
    assert_eq!((code, err.as_str()), (Some(2), said), "{out}");
    let expected = json!({
        "engineVersion": env!("CARGO_PKG_VERSION"),
        "mode": "strict",
        "files": [
            { "path": "flows/T.bpmn", "deployable": false, "processId": null, "truncated": false },
            { "path": "flows/größe 1.bpmn", "deployable": true, "processId": "b", "truncated": false },
        ],
        "findings": [
            {
                "path": "flows/T.bpmn", "line": 3, "column": 57, "element": "T", "ruleId": "missing-task-definition",
                "severity": "error", "message": "missing taskDefinition",
            },
            {
                "path": "flows/größe 1.bpmn", "line": 3, "column": 1, "element": "S", "ruleId": "style-label",
                "severity": "warning", "message": "no name",
            },
        ],
        "unread": [{ "path": "flows/large.bpmn", "reason": "is larger than 1024 KiB, the most that an engine takes" }],
        "summary": { "files": 2, "refused": 1, "unread": 1, "errors": 1, "warnings": 1 },
    });
    assert_eq!(serde_json::from_str::<Value>(&out).expect("should be JSON"), expected);
}

/// The schema is that of the OASIS standard, which allows no field that it does not know.
#[test]
fn sarif_is_what_its_schema_says() {
    let root = mixed();
    let (code, out, _) = lint(root.path(), &["--format", "sarif", "flows"]);
    assert_eq!(code, Some(2), "{out}");
    let log: Value = serde_json::from_str(&out).expect("should be JSON");
    assert_sarif(&log);
    let results: Vec<Value> = log["runs"][0]["results"]
        .as_array()
        .expect("has results")
        .iter()
        .map(|result| {
            let place = &result["locations"][0]["physicalLocation"];
            json!([result["ruleId"], place["artifactLocation"]["uri"], place["region"]])
        })
        .collect();
    let at = |column| json!({ "startLine": 3, "startColumn": column });
    let expected = [
        json!(["missing-task-definition", "flows/T.bpmn", at(57)]),
        json!(["style-label", "flows/gr%C3%B6%C3%9Fe%201.bpmn", at(1)]),
    ];
    assert_eq!(results, expected);
    assert_eq!(lint(root.path(), &["--format", "sarif", "flows"]).1, out, "the next run says something else");
}

#[test]
fn sarif_of_nothing_wrong_has_no_results() {
    let root = directory(&[("a.bpmn", good("a").as_bytes())]);
    let (code, out, err) = lint(root.path(), &["--format", "sarif", "."]);
    let log: Value = serde_json::from_str(&out).expect("should be JSON");
    assert_sarif(&log);
    assert_eq!((code, &log["runs"][0]["results"], err.as_str()), (Some(0), &json!([]), ""));
}

fn assert_sarif(log: &Value) {
    const NAME: &str = "sarif-2.1.0.schema.json";
    let schema = serde_json::from_str(include_str!("../testdata/sarif-2.1.0.schema.json")).expect("is JSON");
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.enable_format_assertions();
    compiler.add_resource(NAME, schema).expect("is a resource");
    let sarif = compiler.compile(NAME, &mut schemas).expect("is a schema");
    schemas.validate(log, sarif).map_err(|error| error.to_string()).expect("should be SARIF");
}

#[test]
fn hostile_files_are_findings_or_errors() {
    let root = directory(&[
        ("flows/binary.bpmn", &[0x7f, b'E', b'L', b'F', 0, 0xff, 0xfe]),
        ("flows/empty.bpmn", b""),
        ("flows/dtd.bpmn", b"<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>"),
    ]);
    symlink("..", root.path().join("flows/loop")).expect("should make a link");
    let name = OsStr::from_bytes(b"flows/\xff\n::error::.bpmn");
    fs::write(root.path().join(name), unnamed("a")).expect("should write a file");
    let (code, out, err) = lint(root.path(), &["."]);
    let found: Vec<&str> = out.lines().filter_map(|line| Some(line.split_once(": ")?.0)).collect();
    let expected = [
        "./flows/binary.bpmn:1:6",
        "./flows/dtd.bpmn:1:1",
        "./flows/empty.bpmn:1:1",
        "./flows/\u{fffd}\u{fffd}::error::.bpmn:3:1",
    ];
    assert_eq!((code, found, err.as_str()), (Some(1), expected.to_vec(), ""), "{out}");
}

/// What an example calls the linter with, in its order: what stands behind the image, up to the shell's own words.
fn calls_in(example: &str) -> Vec<Vec<String>> {
    fn texts<'v>(value: &'v Value, found: &mut Vec<&'v str>) {
        match value {
            Value::String(text) => found.push(text),
            Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
            Value::Object(fields) => fields.values().for_each(|field| texts(field, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    let example: Value = serde_saphyr::from_str(example).expect("is YAML");
    texts(&example, &mut found);
    let image = format!("ghcr.io/example/workflow-operator/workflow-engine:{}", env!("CARGO_PKG_VERSION"));
    assert!(found.contains(&image.as_str()), "the example does not run {image}");
    let behind_image = |text: &&str| Some(text.split_once(r#""$ENGINE""#)?.1.to_owned());
    let is_argument = |word: &&str| !word.starts_with('>') && *word != "||";
    let call =
        |behind: String| behind.split_whitespace().take_while(is_argument).map(str::to_owned).collect();
    found.iter().filter_map(behind_image).map(call).collect()
}

#[test]
fn ci_examples_call_the_linter_as_it_is() {
    let github = calls_in(include_str!("../../../deploy/ci/github-actions.yaml"));
    assert_eq!(github, [vec!["lint", "--format", "sarif", "."], vec!["lint", "."]]);
    let gitlab = calls_in(include_str!("../../../deploy/ci/gitlab-ci.yml"));
    assert_eq!(gitlab, [["lint", "."]]);

    let root = directory(&[("flows/T.bpmn", bad("a").as_bytes())]);
    for call in github.iter().chain(&gitlab) {
        let arguments: Vec<&str> = call.iter().skip(1).map(String::as_str).collect();
        let (code, out, err) = lint(root.path(), &arguments);
        assert_eq!((code, err.as_str()), (Some(1), ""), "{call:?}: {out}");
        assert!(out.contains("flows/T.bpmn"), "{call:?}: {out}");
    }
}
