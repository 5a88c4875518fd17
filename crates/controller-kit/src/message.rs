//! Text that reaches users: bounded, printable, on one line.

/// Longest `status.message` and condition message, in characters.
pub const MAX_CHARS: usize = 256;

/// Makes `text` fit for status, events and logs: control and bidirectional characters become spaces, runs of white
/// space collapse, and more than [`MAX_CHARS`] characters end in `…`.
#[must_use]
pub fn bounded(text: &str) -> String {
    let printable: String = text.chars().map(|c| if is_printable(c) { c } else { ' ' }).collect();
    let one_line = printable.split_whitespace().collect::<Vec<_>>().join(" ");
    if one_line.chars().count() <= MAX_CHARS {
        return one_line;
    }
    let mut cut: String = one_line.chars().take(MAX_CHARS - 1).collect();
    cut.push('…');
    cut
}

fn is_printable(c: char) -> bool {
    // Bidirectional overrides can make a terminal show another text than the one that was written.
    !c.is_control()
        && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_and_line_breaks_become_one_space() {
        assert_eq!(bounded("a\n\x1b[31mb\u{202e}c"), "a [31mb c");
    }

    #[test]
    fn long_text_is_cut_at_the_limit() {
        let cut = bounded(&"x".repeat(1_000));
        assert_eq!((cut.chars().count(), cut.chars().last()), (MAX_CHARS, Some('…')));
    }
}
