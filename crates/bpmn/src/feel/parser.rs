//! Parses all of FEEL's grammar, to distinguish FEEL outside the subset from text that is not FEEL. A construct outside
//! the subset is recorded in `unsupported` and becomes `null` in the tree, which is then dropped.

mod constructs;

use std::str::FromStr;

use super::lexer::{Token, Tokens, tokens};
use super::{Decimal, Error, Expr, MAX_BYTES, MAX_DEPTH, Operator};

/// Deepest nesting that is still checked for syntax.
const MAX_SYNTAX_DEPTH: usize = 128;

pub(super) fn parse(text: &str) -> Result<Expr, Error> {
    if text.len() > MAX_BYTES {
        return Err(Error::Unsupported { feature: "an expression of this length" });
    }
    let Tokens { tokens, unsupported } = tokens(text)?;
    let mut parser = Parser { tokens, index: 0, depth: 0, unsupported };
    let expression = match parser.expression() {
        Ok(node) => node,
        Err(Stop::Syntax(error)) => return Err(error),
        Err(Stop::TooDeep) => return Err(TOO_DEEP),
    };
    if *parser.peek() != Token::End {
        return Err(Error::Syntax { expected: "an operator or the end", position: parser.position() });
    }
    match parser.unsupported {
        Some(feature) => Err(Error::Unsupported { feature }),
        None if expression.depth > MAX_DEPTH => Err(TOO_DEEP),
        None => Ok(expression.expr),
    }
}

const TOO_DEEP: Error = Error::Unsupported { feature: "an expression nested this deep" };

enum Stop {
    Syntax(Error),
    TooDeep,
}

/// An expression and the depth of its tree. Chains of operators make the tree deeper without nesting in the text.
struct Tree {
    expr: Expr,
    depth: usize,
}

impl Tree {
    fn leaf(expr: Expr) -> Self {
        Self { expr, depth: 1 }
    }

    fn unary(build: impl FnOnce(Box<Expr>) -> Expr, operand: Self) -> Self {
        Self { depth: operand.depth + 1, expr: build(Box::new(operand.expr)) }
    }

    /// Trees deeper than the limit are not built: dropping them recursively could overflow the stack.
    fn binary(operator: Operator, left: Self, right: Self) -> Self {
        let depth = left.depth.max(right.depth) + 1;
        if depth > MAX_DEPTH {
            return Self { expr: Expr::Null, depth };
        }
        Self { expr: Expr::Binary(operator, Box::new(left.expr), Box::new(right.expr)), depth }
    }
}

type Parsed = Result<Tree, Stop>;

