//! The constructs of FEEL that are recognised but not evaluated: `if`, `for`, functions, tests, lists, ranges, contexts.

use super::{Parsed, Parser, Stop, Token};

impl Parser {
    pub(super) fn conditional(&mut self) -> Parsed {
        self.advance();
        self.expression()?;
        self.expect_word("then")?;
        self.expression()?;
        self.expect_word("else")?;
        self.expression()?;
        Ok(self.unsupported("`if`"))
    }

    pub(super) fn iteration(&mut self, body: &'static str, feature: &'static str) -> Parsed {
        self.advance();
        loop {
            self.name()?;
            self.expect_word("in")?;
            self.expression()?;
            if self.take_symbol("..") {
                self.expression()?;
            }
            if !self.take_symbol(",") && (self.is_word(0, body) || !matches!(self.peek(), Token::Name(_))) {
                break;
            }
        }
        self.expect_word(body)?;
        self.expression()?;
        Ok(self.unsupported(feature))
    }

    pub(super) fn function(&mut self) -> Parsed {
        self.advance();
        self.expect_symbol("(")?;
        while !self.take_symbol(")") {
            self.name()?;
            if self.take_symbol(":") {
                self.type_name()?;
            }
            if !self.take_symbol(",") && *self.peek() != Token::Symbol(")") {
                return self.fail(")");
            }
        }
        self.take_word("external");
        self.expression()?;
        Ok(self.unsupported("a function definition"))
    }

    /// The right side of `in`: a test, or several in parentheses. It never backtracks, which would take exponential
    /// time with nested parentheses.
    pub(super) fn tests(&mut self) -> Result<(), Stop> {
        if !self.take_symbol("(") {
            return self.test();
        }
        loop {
            self.filter()?;
            if *self.peek() == Token::Symbol("..") {
                self.range_end()?;
                return Ok(());
            }
            if !self.take_symbol(",") {
                break;
            }
        }
        self.expect_symbol(")")?;
        // `(a) + b` is a single test that starts with a parenthesis.
        while self.take_operator() {
            self.power()?;
        }
        Ok(())
    }

    fn take_operator(&mut self) -> bool {
        ["+", "-", "*", "/", "**"].into_iter().any(|symbol| self.take_symbol(symbol))
    }

    pub(super) fn test(&mut self) -> Result<(), Stop> {
        if self.comparison_operator().is_some() {
            self.advance();
        }
        self.sum()?;
        Ok(())
    }

    /// `[…]`, or the range `[1..5]`.
    pub(super) fn list(&mut self) -> Parsed {
        self.advance();
        if self.take_symbol("]") {
            return Ok(self.unsupported("a list"));
        }
        loop {
            self.expression()?;
            if *self.peek() == Token::Symbol("..") {
                return self.range_end();
            }
            if !self.take_symbol(",") {
                break;
            }
        }
        self.expect_symbol("]")?;
        Ok(self.unsupported("a list"))
    }

    pub(super) fn range_rest(&mut self) -> Parsed {
        self.expression()?;
        if *self.peek() != Token::Symbol("..") {
            return self.fail("..");
        }
        self.range_end()
    }

    pub(super) fn range_end(&mut self) -> Parsed {
        self.advance();
        self.expression()?;
        if self.take_symbol(")") || self.take_symbol("]") || self.take_symbol("[") {
            return Ok(self.unsupported("a range"));
        }
        self.fail("end of the range")
    }

    pub(super) fn context(&mut self) -> Parsed {
        self.advance();
        while !self.take_symbol("}") {
            match self.peek() {
                Token::String(_) => self.advance(),
                // A key may consist of several words.
                Token::Name(_) | Token::QuotedName(_) => {
                    while matches!(self.peek(), Token::Name(_) | Token::QuotedName(_)) {
                        self.advance();
                    }
                }
                _ => return self.fail("a key"),
            }
            self.expect_symbol(":")?;
            self.expression()?;
            if !self.take_symbol(",") && *self.peek() != Token::Symbol("}") {
                return self.fail("}");
            }
        }
        Ok(self.unsupported("a context"))
    }

    /// `string`, `days and time duration`, `list<number>`.
    pub(super) fn type_name(&mut self) -> Result<(), Stop> {
        self.name()?;
        while matches!(self.peek(), Token::Name(_)) {
            let is_type_word = ["and", "time", "months", "duration"].iter().any(|word| self.is_word(0, word));
            if !is_type_word
                || (self.is_word(0, "and") && !self.is_word(1, "time") && !self.is_word(1, "months"))
            {
                break;
            }
            self.advance();
        }
        if self.take_symbol("<") {
            loop {
                self.type_name()?;
                if self.take_symbol(":") {
                    self.type_name()?;
                }
                if !self.take_symbol(",") {
                    break;
                }
            }
            self.expect_symbol(">")?;
        }
        Ok(())
    }
}
