use super::Error;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Number(String),
    String(String),
    Name(String),
    /// A name in backticks, which may hold anything.
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

/// Tokens with the character position each starts at; the last one is [`Token::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<(Token, usize)>, Error> {
    let mut lexer = Lexer { characters: text.chars().collect(), position: 0 };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_blanks()?;
        let start = lexer.position;
        let token = lexer.next_token()?;
        let is_end = token == Token::End;
        tokens.push((token, start + 1));
        if is_end {
            return Ok(tokens);
        }
    }
}

struct Lexer {
    characters: Vec<char>,
    position: usize,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.characters.get(self.position + ahead).copied()
    }

    fn fail<T>(&self, expected: &'static str) -> Result<T, Error> {
        Err(Error::Syntax { expected, position: self.position + 1 })
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
            _ if is_name_start(first) => return Ok(self.name()),
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
            None => self.fail("a FEEL expression"),
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
        let mut value = String::new();
        loop {
            match self.peek(0) {
                None => return self.fail("end of the string"),
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

    /// What follows a backslash; one that escapes nothing stands for itself.
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

    fn name(&mut self) -> Token {
        let start = self.position;
        while self.peek(0).is_some_and(is_name_part) {
            self.position += 1;
        }
        Token::Name(self.characters[start..self.position].iter().collect())
    }
}

fn is_name_start(character: char) -> bool {
    character == '_' || character == '$' || character.is_alphabetic() || is_symbolic(character)
}

fn is_name_part(character: char) -> bool {
    is_name_start(character) || character.is_alphanumeric() || character == '\''
}

/// FEEL allows most of Unicode in names, emoji included.
fn is_symbolic(character: char) -> bool {
    !character.is_ascii() && !character.is_whitespace() && !character.is_control()
}
