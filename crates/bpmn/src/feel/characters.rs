//! The characters of expressions, and replacements for characters that only look like them.

/// Whether a name may start with it: a letter of any script or `_`.
pub(super) fn is_name_start(character: char) -> bool {
    character == '_'
        || (character.is_alphabetic() && unicode_ident::is_xid_start(character) && !is_foreign(character))
}

/// Whether a name may contain it: letters, their marks (accents, vowel signs), digits or `_`.
pub(super) fn is_name_part(character: char) -> bool {
    character == '_' || (unicode_ident::is_xid_continue(character) && !is_foreign(character))
}

/// Unicode allows it in names, but it looks like a sign or is invisible.
fn is_foreign(character: char) -> bool {
    is_invisible(character) || SIGNS.iter().any(|(signs, _)| signs.contains(character))
}

/// Characters that look like a sign of FEEL, each group with FEEL's own sign.
const SIGNS: [(&str, &str); 24] = [
    ("“”„‟«»″‶＂〝〞〟❝❞ʺˮ״'‘’‚‛‹›′‵＇´ʹʹ", "\""),
    ("＝═≡", "="),
    ("≠", "!="),
    ("≤⩽≦", "<="),
    ("≥⩾≧", ">="),
    ("＜", "<"),
    ("＞", ">"),
    ("＋﹢", "+"),
    ("−–—‐‑‒―﹣－", "-"),
    ("×∗⋅·\u{387}•＊", "*"),
    ("÷∕⁄／", "/"),
    ("．。", "."),
    ("＿‿⁀⁔︳︴﹍﹎﹏", "_"),
    ("&∧＆", "and"),
    ("|∨｜", "or"),
    ("!¬！", "not(…)"),
    ("（", "("),
    ("）", ")"),
    ("［", "["),
    ("］", "]"),
    ("｛", "{"),
    ("｝", "}"),
    ("，", ","),
    ("：", ":"),
];

/// What the author most likely meant with the character.
pub(super) fn instead_of(character: char) -> Option<&'static str> {
    if character.is_numeric() && unicode_ident::is_xid_continue(character) {
        return Some("digits 0 to 9");
    }
    SIGNS.iter().find(|(signs, _)| signs.contains(character)).map(|(_, instead)| *instead)
}

/// Whether it is invisible or only changes how its neighbours look: Unicode's default ignorable and control characters.
pub(super) fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}
