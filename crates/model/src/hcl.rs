//! HCL 1, the language of Consul's files, and JSON, read into one tree that knows where everything stands.
//!
//! The dialect is the one Consul accepts, not the one that is specified: blocks on one line, items parted by nothing at
//! all, `${…}` kept literally, octal numbers, a JSON body in a `.hcl` file. A later HCL (version 2) refuses most of
//! these.
//!
//! The readers never panic, take time linear in the text, and stop at [`MAX_DEPTH`] and [`MAX_BYTES`].

mod error;
mod json;
mod lexer;
mod parser;
mod value;

pub use error::SyntaxError;
pub(crate) use error::one_line;
pub use value::{Document, Entry, Node, Object, Position, Value, Warning};

/// How deep blocks, lists and labels may nest. Consul has no limit of its own and ends in a stack overflow.
pub const MAX_DEPTH: usize = 100;
/// The largest file that is read. Far above any definition; keeps a mistaken path to a disk image from being loaded.
pub const MAX_BYTES: usize = 16 << 20;

/// The form of a file; see [`Format::of_path`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Hcl,
    Json,
}

impl Format {
    /// Decides by the ending of the name, as Consul does; `None` means that the file is not one of ours.
    pub fn of_path(path: &str) -> Option<Self> {
        match path.rsplit_once('.')?.1 {
            "hcl" => Some(Self::Hcl),
            "json" => Some(Self::Json),
            _ => None,
        }
    }

    pub fn parse(self, bytes: &[u8]) -> Result<Document, SyntaxError> {
        match self {
            Self::Hcl => parse(bytes),
            Self::Json => parse_json(bytes),
        }
    }
}

/// Reads HCL. A text whose first character is `{` is JSON, as in Consul; repeated keys then merge as they do in HCL.
pub fn parse(bytes: &[u8]) -> Result<Document, SyntaxError> {
    check_size(bytes)?;
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let good = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            return Err(SyntaxError::new(Position::after(&good), "UTF-8 text", "another encoding"));
        }
    };
    // Editors on Windows begin a file with a byte order mark; Consul refuses it, which helps nobody.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_start().starts_with('{') {
        return json::Reader::new(text, json::Repeat::Merge).document(json::End::Whole);
    }
    parser::Parser::new(text).document()
}

/// Reads a JSON file: one value, nothing behind it.
pub fn parse_json(bytes: &[u8]) -> Result<Document, SyntaxError> {
    check_size(bytes)?;
    json::Reader::new(&String::from_utf8_lossy(bytes), json::Repeat::LastCounts).document(json::End::Whole)
}

/// Reads the JSON body of a request: what follows the first value is ignored, as Go's stream decoder does.
pub fn parse_json_body(bytes: &[u8]) -> Result<Node, SyntaxError> {
    check_size(bytes)?;
    json::Reader::new(&String::from_utf8_lossy(bytes), json::Repeat::LastCounts).body()
}

fn check_size(bytes: &[u8]) -> Result<(), SyntaxError> {
    if bytes.len() > MAX_BYTES {
        let got = format!("{} bytes", bytes.len());
        return Err(SyntaxError::new(Position::START, format!("at most {MAX_BYTES} bytes"), got));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
