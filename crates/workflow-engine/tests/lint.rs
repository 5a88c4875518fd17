//! `workflow-engine lint` as a pipeline runs it: the real binary on real files.
#![cfg(test)]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

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
