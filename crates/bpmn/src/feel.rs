//! Expressions: the documented subset of FEEL that the engine evaluates.
//!
//! # The subset
//!
//! | what | how |
//! |---|---|
//! | literals | `12`, `0.5`, `"text"` (with `\"`, `\\`, `\n`, `\r`, `\t`, `\uXXXX`), `true`, `false`, `null` |
//! | variables | `order`, `order.total`, `order.items` (names of letters of any script, digits and `_`; others in backticks) |
//! | comparison | `=`, `!=`, `<`, `<=`, `>`, `>=`, one per pair of operands |
//! | logic | `and`, `or`, `not(…)` |
//! | arithmetic | `+` (also joins strings), `-`, `*`, `/`, unary `-` |
//! | grouping | `( … )`, nested at most [`MAX_DEPTH`] deep |
//!
//! # Meaning
//!
//! Evaluation is total: whatever has no value is `null`, as FEEL has it.
//!
//! * A variable or member that does not exist is `null`.
//! * `=` and `!=` compare values of one kind; `null` equals only `null`; values of different kinds give `null`.
//! * `<` and its like compare two numbers or two strings; anything else, `null` included, gives `null`.
//! * `and`, `or` and `not` follow three-valued logic: `false and null` is `false`, `true and null` is `null`.
//! * Arithmetic on anything but numbers (or two strings for `+`), division by zero and overflow give `null`.
//! * Numbers are decimals, so `0.1 + 0.2 = 0.3` is true. A number of a document or variable that a 28-digit decimal
//!   cannot hold is `null`.
//! * A gateway takes a flow when its condition is `true`; `null` and everything else is not [`is_true`].
//!
//! FEEL that is outside the subset (functions, lists, ranges, `if`, `for`, `in`, …) is recognised and refused as
//! [`Error::Unsupported`], apart from what cannot be FEEL at all, [`Error::Syntax`].
//!
//! A string may hold any character. Outside of strings there are blanks (all that Unicode knows), letters with their
//! marks, digits, `_` and the signs above. Everything else is an [`Error::Character`]: a typographic quotation mark that
//! passed for a letter would make a variable of what was meant as text, and decide wrongly without a word.

mod characters;
mod evaluate;
mod lexer;
mod parser;

pub use evaluate::{evaluate, is_true};
pub use rust_decimal::Decimal;

/// Deepest nesting of an expression that is executed.
pub const MAX_DEPTH: usize = 64;
/// Longest expression that is read, in bytes.
pub const MAX_BYTES: usize = 32 * 1024;

/// An expression of the subset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expr {
    /// `null`
    Null,
    /// `true` or `false`
    Boolean(bool),
    /// A decimal number.
    Number(Decimal),
    /// A string, its escapes resolved.
    String(String),
    /// A variable and the members under it; never empty.
    Path(Vec<String>),
    /// `not(…)`
    Not(Box<Self>),
    /// `-…`
    Negate(Box<Self>),
    /// Two operands.
    Binary(Operator, Box<Self>, Box<Self>),
}

/// An operator with two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `or`
    Or,
    /// `and`
    And,
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
}

/// Why a text is not an expression that the engine evaluates.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is FEEL, or may well be, but outside the subset.
    #[error("{feature} is not supported")]
    Unsupported {
        /// The construct, in words.
        feature: &'static str,
    },
    /// It cannot be FEEL.
    #[error("{expected} expected at character {position}")]
    Syntax {
        /// What would have been possible there.
        expected: &'static str,
        /// 1-based character position in the text.
        position: usize,
    },
    /// It holds a character that FEEL knows only in strings.
    #[error("{}", tell_character(*character, *position, *instead))]
    Character {
        /// The first such character.
        character: char,
        /// Its 1-based position in the text.
        position: usize,
        /// What to write in its place, where that is obvious.
        instead: Option<&'static str>,
    },
}

impl Error {
    /// No engine would evaluate it.
    pub const fn is_malformed(&self) -> bool {
        match self {
            Self::Syntax { .. } | Self::Character { .. } => true,
            Self::Unsupported { .. } => false,
        }
    }
}

fn tell_character(character: char, position: usize, instead: Option<&str>) -> String {
    let code = u32::from(character);
    match instead {
        Some(instead) => {
            format!("write {instead} instead of {character} (U+{code:04X}) at character {position}")
        }
        None if characters::is_invisible(character) => {
            format!("remove the invisible character U+{code:04X} at character {position}")
        }
        None => format!("{character} (U+{code:04X}) at character {position} may stand only in a string"),
    }
}

/// Reads an expression, without the leading `=` that marks one in a document.
pub fn parse(text: &str) -> Result<Expr, Error> {
    parser::parse(text)
}

/// The expression in a document's value: what follows a leading `=`, unless nothing does.
pub(crate) fn expression_text(value: &str) -> Option<&str> {
    value.strip_prefix('=').filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests;
