//! Tokens → tree.

use super::MAX_DEPTH;
use super::error::SyntaxError;
use super::lexer::{Lexer, Token};
use super::value::{Builder, Document, Entry, Node, Position, Value, Warning};

/// How many warnings one file may give.
const MAX_WARNINGS: usize = 20;

pub(super) struct Parser<'a> {
    lexer: Lexer<'a>,
    ahead: Option<(Position, Token)>,
    warnings: Vec<Warning>,
}

impl<'a> Parser<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { lexer: Lexer::new(text), ahead: None, warnings: Vec::new() }
    }

    pub fn document(mut self) -> Result<Document, SyntaxError> {
        let value = self.object(Position::START, &Token::End, 0)?;
        Ok(Document { root: Node { at: Position::START, value }, warnings: self.warnings })
    }

    fn next(&mut self) -> Result<(Position, Token), SyntaxError> {
        match self.ahead.take() {
            Some(token) => Ok(token),
            None => self.lexer.next(),
        }
    }

    fn peek(&mut self) -> Result<&Token, SyntaxError> {
        let token = match self.ahead.take() {
            Some(token) => token,
            None => self.lexer.next()?,
        };
        Ok(&self.ahead.insert(token).1)
    }

    fn warn(&mut self, at: Position, text: String) {
        if self.warnings.len() < MAX_WARNINGS {
            self.warnings.push(Warning { at, text });
        }
    }

    /// The inside of a block up to `close`; `opened` is where it began.
    fn object(&mut self, opened: Position, close: &Token, depth: usize) -> Result<Value, SyntaxError> {
        let mut builder = Builder::default();
        loop {
            let (at, token) = self.next()?;
            let key = match token {
                token if token == *close => return Ok(Value::Object(builder.finish())),
                Token::Ident(key) | Token::Text(key) => key,
                Token::End => {
                    return Err(SyntaxError::new(
                        at,
                        format!("}} for the block that begins at {opened}"),
                        token.describe(),
                    ));
                }
                token => return Err(SyntaxError::new(at, "a key", token.describe())),
            };
            let entry = self.item(at, key, depth)?;
            let (key, at) = (entry.key.clone(), entry.at);
            if let Some(lost) = builder.merge(entry) {
                self.warn(at, format!("{key} was set before, at {lost}; this one counts"));
            }
            // One comma between items is allowed and means nothing.
            if *self.peek()? == Token::Comma {
                self.next()?;
            }
        }
    }

    /// What follows a key: labels and a block, or a value.
    fn item(&mut self, at: Position, key: String, depth: usize) -> Result<Entry, SyntaxError> {
        let mut labels: Vec<(Position, String)> = Vec::new();
        let depth = loop {
            let (here, token) = self.next()?;
            let depth = depth + 1 + labels.len();
            check_depth(here, depth)?;
            match token {
                Token::Ident(label) | Token::Text(label) => labels.push((here, label)),
                Token::OpenBrace => {
                    let mut node = Node { at: here, value: self.object(here, &Token::CloseBrace, depth)? };
                    while let Some((at, key)) = labels.pop() {
                        let mut builder = Builder::default();
                        builder.replace(Entry { key, at, node });
                        node = Node { at, value: Value::Object(builder.finish()) };
                    }
                    return Ok(Entry { key, at, node });
                }
                Token::Assign | Token::Colon if !labels.is_empty() => {
                    return Err(SyntaxError::new(here, format!("{{ behind the label of {key}"), token.describe()));
                }
                Token::Assign => break depth,
                Token::Colon => {
                    self.warn(here, format!("{key} is followed by a colon, which is not HCL; taken as {key} = …"));
                    break depth;
                }
                token => {
                    return Err(SyntaxError::new(here, format!("= or {{ behind the key {key}"), token.describe()));
                }
            }
        };
        Ok(Entry { key, at, node: self.value(depth)? })
    }

    fn value(&mut self, depth: usize) -> Result<Node, SyntaxError> {
        let (at, token) = self.next()?;
        check_depth(at, depth)?;
        let value = match token {
            Token::Text(text) | Token::Heredoc(text) => Value::Text(text),
            Token::Integer(n) => Value::Integer(n),
            Token::Float(n) => Value::Float(n),
            Token::Bool(b) => Value::Bool(b),
            Token::OpenBrace => self.object(at, &Token::CloseBrace, depth)?,
            Token::OpenBracket => self.list(at, depth)?,
            token => return Err(SyntaxError::no_value(at, token.name(), token.describe())),
        };
        Ok(Node { at, value })
    }

    fn list(&mut self, opened: Position, depth: usize) -> Result<Value, SyntaxError> {
        let mut items = Vec::new();
        let mut needs_comma = false;
        loop {
            let (at, token) = self.next()?;
            match token {
                Token::CloseBracket => return Ok(Value::List(items)),
                // HCL takes any number of commas here, also before the first item.
                Token::Comma => needs_comma = false,
                Token::End => {
                    return Err(SyntaxError::new(
                        at,
                        format!("] for the list that begins at {opened}"),
                        token.describe(),
                    ));
                }
                // A quirk kept from HCL: a list in a list needs no comma before it.
                token if needs_comma && token != Token::OpenBracket => {
                    return Err(SyntaxError::new(at, "a comma or ]", token.describe()));
                }
                token => {
                    self.ahead = Some((at, token));
                    items.push(self.value(depth + 1)?);
                    needs_comma = true;
                }
            }
        }
    }
}

fn check_depth(at: Position, depth: usize) -> Result<(), SyntaxError> {
    if depth > MAX_DEPTH {
        return Err(SyntaxError::new(at, format!("at most {MAX_DEPTH} levels of nesting"), "more"));
    }
    Ok(())
}
