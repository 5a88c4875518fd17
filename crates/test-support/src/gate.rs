//! When a real server is not there: skip loudly on a developer's machine, fail where skipping would hide a hole.

/// Whether a missing server fails the test: with `CI=true`, or when `requiring` (for instance `REQUIRE_APISERVER`) is
/// `1` or `true`.
pub(crate) fn is_required(requiring: &str) -> bool {
    ["CI", requiring].iter().any(|name| matches!(std::env::var(name).as_deref(), Ok("1" | "true")))
}

/// Says that the test is skipped, or fails it.
pub(crate) fn skip(requiring: &str, why: &str) {
    assert!(!is_required(requiring), "{why}, and this run may not skip (CI or {requiring} is set)");
    eprintln!("skipped: {why}");
}
