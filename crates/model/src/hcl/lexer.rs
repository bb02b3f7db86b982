//! Text → tokens.

use super::error::SyntaxError;
use super::value::Position;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Ident(String),
    Text(String),
    /// Not a key, unlike a quoted text.
    Heredoc(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    Assign,
    Colon,
    Comma,
    OpenBrace,
    CloseBrace,
    OpenBracket,
    CloseBracket,
    End,
}

impl Token {
    /// As a reader of the message would call it.
    pub fn describe(&self) -> String {
        match self {
            Self::Ident(name) => name.clone(),
            Self::Text(text) => format!("{text:?}"),
            Self::Heredoc(_) => "a heredoc".to_owned(),
            Self::Integer(n) => n.to_string(),
            Self::Float(n) => n.to_string(),
            Self::Bool(b) => b.to_string(),
            Self::Assign => "=".to_owned(),
            Self::Colon => ":".to_owned(),
            Self::Comma => ",".to_owned(),
            Self::OpenBrace => "{".to_owned(),
            Self::CloseBrace => "}".to_owned(),
            Self::OpenBracket => "[".to_owned(),
            Self::CloseBracket => "]".to_owned(),
            Self::End => "the end of the file".to_owned(),
        }
    }

    /// The name HCL gives the token in its messages.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ident(_) => "IDENT",
            Self::Text(_) => "STRING",
            Self::Heredoc(_) => "HEREDOC",
            Self::Integer(_) => "NUMBER",
            Self::Float(_) => "FLOAT",
            Self::Bool(_) => "BOOL",
            Self::Assign => "ASSIGN",
            Self::Colon => "ILLEGAL",
            Self::Comma => "COMMA",
            Self::OpenBrace => "LBRACE",
            Self::CloseBrace => "RBRACE",
            Self::OpenBracket => "LBRACK",
            Self::CloseBracket => "RBRACK",
            Self::End => "EOF",
        }
    }
}

pub(super) struct Lexer<'a> {
    text: &'a str,
    offset: usize,
    at: Position,
}

