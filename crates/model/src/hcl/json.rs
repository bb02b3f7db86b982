//! JSON with positions. Mistakes are told in the words of Go's `encoding/json`, which Consul's clients know.

use super::MAX_DEPTH;
use super::error::SyntaxError;
use super::value::{Builder, Document, Entry, Node, Position, Value};

/// What a repeated key means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    LastCounts,
    Merge,
}

/// What the end of the text is called, and whether more may follow the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Whole,
    Stream,
}

pub(super) struct Reader<'a> {
    text: &'a str,
    offset: usize,
    at: Position,
    repeat: Repeat,
    end: End,
}

type Read<T> = Result<T, SyntaxError>;

impl<'a> Reader<'a> {
    pub fn new(text: &'a str, repeat: Repeat) -> Self {
        Self { text, offset: 0, at: Position::START, repeat, end: End::Whole }
    }

    pub fn document(mut self, end: End) -> Read<Document> {
        self.end = end;
        let root = self.value(0)?;
        self.blanks();
        if self.peek().is_some() {
            return Err(self.unexpected("after top-level value"));
        }
        Ok(Document { root, warnings: Vec::new() })
    }

    pub fn body(mut self) -> Read<Node> {
        self.end = End::Stream;
        self.value(0)
    }

    fn peek(&self) -> Option<char> {
        self.text[self.offset..].chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.offset += c.len_utf8();
        self.at.step(c);
        Some(c)
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t' | '\n' | '\r')) {
            self.bump();
        }
    }

    fn unexpected(&self, context: &str) -> SyntaxError {
        match self.peek() {
            Some(c) => SyntaxError::json(self.at, format!("invalid character {} {context}", quote(c))),
            None if self.end == End::Whole => SyntaxError::json(self.at, "unexpected end of JSON input"),
            None if self.text.trim_start_matches([' ', '\t', '\n', '\r']).is_empty() => {
                SyntaxError::json(self.at, "EOF")
            }
            None => SyntaxError::json(self.at, "unexpected EOF"),
        }
    }

    fn value(&mut self, depth: usize) -> Read<Node> {
        self.blanks();
        let at = self.at;
        if depth > MAX_DEPTH {
            return Err(SyntaxError::json(at, format!("exceeded max depth of {MAX_DEPTH}")));
        }
        let value = match self.peek() {
            Some('{') => self.object(depth)?,
            Some('[') => self.list(depth)?,
            Some('"') => Value::Text(self.string()?),
            Some('-' | '0'..='9') => self.number()?,
            Some('t') => self.literal("true", Value::Bool(true))?,
            Some('f') => self.literal("false", Value::Bool(false))?,
            Some('n') => self.literal("null", Value::Null)?,
            _ => return Err(self.unexpected("looking for beginning of value")),
        };
        Ok(Node { at, value })
    }

    fn literal(&mut self, word: &'static str, value: Value) -> Read<Value> {
        for expected in word.chars() {
            if self.peek() != Some(expected) {
                return Err(self.unexpected(&format!("in literal {word} (expecting '{expected}')")));
            }
            self.bump();
        }
        Ok(value)
    }

    fn object(&mut self, depth: usize) -> Read<Value> {
        let mut builder = Builder::default();
        self.bump();
        self.blanks();
        if self.peek() == Some('}') {
            self.bump();
            return Ok(Value::Object(builder.finish()));
        }
        loop {
            self.blanks();
            let at = self.at;
            if self.peek() != Some('"') {
                return Err(self.unexpected("looking for beginning of object key string"));
            }
            let key = self.string()?;
            self.blanks();
            if self.peek() != Some(':') {
                return Err(self.unexpected("after object key"));
            }
            self.bump();
            let entry = Entry { key, at, node: self.value(depth + 1)? };
            match self.repeat {
                Repeat::LastCounts => builder.replace(entry),
                Repeat::Merge => drop(builder.merge(entry)),
            }
            self.blanks();
            match self.peek() {
                Some(',') => self.bump(),
                Some('}') => {
                    self.bump();
                    return Ok(Value::Object(builder.finish()));
                }
                _ => return Err(self.unexpected("after object key:value pair")),
            };
        }
    }

    fn list(&mut self, depth: usize) -> Read<Value> {
        let mut items = Vec::new();
        self.bump();
        self.blanks();
        if self.peek() == Some(']') {
            self.bump();
            return Ok(Value::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.blanks();
            match self.peek() {
                Some(',') => self.bump(),
                Some(']') => {
                    self.bump();
                    return Ok(Value::List(items));
                }
                _ => return Err(self.unexpected("after array element")),
            };
        }
    }

    fn string(&mut self) -> Read<String> {
        let mut out = String::new();
        self.bump();
        loop {
            match self.peek() {
                Some('"') => {
                    self.bump();
                    return Ok(out);
                }
                Some('\\') => {
                    self.bump();
                    out.push(self.escape()?);
                }
                Some(c) if c >= ' ' => {
                    out.push(c);
                    self.bump();
                }
                _ => return Err(self.unexpected("in string literal")),
            }
        }
    }

    fn escape(&mut self) -> Read<char> {
        let c = match self.peek() {
            Some(c @ ('"' | '\\' | '/')) => c,
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => {
                self.bump();
                return self.unicode();
            }
            _ => return Err(self.unexpected("in string escape code")),
        };
        self.bump();
        Ok(c)
    }

    fn unicode(&mut self) -> Read<char> {
        let first = self.hex4()?;
        if (0xD800..0xDC00).contains(&first) && self.text[self.offset..].starts_with("\\u") {
            let (offset, at) = (self.offset, self.at);
            self.bump();
            self.bump();
            let second = self.hex4()?;
            if (0xDC00..0xE000).contains(&second) {
                let code = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            (self.offset, self.at) = (offset, at);
        }
        Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn hex4(&mut self) -> Read<u32> {
        let mut code = 0;
        for _ in 0..4 {
            let Some(digit) = self.peek().and_then(|c| c.to_digit(16)) else {
                return Err(self.unexpected("in \\u hexadecimal character escape"));
            };
            code = code * 16 + digit;
            self.bump();
        }
        Ok(code)
    }

    fn digits(&mut self, context: &str) -> Read<()> {
        if !self.peek().is_some_and(|c| c.is_ascii_digit()) {
            return Err(self.unexpected(context));
        }
        while self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.bump();
        }
        Ok(())
    }

    fn number(&mut self) -> Read<Value> {
        let (start, at) = (self.offset, self.at);
        let mut float = false;
        if self.peek() == Some('-') {
            self.bump();
        }
        if self.peek() == Some('0') {
            self.bump();
        } else {
            self.digits("in numeric literal")?;
        }
        if self.peek() == Some('.') {
            float = true;
            self.bump();
            self.digits("after decimal point in numeric literal")?;
        }
        if matches!(self.peek(), Some('e' | 'E')) {
            float = true;
            self.bump();
            if matches!(self.peek(), Some('+' | '-')) {
                self.bump();
            }
            self.digits("in exponent of numeric literal")?;
        }
        let text = &self.text[start..self.offset];
        if !float && let Ok(number) = text.parse() {
            return Ok(Value::Integer(number));
        }
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Value::Float(number)),
            _ => Err(SyntaxError::json(at, format!("json: cannot unmarshal number {text} into a number of 64 bits"))),
        }
    }
}

/// As Go quotes a character in these messages.
fn quote(c: char) -> String {
    match c {
        '\'' => "'\\''".to_owned(),
        '"' => "'\"'".to_owned(),
        '\n' => "'\\n'".to_owned(),
        '\r' => "'\\r'".to_owned(),
        '\t' => "'\\t'".to_owned(),
        '\\' => "'\\\\'".to_owned(),
        c if c.is_control() => format!("'\\x{:02x}'", u32::from(c)),
        c => format!("'{c}'"),
    }
}
