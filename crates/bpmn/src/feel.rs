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
//! # Meaning Evaluation never fails: an expression without a value is `null`, as in FEEL.
//!
//! * A variable or member that does not exist is `null`.
//! * `=` and `!=` compare values of one kind; `null` equals only `null`; values of different kinds give `null`.
//! * `<`, `<=`, `>` and `>=` compare two numbers or two strings; anything else, `null` included, gives `null`.
//! * `and`, `or` and `not` follow three-valued logic: `false and null` is `false`, `true and null` is `null`.
//! * Arithmetic on anything but numbers (or two strings for `+`), division by zero and overflow give `null`.
//! * Numbers are decimals, so `0.1 + 0.2 = 0.3` is true. A number of a document or variable that a 28-digit decimal
//!   cannot hold is `null`.
//! * A gateway takes a flow when its condition is `true`; `null` and everything else is not [`is_true`]. FEEL outside
//!   the subset (functions, lists, ranges, `if`, `for`, `in`, …) is recognised and refused as [`Error::Unsupported`].
//!   Text that is not FEEL at all is an [`Error::Syntax`]. A string may contain any character. Outside of strings only
//!   white space (of all of Unicode), letters with their marks, digits, `_` and the signs above are allowed. Everything
//!   else is an [`Error::Character`]. For example, if typographic quotation marks were accepted as letters, a string
//!   would become a variable, and the condition would be wrong without an error.

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
    /// A string with its escapes decoded.
    String(String),
    /// The name of a variable and of members under it; never empty.
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

/// Why a text is not an expression that the engine can evaluate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is FEEL, or may be, but is outside the subset.
    #[error("{feature} is not supported")]
    Unsupported {
        /// Name of the construct, for messages.
        feature: &'static str,
    },
    /// It cannot be FEEL.
    #[error("{expected} expected at character {position}")]
    Syntax {
        /// What was expected there, for messages.
        expected: &'static str,
        /// 1-based character position in the text.
        position: usize,
    },
    /// It contains a character that FEEL allows only in strings.
    #[error("{}", describe_character(*character, *position, *instead))]
    Character {
        /// The first such character.
        character: char,
        /// Its 1-based position in the text.
        position: usize,
        /// What to write instead; `None` when that is not obvious.
        instead: Option<&'static str>,
    },
}

impl Error {
    /// Whether it is not FEEL, so that no engine could evaluate it.
    pub const fn is_malformed(&self) -> bool {
        match self {
            Self::Syntax { .. } | Self::Character { .. } => true,
            Self::Unsupported { .. } => false,
        }
    }
}

fn describe_character(character: char, position: usize, instead: Option<&str>) -> String {
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

/// The expression in a document's value: the text after a leading `=`, unless it is empty.
pub(crate) fn expression_text(value: &str) -> Option<&str> {
    value.strip_prefix('=').filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests;
