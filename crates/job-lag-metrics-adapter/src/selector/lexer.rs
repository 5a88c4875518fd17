//! Cuts a selector into tokens. `in` and `notin` are words like any other except where an operator is due, so the
//! reader says which of the two it wants.

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    End,
    Identifier(String),
    Not,
    Equal,
    NotEqual,
    Greater,
    Less,
    Open,
    Close,
    Comma,
    In,
    NotIn,
}

pub(super) struct Lexer<'a> {
    rest: &'a str,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text }
    }

    pub(super) fn peek_value(&self) -> Token {
        scan(self.rest).0
    }

    pub(super) fn next_value(&mut self) -> Token {
        let (token, rest) = scan(self.rest);
        self.rest = rest;
        token
    }

    pub(super) fn next_operator(&mut self) -> Token {
        match self.next_value() {
            Token::Identifier(word) if word == "in" => Token::In,
            Token::Identifier(word) if word == "notin" => Token::NotIn,
            token => token,
        }
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_special(c: char) -> bool {
    matches!(c, '=' | '!' | '(' | ')' | ',' | '>' | '<')
}

fn scan(text: &str) -> (Token, &str) {
    let text = text.trim_start_matches(is_space);
    // Longest first: `==` before `=`, `!=` before `!`.
    let specials = [
        ("==", Token::Equal),
        ("!=", Token::NotEqual),
        ("=", Token::Equal),
        ("!", Token::Not),
        (">", Token::Greater),
        ("<", Token::Less),
        ("(", Token::Open),
        (")", Token::Close),
        (",", Token::Comma),
    ];
    for (literal, token) in specials {
        if let Some(rest) = text.strip_prefix(literal) {
            return (token, rest);
        }
    }
    if text.is_empty() {
        return (Token::End, text);
    }
    let end = text.find(|c| is_space(c) || is_special(c)).unwrap_or(text.len());
    (Token::Identifier(text[..end].to_owned()), &text[end..])
}
