use std::process::Command;

use super::*;

const CASE: &str = "CONTAINED_TEST_CASE";

/// This test again, in a process of its own that may end.
fn run(case: &str) -> Option<i32> {
    let program = std::env::current_exe().expect("the test's program");
    let mut command = Command::new(program);
    command.args(["--exact", "contained::tests::in_a_process_of_its_own", "--ignored", "--test-threads=1"]);
    command.env(CASE, case).output().expect("it runs").status.code()
}

#[test]
fn a_panic_ends_the_process_unless_it_is_contained() {
    assert_eq!(run("contained"), Some(0));
    assert_eq!(run("other"), None, "ended by a signal");
    assert_eq!(run("after"), None, "ended by a signal");
}

#[test]
#[ignore = "run by the test above"]
#[allow(clippy::panic, reason = "it is what is tested")]
fn in_a_process_of_its_own() {
    // `./dev nightly` runs what is ignored, in one process.
    let Ok(case) = std::env::var(CASE) else { return };
    abort_on_other_panics();
    let contained = || std::thread::spawn(|| contain(|| panic!("of untrusted bytes"))).join().is_err();
    match case.as_str() {
        "contained" => assert!(contained()),
        "after" => {
            assert!(contained());
            panic!("of our own");
        }
        _ => drop(std::thread::spawn(|| panic!("of our own")).join()),
    }
}
