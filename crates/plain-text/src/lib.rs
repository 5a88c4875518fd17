//! Text that may come from anybody, made fit for a log, a status, an event or a terminal.
#![deny(missing_docs)]

/// Neither a control character nor one that reorders or hides the text around it: a terminal would show another text than
/// the one that was written.
#[must_use]
pub fn is_printable(character: char) -> bool {
    !character.is_control()
        && !matches!(
            character,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        )
}

/// The words of `text` on one line, with single blanks between them. What cannot be printed counts as a blank. More than
/// `max_chars` characters end in `…`.
#[must_use]
pub fn one_line(text: &str, max_chars: usize) -> String {
    let mut words =
        text.split(|c: char| c.is_whitespace() || !is_printable(c)).filter(|word| !word.is_empty());
    let mut line = words.next().unwrap_or_default().to_owned();
    for word in words {
        line.push(' ');
        line.push_str(word);
    }
    match line.char_indices().nth(max_chars) {
        None => line,
        Some(_) => line.chars().take(max_chars.saturating_sub(1)).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::as_it_is("spec.replicas: expected 0 to 64", "spec.replicas: expected 0 to 64")]
    #[case::lines("a\r\n\tb\u{2028}c", "a b c")]
    #[case::around("  a  ", "a")]
    #[case::reordered("a\u{202e}b\u{2066}c", "a b c")]
    #[case::hidden("pay\u{200b}ment\u{feff}", "pay ment")]
    #[case::nothing("\u{7}", "")]
    fn what_cannot_be_printed_is_a_blank(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(one_line(text, 256), expected);
    }

    #[rstest]
    #[case::fits("ßßß", "ßßß")]
    #[case::too_long("ßßßß", "ßß…")]
    fn characters_are_counted_and_not_bytes(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(one_line(text, 3), expected);
    }
}
