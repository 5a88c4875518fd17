use std::process::{Command, Output};

use rstest::rstest;

/// Runs three tests of this binary that need the servers, in a process that finds no server.
fn run_without_servers(env: &[(&str, &str)]) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "--test-threads=1"])
        .args([
            "gate::tests::needs_apiserver",
            "gate::tests::needs_apiserver_too",
            "gate::tests::needs_postgres",
        ])
        .env_remove("KUBEBUILDER_ASSETS")
        .env_remove("CI")
        .env_remove("REQUIRE_APISERVER")
        .env_remove("REQUIRE_POSTGRES")
        .env("TEST_POSTGRES_BINDIR", "/nowhere")
        .envs(env.iter().copied());
    command.output().unwrap()
}

#[tokio::test]
async fn needs_apiserver() {
    let _apiserver = crate::require_apiserver!();
}

#[tokio::test]
async fn needs_apiserver_too() {
    let _apiserver = crate::require_apiserver!();
}

#[tokio::test]
async fn needs_postgres() {
    let _postgres = crate::require_postgres!();
}

#[test]
fn every_skipped_test_says_so() {
    let output = run_without_servers(&[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success());
    for test in ["needs_apiserver:", "needs_apiserver_too:", "needs_postgres:"] {
        assert!(said.contains(&format!("skipped gate::tests::{test} ")), "{test} in {said}");
    }
}

#[rstest]
#[case("CI", "true", "0 passed; 3 failed")]
#[case("REQUIRE_APISERVER", "1", "1 passed; 2 failed")]
#[case("REQUIRE_POSTGRES", "1", "2 passed; 1 failed")]
#[case("CI", "false", "3 passed; 0 failed")]
fn nothing_is_skipped_where_it_is_required(#[case] name: &str, #[case] value: &str, #[case] expected: &str) {
    let output = run_without_servers(&[(name, value)]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains(expected), "{said}");
}
