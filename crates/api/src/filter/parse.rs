//! The grammar: `or` below `and` below `not`, parentheses, and one match of a selector.

#[derive(Debug)]
pub(super) enum Expression {
    And(Box<Expression>, Box<Expression>),
    Or(Box<Expression>, Box<Expression>),
    Not(Box<Expression>),
    Match {
        selector: Vec<String>,
        operator: Operator,
        negated: bool,
        value: String,
        pattern: Option<super::evaluate::Pattern>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Operator {
    Equal,
    In,
    Empty,
    Matches,
}

/// Deeper nesting is refused instead of running out of stack.
const DEPTH_LIMIT: usize = 64;

pub(super) fn parse(text: &str) -> Result<Expression, String> {
    let mut parser = Parser { text, at: 0, depth: 0 };
    let expression = parser.or()?;
    parser.space();
    match parser.rest() {
        "" => Ok(expression),
        _ => Err(parser.expected("\"and\", \"or\" or the end")),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

enum Word {
    /// A dotted name: a selector, or an unquoted value.
    Selector(Vec<String>),
    Value(String),
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start_matches([' ', '\t', '\r', '\n']).len();
    }

    /// Where it stands in the form go-bexpr's parser prints: `line:column (offset)`.
    fn expected(&self, what: &str) -> String {
        let before = &self.text[..self.at];
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        format!("{line}:{column} ({}): no match found, expected: {what}", self.at)
    }

    /// Takes a symbol.
    fn symbol(&mut self, symbol: &str) -> bool {
        self.space();
        let found = self.rest().starts_with(symbol);
        self.at += if found { symbol.len() } else { 0 };
        found
    }

    /// Takes a keyword; it ends where a name would.
    fn keyword(&mut self, word: &str) -> bool {
        self.space();
        let follows = self.rest().strip_prefix(word).map(|after| after.chars().next());
        let found = follows.is_some_and(|next| next.is_none_or(|c| !is_name(c) && c != '.'));
        self.at += if found { word.len() } else { 0 };
        found
    }

    fn or(&mut self) -> Result<Expression, String> {
        let mut left = self.and()?;
        while self.keyword("or") {
            left = Expression::Or(Box::new(left), Box::new(self.and()?));
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Expression, String> {
        let mut left = self.not()?;
        while self.keyword("and") {
            left = Expression::And(Box::new(left), Box::new(self.not()?));
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Expression, String> {
        self.depth += 1;
        if self.depth > DEPTH_LIMIT {
            return Err(format!("nested deeper than {DEPTH_LIMIT}"));
        }
        let expression = if self.keyword("not") {
            Expression::Not(Box::new(self.not()?))
        } else if self.symbol("(") {
            let inner = self.or()?;
            if !self.symbol(")") {
                return Err(self.expected("\")\""));
            }
            inner
        } else {
            self.one()?
        };
        self.depth -= 1;
        Ok(expression)
    }

    /// `selector op value`, `selector is [not] empty`, `value [not] in selector`.
    fn one(&mut self) -> Result<Expression, String> {
        let word = self.word()?;
        let negated = self.keyword("not");
        if self.keyword("in") {
            let value = match word {
                Word::Selector(parts) => parts.join("."),
                Word::Value(value) => value,
            };
            let selector = self.selector()?;
            return Ok(matching(selector, Operator::In, negated, value));
        }
        let selector = match word {
            Word::Selector(selector) => selector,
            Word::Value(pointer) if pointer.starts_with('/') => parts(&pointer),
            Word::Value(_) => return Err(self.expected("\"in\" or \"not in\"")),
        };
        if self.keyword("contains") {
            return Ok(matching(selector, Operator::In, negated, self.value()?));
        }
        if self.keyword("matches") {
            return Ok(matching(selector, Operator::Matches, negated, self.value()?));
        }
        if negated {
            return Err(self.expected("\"in\", \"contains\" or \"matches\""));
        }
        if self.symbol("==") {
            return Ok(matching(selector, Operator::Equal, false, self.value()?));
        }
        if self.symbol("!=") {
            return Ok(matching(selector, Operator::Equal, true, self.value()?));
        }
        if self.keyword("is") {
            let negated = self.keyword("not");
            if self.keyword("empty") {
                return Ok(matching(selector, Operator::Empty, negated, String::new()));
            }
            return Err(self.expected("\"empty\" or \"not empty\""));
        }
        Err(self.expected("\"!=\", \"==\", \"contains\", \"in\", \"is\", \"matches\" or \"not\""))
    }

    fn word(&mut self) -> Result<Word, String> {
        self.space();
        match self.rest().chars().next() {
            Some(c) if c.is_ascii_alphabetic() => self.selector().map(Word::Selector),
            _ => self.value().map(Word::Value),
        }
    }

    fn selector(&mut self) -> Result<Vec<String>, String> {
        self.space();
        if self.rest().starts_with("\"/") {
            return Ok(parts(&self.quoted()?));
        }
        if !self.rest().starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Err(self.expected("[a-zA-Z]"));
        }
        let mut parts = vec![self.name()];
        loop {
            if self.rest().starts_with('.') {
                self.at += 1;
                let part = self.name();
                if part.is_empty() {
                    return Err(self.expected("[a-zA-Z0-9_]"));
                }
                parts.push(part);
            } else if self.rest().starts_with('[') {
                self.at += 1;
                if !self.rest().starts_with(['"', '`']) {
                    return Err(format!("{}: rule \"index\": Invalid index", self.place()));
                }
                parts.push(self.quoted()?);
                if !self.symbol("]") {
                    return Err(format!("{}: rule \"index\": Unclosed index expression", self.place()));
                }
            } else {
                return Ok(parts);
            }
        }
    }

    fn place(&self) -> String {
        let text = self.expected("");
        text.split(": ").next().unwrap_or_default().to_owned()
    }

    fn name(&mut self) -> String {
        let end = self.rest().find(|c: char| !is_name(c)).unwrap_or(self.rest().len());
        let name = &self.rest()[..end];
        self.at += end;
        name.to_owned()
    }

    fn value(&mut self) -> Result<String, String> {
        self.space();
        match self.rest().chars().next() {
            Some('"' | '`') => self.quoted(),
            Some(c) if c.is_ascii_alphabetic() => Ok(self.selector()?.join(".")),
            Some(c) if c == '-' || c.is_ascii_digit() => Ok(self.number()),
            _ => Err(self.expected("\"-\", \"0\", \"\\\"\", \"`\", [1-9] or [a-zA-Z]")),
        }
    }

    fn number(&mut self) -> String {
        let length =
            self.rest().find(|c: char| !c.is_ascii_digit() && c != '.' && c != '-').unwrap_or(self.rest().len());
        let number = &self.rest()[..length];
        self.at += length;
        number.to_owned()
    }

    fn quoted(&mut self) -> Result<String, String> {
        let unterminated = |at: &Self| format!("{}: rule \"string\": Unterminated string literal", at.place());
        let raw = self.rest().starts_with('`');
        let body = &self.rest()[1..];
        let mut out = String::new();
        let mut characters = body.char_indices();
        while let Some((at, c)) = characters.next() {
            match c {
                '`' if raw => {
                    self.at += at + 2;
                    return Ok(out);
                }
                '"' if !raw => {
                    self.at += at + 2;
                    return Ok(out);
                }
                '\\' if !raw => {
                    let (_, escaped) = characters.next().ok_or_else(|| unterminated(self))?;
                    out.push(match escaped {
                        'n' => '\n',
                        't' => '\t',
                        'r' => '\r',
                        other => other,
                    });
                }
                c => out.push(c),
            }
        }
        Err(unterminated(self))
    }
}

/// The other way to write a selector: a JSON pointer, `"/Meta/a-b"`.
fn parts(pointer: &str) -> Vec<String> {
    pointer.split('/').skip(1).map(|part| part.replace("~1", "/").replace("~0", "~")).collect()
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn matching(selector: Vec<String>, operator: Operator, negated: bool, value: String) -> Expression {
    Expression::Match { selector, operator, negated, value, pattern: None }
}
