//! The one room that prints: markdown, as `docs/benchmarks.md` holds it.

/// One line.
#[allow(clippy::print_stdout, reason = "this is the room that prints")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}

/// The head of a table.
pub(crate) fn head(columns: &[&str]) {
    say("");
    say(&format!("| {} |", columns.join(" | ")));
    say(&format!("|{}", "---|".repeat(columns.len())));
}

/// A row of a table.
pub(crate) fn row(cells: &[&str]) {
    say(&format!("| {} |", cells.join(" | ")));
}
