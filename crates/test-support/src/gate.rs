//! What a test does when its real server is missing: on a developer's machine it is skipped with a line on stderr.
//! Where a skipped test would go unnoticed, it fails.

use std::io::Write as _;

#[cfg(test)]
mod tests;

/// Returns `found`. If it is `None`, writes that the test is skipped, or fails the test if the environment variable
/// `CI` or `requiring` (for instance `REQUIRE_APISERVER`) is `1` or `true`.
pub(crate) fn present_or_skipped<T>(found: Option<T>, requiring: &str, why: &str) -> Option<T> {
    if found.is_none() {
        let is_set = |name: &str| matches!(std::env::var(name).as_deref(), Ok("1" | "true"));
        assert!(
            !is_set("CI") && !is_set(requiring),
            "{why}, and this run may not skip (CI or {requiring} is set)"
        );
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        // Not `eprintln!`: the test harness does not show that of tests that pass.
        let _ = writeln!(std::io::stderr(), "skipped {test}: {why}");
    }
    found
}