struct Parser {
    tokens: Vec<(Token, usize)>,
    index: usize,
    depth: usize,
    unsupported: Option<&'static str>,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.peek_at(0)
    }

    fn peek_at(&self, ahead: usize) -> &Token {
        self.tokens.get(self.index + ahead).map_or(&Token::End, |(token, _)| token)
    }

    fn position(&self) -> usize {
        self.tokens.get(self.index).or(self.tokens.last()).map_or(1, |(_, position)| *position)
    }

    fn advance(&mut self) {
        self.index += 1;
    }

    fn fail<T>(&self, expected: &'static str) -> Result<T, Stop> {
        Err(Stop::Syntax(Error::Syntax { expected, position: self.position() }))
    }

    fn unsupported(&mut self, feature: &'static str) -> Tree {
        self.unsupported.get_or_insert(feature);
        Tree::leaf(Expr::Null)
    }

    fn take_symbol(&mut self, symbol: &'static str) -> bool {
        let found = *self.peek() == Token::Symbol(symbol);
        if found {
            self.advance();
        }
        found
    }

    fn is_word(&self, ahead: usize, word: &str) -> bool {
        matches!(self.peek_at(ahead), Token::Name(name) if name == word)
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.is_word(0, word);
        if found {
            self.advance();
        }
        found
    }

    fn expect_symbol(&mut self, symbol: &'static str) -> Result<(), Stop> {
        if self.take_symbol(symbol) { Ok(()) } else { self.fail(symbol) }
    }

    fn expect_word(&mut self, word: &'static str) -> Result<(), Stop> {
        if self.take_word(word) { Ok(()) } else { self.fail(word) }
    }

    fn expression(&mut self) -> Parsed {
        self.depth += 1;
        if self.depth > MAX_SYNTAX_DEPTH {
            return Err(Stop::TooDeep);
        }
        let parsed = if self.is_word(0, "if") {
            self.conditional()
        } else if self.is_word(0, "for") {
            self.iteration("return", "`for`")
        } else if self.is_word(0, "some") || self.is_word(0, "every") {
            self.iteration("satisfies", "`some` and `every`")
        } else if self.is_word(0, "function") && *self.peek_at(1) == Token::Symbol("(") {
            self.function()
        } else {
            self.disjunction()
        };
        self.depth -= 1;
        parsed
    }

    fn disjunction(&mut self) -> Parsed {
        let mut left = self.conjunction()?;
        while self.take_word("or") {
            left = Tree::binary(Operator::Or, left, self.conjunction()?);
        }
        Ok(left)
    }

    fn conjunction(&mut self) -> Parsed {
        let mut left = self.comparison()?;
        while self.take_word("and") {
            left = Tree::binary(Operator::And, left, self.comparison()?);
        }
        Ok(left)
    }

    fn comparison(&mut self) -> Parsed {
        let mut left = self.sum()?;
        loop {
            if let Some(operator) = self.comparison_operator() {
                self.advance();
                left = Tree::binary(operator, left, self.sum()?);
            } else if self.take_word("between") {
                self.sum()?;
                self.expect_word("and")?;
                self.sum()?;
                left = self.unsupported("`between`");
            } else if self.is_word(0, "instance") && self.is_word(1, "of") {
                self.index += 2;
                self.type_name()?;
                left = self.unsupported("`instance of`");
            } else if self.take_word("in") {
                self.tests()?;
                left = self.unsupported("`in`");
            } else {
                return Ok(left);
            }
        }
    }

    fn comparison_operator(&self) -> Option<Operator> {
        match self.peek() {
            Token::Symbol("=") => Some(Operator::Equal),
            Token::Symbol("!=") => Some(Operator::NotEqual),
            Token::Symbol("<") => Some(Operator::Less),
            Token::Symbol("<=") => Some(Operator::LessOrEqual),
            Token::Symbol(">") => Some(Operator::Greater),
            Token::Symbol(">=") => Some(Operator::GreaterOrEqual),
            _ => None,
        }
    }

    fn sum(&mut self) -> Parsed {
        let mut left = self.product()?;
        loop {
            let operator = match self.peek() {
                Token::Symbol("+") => Operator::Add,
                Token::Symbol("-") => Operator::Subtract,
                _ => return Ok(left),
            };
            self.advance();
            left = Tree::binary(operator, left, self.product()?);
        }
    }

    fn product(&mut self) -> Parsed {
        let mut left = self.power()?;
        loop {
            let operator = match self.peek() {
                Token::Symbol("*") => Operator::Multiply,
                Token::Symbol("/") => Operator::Divide,
                _ => return Ok(left),
            };
            self.advance();
            left = Tree::binary(operator, left, self.power()?);
        }
    }

    fn power(&mut self) -> Parsed {
        let mut left = self.negation()?;
        while self.take_symbol("**") {
            self.negation()?;
            left = self.unsupported("`**`");
        }
        Ok(left)
    }

    fn negation(&mut self) -> Parsed {
        if !self.take_symbol("-") {
            return self.postfix();
        }
        self.depth += 1;
        if self.depth > MAX_SYNTAX_DEPTH {
            return Err(Stop::TooDeep);
        }
        let operand = self.negation()?;
        self.depth -= 1;
        Ok(Tree::unary(Expr::Negate, operand))
    }

    fn postfix(&mut self) -> Parsed {
        let mut value = self.primary()?;
        loop {
            if self.take_symbol(".") {
                let member = self.name()?;
                value = match value.expr {
                    Expr::Path(mut path) if path.len() < MAX_DEPTH => {
                        path.push(member);
                        Tree::leaf(Expr::Path(path))
                    }
                    _ => self.unsupported("a member of an expression"),
                };
            } else if self.take_symbol("[") {
                self.filter()?;
                self.expect_symbol("]")?;
                value = self.unsupported("a filter");
            } else if self.take_symbol("(") {
                self.arguments()?;
                value = self.unsupported("a function call");
            } else {
                return Ok(value);
            }
        }
    }

    /// A filter may start with an operator that compares the item: `[> 5]`.
    fn filter(&mut self) -> Result<(), Stop> {
        if self.comparison_operator().is_some() {
            self.advance();
        }
        self.expression()?;
        Ok(())
    }

    /// The arguments of a call and its closing parenthesis.
    fn arguments(&mut self) -> Result<(), Stop> {
        if self.take_symbol(")") {
            return Ok(());
        }
        loop {
            self.argument_name();
            self.filter()?;
            if !self.take_symbol(",") {
                return self.expect_symbol(")");
            }
        }
    }

    /// `name:` or `name with blanks:` before an argument.
    fn argument_name(&mut self) {
        let mut ahead = 0;
        while matches!(self.peek_at(ahead), Token::Name(_) | Token::QuotedName(_)) {
            ahead += 1;
        }
        if ahead > 0 && *self.peek_at(ahead) == Token::Symbol(":") {
            self.index += ahead + 1;
        }
    }

    fn primary(&mut self) -> Parsed {
        match self.peek().clone() {
            Token::Number(digits) => {
                self.advance();
                Ok(match Decimal::from_str(&digits) {
                    Ok(number) => Tree::leaf(Expr::Number(number)),
                    Err(_) => self.unsupported("a number of this size"),
                })
            }
            Token::String(value) => {
                self.advance();
                Ok(Tree::leaf(Expr::String(value)))
            }
            Token::Temporal => {
                self.advance();
                Ok(self.unsupported("a date, time or duration"))
            }
            Token::QuotedName(name) => {
                self.advance();
                Ok(Tree::leaf(Expr::Path(vec![name])))
            }
            Token::Name(name) => self.word(&name),
            Token::Symbol("?") => {
                self.advance();
                Ok(self.unsupported("`?`"))
            }
            Token::Symbol("(") => self.parenthesis(),
            Token::Symbol("[") => self.list(),
            Token::Symbol("]") => {
                self.advance();
                self.range_rest()
            }
            Token::Symbol("{") => self.context(),
            Token::Symbol(_) | Token::End => self.fail("a value"),
        }
    }

    fn word(&mut self, name: &str) -> Parsed {
        match name {
            "true" | "false" => {
                self.advance();
                return Ok(Tree::leaf(Expr::Boolean(name == "true")));
            }
            "null" => {
                self.advance();
                return Ok(Tree::leaf(Expr::Null));
            }
            "not" if *self.peek_at(1) == Token::Symbol("(") => return self.not(),
            "if" | "for" | "some" | "every" => return self.expression(),
            "then" | "else" | "return" | "satisfies" | "in" | "and" | "or" | "between" => {
                return self.fail("a value");
            }
            _ => {}
        }
        // Built-in functions have names of several words: `list contains(…)`.
        let mut words = 1;
        while matches!(self.peek_at(words), Token::Name(_)) {
            words += 1;
        }
        let is_call = words > 1 && *self.peek_at(words) == Token::Symbol("(") && !self.has_keyword(words);
        self.index += if is_call { words } else { 1 };
        Ok(Tree::leaf(Expr::Path(vec![name.to_owned()])))
    }

    /// Whether one of the next words is a keyword between expressions, so that they are not one name.
    fn has_keyword(&self, words: usize) -> bool {
        (0..words).any(|ahead| {
            ["in", "or", "between", "then", "else", "return", "satisfies", "instance"]
                .iter()
                .any(|word| self.is_word(ahead, word))
                || (self.is_word(ahead, "and") && !self.is_word(0, "date") && !self.is_word(0, "years"))
        })
    }

    fn not(&mut self) -> Parsed {
        self.index += 2;
        let operand = self.expression()?;
        if self.take_symbol(")") {
            return Ok(Tree::unary(Expr::Not, operand));
        }
        while self.take_symbol(",") {
            self.test()?;
        }
        self.expect_symbol(")")?;
        Ok(self.unsupported("`not` of several tests"))
    }

    /// `(…)`, or the range `(1..5)`.
    fn parenthesis(&mut self) -> Parsed {
        self.advance();
        let inner = self.expression()?;
        if *self.peek() == Token::Symbol("..") {
            return self.range_end();
        }
        self.expect_symbol(")")?;
        Ok(inner)
    }

    fn name(&mut self) -> Result<String, Stop> {
        match self.peek().clone() {
            Token::Name(name) | Token::QuotedName(name) => {
                self.advance();
                Ok(name)
            }
            _ => self.fail("a name"),
        }
    }
}
