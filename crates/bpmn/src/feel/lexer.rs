use super::Error;
use super::characters::{instead_of, is_name_part, is_name_start};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Number(String),
    String(String),
    Name(String),
    /// A name in backticks, which may contain any character.
    QuotedName(String),
    /// `@"…"`, a date, time or duration.
    Temporal,
    /// An operator or bracket.
    Symbol(&'static str),
    End,
}

/// Longer ones first, so that `<=` is not read as `<`.
const SYMBOLS: [&str; 23] = [
    "**", "..", "->", "!=", "<=", ">=", "<", ">", "=", "+", "-", "*", "/", "(", ")", "[", "]", "{", "}", ",",
    ":", ".", "?",
];

/// The tokens of an expression.
pub(super) struct Tokens {
    /// Each with the position of its first character; the last one is [`Token::End`].
    pub(super) tokens: Vec<(Token, usize)>,
    /// A construct within the tokens that is outside the subset.
    pub(super) unsupported: Option<&'static str>,
}

pub(super) fn tokens(text: &str) -> Result<Tokens, Error> {
    let mut lexer = Lexer { characters: text.chars().collect(), position: 0, unsupported: None };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_blanks()?;
        let start = lexer.position;
        let token = lexer.next_token()?;
        let is_end = token == Token::End;
        tokens.push((token, start + 1));
        if is_end {
            return Ok(Tokens { tokens, unsupported: lexer.unsupported });
        }
    }
}

struct Lexer {
    characters: Vec<char>,
    position: usize,
    unsupported: Option<&'static str>,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.characters.get(self.position + ahead).copied()
    }

    fn fail<T>(&self, expected: &'static str) -> Result<T, Error> {
        Err(Error::Syntax { expected, position: self.position + 1 })
    }

    /// Refuses the character at this 0-based place.
    fn refuse<T>(&self, place: usize) -> Result<T, Error> {
        let character = self.characters[place];
        Err(Error::Character { character, position: place + 1, instead: instead_of(character) })
    }

    fn skip_blanks(&mut self) -> Result<(), Error> {
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some(character), _) if character.is_whitespace() => self.position += 1,
                (Some('/'), Some('/')) => {
                    while self.peek(0).is_some_and(|character| character != '\n') {
                        self.position += 1;
                    }
                }
                (Some('/'), Some('*')) => {
                    self.position += 2;
                    while self.peek(0).is_some() && (self.peek(0), self.peek(1)) != (Some('*'), Some('/')) {
                        self.position += 1;
                    }
                    if self.peek(0).is_none() {
                        return self.fail("end of the comment");
                    }
                    self.position += 2;
                }
                _ => return Ok(()),
            }
        }
    }

    fn next_token(&mut self) -> Result<Token, Error> {
        let Some(first) = self.peek(0) else { return Ok(Token::End) };
        if first.is_ascii_digit() || (first == '.' && self.peek(1).is_some_and(|next| next.is_ascii_digit()))
        {
            return Ok(self.number());
        }
        match first {
            '"' => return self.string().map(Token::String),
            '`' => return self.quoted_name(),
            '@' if self.peek(1) == Some('"') => {
                self.position += 1;
                return self.string().map(|_| Token::Temporal);
            }
            _ if is_name_start(first) || first == '$' => return Ok(self.name()),
            _ => {}
        }
        let symbol = SYMBOLS.iter().find(|symbol| {
            symbol.chars().enumerate().all(|(ahead, character)| self.peek(ahead) == Some(character))
        });
        match symbol {
            Some(symbol) => {
                self.position += symbol.len();
                Ok(Token::Symbol(symbol))
            }
            None => self.refuse(self.position),
        }
    }

    fn number(&mut self) -> Token {
        let start = self.position;
        let digits = |lexer: &mut Self| {
            while lexer.peek(0).is_some_and(|character| character.is_ascii_digit()) {
                lexer.position += 1;
            }
        };
        digits(self);
        if self.peek(0) == Some('.') && self.peek(1).is_some_and(|next| next.is_ascii_digit()) {
            self.position += 1;
            digits(self);
        }
        Token::Number(self.characters[start..self.position].iter().collect())
    }

    fn string(&mut self) -> Result<String, Error> {
        self.position += 1;
        let start = self.position;
        let mut value = String::new();
        loop {
            match self.peek(0) {
                None => return self.unended_string(start),
                Some('"') => {
                    self.position += 1;
                    return Ok(value);
                }
                Some('\\') => {
                    self.position += 1;
                    self.escape(&mut value);
                }
                Some(character) => {
                    value.push(character);
                    self.position += 1;
                }
            }
        }
    }

    /// The error of a string without an end: if it contains a character that looks like `"`, that is refused.
    fn unended_string<T>(&self, start: usize) -> Result<T, Error> {
        let look_alike = (start..self.characters.len()).find(|place| {
            self.characters[*place] != '\'' && instead_of(self.characters[*place]) == Some("\"")
        });
        match look_alike {
            Some(place) => self.refuse(place),
            None => self.fail("end of the string"),
        }
    }

    /// Reads the escape after a backslash. An unknown escape is kept as it is, with the backslash.
    fn escape(&mut self, value: &mut String) {
        let Some(character) = self.peek(0) else {
            value.push('\\');
            return;
        };
        self.position += 1;
        match character {
            'n' => value.push('\n'),
            'r' => value.push('\r'),
            't' => value.push('\t'),
            '"' | '\\' | '\'' => value.push(character),
            'u' => {
                let digits: String = self.characters.iter().skip(self.position).take(4).collect();
                match u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32) {
                    Some(decoded) if digits.len() == 4 => {
                        value.push(decoded);
                        self.position += 4;
                    }
                    _ => value.push_str("\\u"),
                }
            }
            other => {
                value.push('\\');
                value.push(other);
            }
        }
    }

    fn quoted_name(&mut self) -> Result<Token, Error> {
        self.position += 1;
        let start = self.position;
        while self.peek(0).is_some_and(|character| character != '`') {
            self.position += 1;
        }
        if self.peek(0).is_none() {
            return self.fail("end of the name");
        }
        let name = self.characters[start..self.position].iter().collect();
        self.position += 1;
        Ok(Token::QuotedName(name))
    }

    /// `$` and `'` are read as parts of names, since other engines support them.
    fn name(&mut self) -> Token {
        let start = self.position;
        while let Some(character) = self.peek(0) {
            match character {
                '$' => self.unsupported = Some("`$` in a name"),
                '\'' if self.position > start => self.unsupported = Some("`'` in a name"),
                _ if is_name_part(character) => {}
                _ => break,
            }
            self.position += 1;
        }
        Token::Name(self.characters[start..self.position].iter().collect())
    }
}
