//! JSON in the forms Go's `encoding/json` gives and takes: clients and golden answers know them by heart.

mod decode;
mod fields;
mod scan;

pub use decode::{Shape, decode, parse};
pub(crate) use decode::{first, kind, shaped};
pub(crate) use fields::Fields;

/// Go escapes `<`, `>`, `&` and two line separators in strings; `pretty` indents by four spaces and ends with a
/// newline.
pub fn go_form(compact: &[u8], pretty: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(compact.len() + compact.len() / 2);
    let mut writer = Writer { out: &mut out, depth: 0, pretty };
    let mut at = 0;
    let mut in_string = false;
    while let Some(&byte) = compact.get(at) {
        if in_string {
            at += writer.string_byte(&compact[at..]);
            in_string = byte != b'"';
        } else {
            writer.byte(byte, compact.get(at + 1).copied());
            in_string = byte == b'"';
            at += 1;
        }
    }
    if pretty {
        out.push(b'\n');
    }
    out
}

/// Writes a string with its quotation marks, escaped as Go escapes it.
pub(crate) fn go_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let plain = |byte: &u8| !matches!(byte, 0..0x20 | b'"' | b'\\' | b'<' | b'>' | b'&' | 0xE2);
    if text.as_bytes().iter().all(plain) {
        out.extend(text.as_bytes());
    } else {
        text.chars().for_each(|c| go_char(out, c));
    }
    out.push(b'"');
}

fn go_char(out: &mut Vec<u8>, c: char) {
    match c {
        '"' => out.extend(b"\\\""),
        '\\' => out.extend(b"\\\\"),
        '\n' => out.extend(b"\\n"),
        '\r' => out.extend(b"\\r"),
        '\t' => out.extend(b"\\t"),
        '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
            out.extend(format!("\\u{:04x}", u32::from(c)).as_bytes());
        }
        c => out.extend(c.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

struct Writer<'a> {
    out: &'a mut Vec<u8>,
    depth: usize,
    pretty: bool,
}

impl Writer<'_> {
    /// Copies one byte or escape of a string; gives how many bytes it took.
    fn string_byte(&mut self, rest: &[u8]) -> usize {
        match rest {
            [b'\\', escaped, ..] => {
                self.out.extend([b'\\', *escaped]);
                2
            }
            [b'<', ..] => self.escaped(b"\\u003c", 1),
            [b'>', ..] => self.escaped(b"\\u003e", 1),
            [b'&', ..] => self.escaped(b"\\u0026", 1),
            [0xE2, 0x80, 0xA8, ..] => self.escaped(b"\\u2028", 3),
            [0xE2, 0x80, 0xA9, ..] => self.escaped(b"\\u2029", 3),
            [byte, ..] => {
                self.out.push(*byte);
                1
            }
            [] => 1,
        }
    }

    fn escaped(&mut self, escape: &[u8], taken: usize) -> usize {
        self.out.extend(escape);
        taken
    }

    fn byte(&mut self, byte: u8, next: Option<u8>) {
        if !self.pretty {
            return self.out.push(byte);
        }
        match byte {
            b'{' | b'[' => {
                self.out.push(byte);
                self.depth += 1;
                if !matches!(next, Some(b'}' | b']')) {
                    self.newline();
                }
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                if !matches!(self.out.last(), Some(b'{' | b'[')) {
                    self.newline();
                }
                self.out.push(byte);
            }
            b',' => {
                self.out.push(byte);
                self.newline();
            }
            b':' => self.out.extend(b": "),
            b' ' | b'\n' | b'\t' | b'\r' => {}
            _ => self.out.push(byte),
        }
    }

    fn newline(&mut self) {
        self.out.push(b'\n');
        self.out.resize(self.out.len() + self.depth * 4, b' ');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indents_and_escapes_as_go_does() {
        let compact = r#"{"a":[],"b":{},"c":["x<y","\"{,"],"d":1}"#;
        let pretty = "{\n    \"a\": [],\n    \"b\": {},\n    \
            \"c\": [\n        \"x\\u003cy\",\n        \"\\\"{,\"\n    ],\n    \"d\": 1\n}\n";
        assert_eq!(String::from_utf8_lossy(&go_form(compact.as_bytes(), true)), pretty);
        assert_eq!(go_form(br#""a&b""#, false), br#""a\u0026b""#);
        assert_eq!(go_form("\"\u{2028}é\"".as_bytes(), false), "\"\\u2028é\"".as_bytes());
        for text in ["plain/key", "<a> & \"b\" \\ c", "tab\tline\n\u{1}", "\u{2028}é\u{2029}"] {
            let mut out = Vec::new();
            go_string(&mut out, text);
            let known = serde_json::to_vec(text).unwrap_or_default();
            assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(&go_form(&known, false)), "{text:?}");
        }
    }
}