impl<'a> Lexer<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { text, offset: 0, at: Position::START }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.offset..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.offset += c.len_utf8();
        self.at.step(c);
        Some(c)
    }

    /// Takes characters while they please; gives what was taken.
    fn take_while(&mut self, pleases: impl Fn(char) -> bool) -> &'a str {
        let start = self.offset;
        while self.peek().is_some_and(&pleases) {
            self.bump();
        }
        &self.text[start..self.offset]
    }

    pub fn next(&mut self) -> Result<(Position, Token), SyntaxError> {
        self.skip_blanks_and_comments()?;
        let at = self.at;
        let Some(c) = self.peek() else {
            return Ok((at, Token::End));
        };
        let token = match c {
            '"' => self.quoted()?,
            '<' => self.heredoc()?,
            '-' | '.' | '0'..='9' => self.number()?,
            c if c.is_alphabetic() || c == '_' => self.word(),
            c => {
                let token = match c {
                    '=' => Token::Assign,
                    ':' => Token::Colon,
                    ',' => Token::Comma,
                    '{' => Token::OpenBrace,
                    '}' => Token::CloseBrace,
                    '[' => Token::OpenBracket,
                    ']' => Token::CloseBracket,
                    '+' => return Err(SyntaxError::no_value(at, "ADD", "+".to_owned())),
                    c => return Err(SyntaxError::new(at, "a key or a value", format!("the character {c:?}"))),
                };
                self.bump();
                token
            }
        };
        Ok((at, token))
    }

    fn skip_blanks_and_comments(&mut self) -> Result<(), SyntaxError> {
        loop {
            self.take_while(|c| matches!(c, ' ' | '\t' | '\n' | '\r'));
            let at = self.at;
            let rest = self.rest();
            if rest.starts_with('#') || rest.starts_with("//") {
                self.take_while(|c| c != '\n');
            } else if let Some(inside) = rest.strip_prefix("/*") {
                let Some(length) = inside.find("*/") else {
                    return Err(SyntaxError::new(at, "*/ for the comment that begins here", "the end of the file"));
                };
                let end = self.offset + 2 + length + 2;
                while self.offset < end {
                    self.bump();
                }
            } else if rest.starts_with('/') {
                return Err(SyntaxError::new(at, "// or /* for a comment", "a single /"));
            } else {
                return Ok(());
            }
        }
    }

    /// A name may hold dashes and dots, so `a.b = 1` is one key, which then nobody knows.
    fn word(&mut self) -> Token {
        match self.take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.')) {
            "true" => Token::Bool(true),
            "false" => Token::Bool(false),
            name => Token::Ident(name.to_owned()),
        }
    }

    fn number(&mut self) -> Result<Token, SyntaxError> {
        let (at, start) = (self.at, self.offset);
        let digits = |lexer: &mut Self| lexer.take_while(|c| c.is_ascii_digit()).len();
        let negative = self.peek() == Some('-');
        if negative {
            self.bump();
        }
        if !self.peek().is_some_and(|c| c.is_ascii_digit() || c == '.') {
            return Err(SyntaxError::no_value(at, "SUB", "-".to_owned()));
        }
        if self.rest().starts_with("0x") || self.rest().starts_with("0X") {
            self.bump();
            self.bump();
            return integer(at, negative, self.take_while(|c| c.is_ascii_hexdigit()), 16);
        }
        let whole = digits(self);
        let mut float = false;
        let mut part = 0;
        if self.peek() == Some('.') {
            float = true;
            self.bump();
            part = digits(self);
        }
        if whole + part == 0 {
            return Err(SyntaxError::no_value(at, "PERIOD", ".".to_owned()));
        }
        if matches!(self.peek(), Some('e' | 'E')) {
            float = true;
            self.bump();
            if matches!(self.peek(), Some('+' | '-')) {
                self.bump();
            }
            digits(self);
        }
        let text = &self.text[start..self.offset];
        if float {
            let number = text.parse().ok().filter(|n: &f64| n.is_finite());
            return number.map(Token::Float).ok_or_else(|| SyntaxError::new(at, "a number", text.to_owned()));
        }
        let digits = text.trim_start_matches('-');
        // HCL's rule, and so Consul's: a leading zero means octal, 0644 is 420.
        if digits.len() > 1 && digits.starts_with('0') {
            return integer(at, negative, digits, 8);
        }
        integer(at, negative, digits, 10)
    }

    fn quoted(&mut self) -> Result<Token, SyntaxError> {
        let start = self.at;
        self.bump();
        let mut out = Vec::new();
        // Inside `${…}` quotes and line ends are part of the text, and nothing is an escape.
        let mut braces = 0_usize;
        loop {
            let at = self.at;
            let Some(c) = self.bump() else {
                return Err(SyntaxError::new(start, "a closing \" for this string", "the end of the file"));
            };
            match c {
                '"' if braces == 0 => return Ok(Token::Text(String::from_utf8_lossy(&out).into_owned())),
                '\n' if braces == 0 => {
                    return Err(SyntaxError::new(start, "a closing \" for this string", "the end of the line"));
                }
                '\\' if braces == 0 => self.escape(at, &mut out)?,
                '\0' => return Err(SyntaxError::new(at, "text", "a null character")),
                c => {
                    match c {
                        '$' if braces == 0 && self.peek() == Some('{') => {
                            out.push(b'$');
                            self.bump();
                            braces = 1;
                            out.push(b'{');
                            continue;
                        }
                        '{' if braces > 0 => braces += 1,
                        '}' if braces > 0 => braces -= 1,
                        _ => {}
                    }
                    out.extend(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
        }
    }

    fn escape(&mut self, at: Position, out: &mut Vec<u8>) -> Result<(), SyntaxError> {
        const KNOWN: &str = "an escape (\\n \\t \\\" \\\\ \\x41 \\u00e9 …)";
        let bad = |got: String| Err(SyntaxError::new(at, KNOWN, got));
        let Some(c) = self.bump() else {
            return bad("the end of the file".to_owned());
        };
        let plain = match c {
            'a' => Some(7),
            'b' => Some(8),
            'f' => Some(12),
            'n' => Some(b'\n'),
            'r' => Some(b'\r'),
            't' => Some(b'\t'),
            'v' => Some(11),
            '\\' => Some(b'\\'),
            '"' => Some(b'"'),
            _ => None,
        };
        if let Some(byte) = plain {
            out.push(byte);
            return Ok(());
        }
        let (skip, length, radix) = match c {
            '0'..='7' => (0, 3, 8),
            'x' => (1, 2, 16),
            'u' => (1, 4, 16),
            'U' => (1, 8, 16),
            c => return bad(format!("\\{c}")),
        };
        let start = self.offset - 1;
        let mut code: u32 = if skip == 0 { c.to_digit(8).unwrap_or(0) } else { 0 };
        for _ in 1 - skip..length {
            match self.peek().and_then(|c| c.to_digit(radix)) {
                // Eight hexadecimal digits fit exactly.
                Some(digit) => code = code.wrapping_mul(radix).wrapping_add(digit),
                None => return bad(format!("\\{}", self.text.get(start..self.offset).unwrap_or_default())),
            }
            self.bump();
        }
        if c == 'u' || c == 'U' {
            // A lone surrogate becomes the replacement character, as in Go.
            let c = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
            out.extend(c.encode_utf8(&mut [0; 4]).as_bytes());
            return Ok(());
        }
        let Ok(byte) = u8::try_from(code) else {
            return bad(format!("\\{code:o}"));
        };
        out.push(byte);
        Ok(())
    }

    fn heredoc(&mut self) -> Result<Token, SyntaxError> {
        let start = self.at;
        if !self.rest().starts_with("<<") {
            return Err(SyntaxError::new(start, "<< for a heredoc", "a single <"));
        }
        self.bump();
        self.bump();
        let unindent = self.peek() == Some('-');
        if unindent {
            self.bump();
        }
        let anchor = self.take_while(|c| c.is_alphanumeric() || c == '_');
        if anchor.is_empty() {
            return Err(SyntaxError::new(self.at, "a word such as EOF right behind <<", self.here()));
        }
        self.take_while(|c| c == '\r');
        if self.peek() != Some('\n') {
            return Err(SyntaxError::new(self.at, format!("the end of the line behind <<{anchor}"), self.here()));
        }
        self.bump();
        let body = self.offset;
        loop {
            let line_start = self.offset;
            let line = self.take_while(|c| c != '\n');
            if self.bump().is_none() {
                let expected = format!("a line that holds only {anchor} for the heredoc that begins here");
                return Err(SyntaxError::new(start, expected, "the end of the file"));
            }
            if line.trim_end_matches('\r').trim_start() == anchor {
                let indent = &line[..line.len() - line.trim_start().len()];
                let content = &self.text[body..line_start];
                return Ok(Token::Heredoc(if unindent {
                    without(indent, content)
                } else {
                    format!("{content}{indent}")
                }));
            }
        }
    }

    fn here(&self) -> String {
        self.peek().map_or_else(|| "the end of the file".to_owned(), |c| format!("{c:?}"))
    }
}

/// Cuts the indent of the closing line off every line, but only when every line has it.
fn without(indent: &str, content: &str) -> String {
    let lines = || content.split_inclusive('\n');
    if lines().any(|line| !line.starts_with(indent)) {
        return content.to_owned();
    }
    lines().map(|line| &line[indent.len()..]).collect()
}

fn integer(at: Position, negative: bool, digits: &str, radix: u32) -> Result<Token, SyntaxError> {
    let kind = match radix {
        16 => "a hexadecimal number",
        8 => "an octal number (it begins with 0)",
        _ => "a number",
    };
    let sign = if negative { "-" } else { "" };
    match i64::from_str_radix(&format!("{sign}{digits}"), radix) {
        Ok(number) => Ok(Token::Integer(number)),
        Err(_) if !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix)) => {
            Err(SyntaxError::new(at, "a number of 64 bits", "one that is larger"))
        }
        Err(_) => Err(SyntaxError::new(at, kind, format!("{sign}{digits:?}"))),
    }
}
