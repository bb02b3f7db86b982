//! Go's words for JSON that is none. Run only once the real parser has refused the text.

/// What may come next.
#[derive(Clone, Copy, PartialEq)]
enum Expect {
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    Colon,
    AfterKeyValue,
    AfterElement,
    End,
}

pub(super) fn complaint(text: &[u8]) -> String {
    let mut stack = Vec::new();
    let mut expect = Expect::Value;
    let mut at = 0;
    if text.iter().all(u8::is_ascii_whitespace) {
        return "EOF".to_owned();
    }
    while at < text.len() {
        let byte = text[at];
        if matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
            at += 1;
            continue;
        }
        match step(&text[at..], expect, &mut stack) {
            Ok((taken, next)) => {
                at += taken;
                expect = next;
            }
            Err(text) => return text,
        }
    }
    "unexpected EOF".to_owned()
}

fn step(rest: &[u8], expect: Expect, stack: &mut Vec<u8>) -> Result<(usize, Expect), String> {
    let byte = rest[0];
    match (expect, byte) {
        (Expect::Value | Expect::ValueOrEnd, b'{') => {
            stack.push(b'{');
            Ok((1, Expect::KeyOrEnd))
        }
        (Expect::Value | Expect::ValueOrEnd, b'[') => {
            stack.push(b'[');
            Ok((1, Expect::ValueOrEnd))
        }
        (Expect::ValueOrEnd, b']') | (Expect::KeyOrEnd, b'}') => Ok((1, close(stack))),
        (Expect::Value | Expect::ValueOrEnd, _) => scalar(rest).map(|taken| (taken, after(stack))),
        (Expect::Key | Expect::KeyOrEnd, b'"') => string(rest).map(|taken| (taken, Expect::Colon)),
        (Expect::Key | Expect::KeyOrEnd, _) => bad(byte, "looking for beginning of object key string"),
        (Expect::Colon, b':') => Ok((1, Expect::Value)),
        (Expect::Colon, _) => bad(byte, "after object key"),
        (Expect::AfterKeyValue, b',') => Ok((1, Expect::Key)),
        (Expect::AfterKeyValue, b'}') | (Expect::AfterElement, b']') => Ok((1, close(stack))),
        (Expect::AfterKeyValue, _) => bad(byte, "after object key:value pair"),
        (Expect::AfterElement, b',') => Ok((1, Expect::Value)),
        (Expect::AfterElement, _) => bad(byte, "after array element"),
        (Expect::End, _) => bad(byte, "after top-level value"),
    }
}

fn close(stack: &mut Vec<u8>) -> Expect {
    stack.pop();
    after(stack)
}

fn after(stack: &[u8]) -> Expect {
    match stack.last() {
        Some(b'{') => Expect::AfterKeyValue,
        Some(_) => Expect::AfterElement,
        None => Expect::End,
    }
}

fn bad<T>(byte: u8, place: &str) -> Result<T, String> {
    Err(format!("invalid character {} {place}", quoted(byte)))
}

fn quoted(byte: u8) -> String {
    match byte {
        b'\'' => "'\\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        b'\n' => "'\\n'".to_owned(),
        b'\t' => "'\\t'".to_owned(),
        b'\r' => "'\\r'".to_owned(),
        0..0x20 => format!("'\\x{byte:02x}'"),
        _ => format!("'{}'", byte as char),
    }
}

fn scalar(rest: &[u8]) -> Result<usize, String> {
    match rest[0] {
        b'"' => string(rest),
        b't' => literal(rest, "true"),
        b'f' => literal(rest, "false"),
        b'n' => literal(rest, "null"),
        b'-' | b'0'..=b'9' => number(rest),
        byte => bad(byte, "looking for beginning of value"),
    }
}

fn literal(rest: &[u8], word: &str) -> Result<usize, String> {
    for (at, want) in word.bytes().enumerate().skip(1) {
        match rest.get(at) {
            None => return Err("unexpected EOF".to_owned()),
            Some(byte) if *byte == want => {}
            Some(byte) => {
                return bad(*byte, &format!("in literal {word} (expecting {})", quoted(want)));
            }
        }
    }
    Ok(word.len())
}

fn number(rest: &[u8]) -> Result<usize, String> {
    let digits = |from: usize| rest[from.min(rest.len())..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut at = usize::from(rest[0] == b'-');
    let need = |at: usize, place: &str| match rest.get(at) {
        None => Err("unexpected EOF".to_owned()),
        Some(byte) if byte.is_ascii_digit() => Ok(()),
        Some(byte) => bad(*byte, place),
    };
    need(at, "in numeric literal")?;
    at += if rest[at] == b'0' { 1 } else { digits(at) };
    if rest.get(at) == Some(&b'.') {
        need(at + 1, "after decimal point in numeric literal")?;
        at += 1 + digits(at + 1);
    }
    if matches!(rest.get(at), Some(b'e' | b'E')) {
        at += 1 + usize::from(matches!(rest.get(at + 1), Some(b'+' | b'-')));
        need(at, "in exponent of numeric literal")?;
        at += digits(at);
    }
    Ok(at)
}

fn string(rest: &[u8]) -> Result<usize, String> {
    let mut at = 1;
    while let Some(&byte) = rest.get(at) {
        match byte {
            b'"' => return Ok(at + 1),
            0..0x20 => return bad(byte, "in string literal"),
            b'\\' => match rest.get(at + 1) {
                Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => at += 2,
                Some(b'u') => {
                    for hex in rest.iter().skip(at + 2).take(4) {
                        if !hex.is_ascii_hexdigit() {
                            return bad(*hex, "in \\u hexadecimal character escape");
                        }
                    }
                    at += 6;
                }
                Some(byte) => return bad(*byte, "in string escape code"),
                None => break,
            },
            _ => at += 1,
        }
    }
    Err("unexpected EOF".to_owned())
}

#[cfg(test)]
mod tests {
    use super::complaint;

    #[test]
    fn complains_in_gos_words() {
        for (text, words) in [
            ("", "EOF"),
            ("{", "unexpected EOF"),
            ("{nope", "invalid character 'n' looking for beginning of object key string"),
            ("nope", "invalid character 'o' in literal null (expecting 'u')"),
            ("[1 2]", "invalid character '2' after array element"),
            ("{\"a\" 1}", "invalid character '1' after object key"),
            ("{\"a\":1,}", "invalid character '}' looking for beginning of object key string"),
            ("{} x", "invalid character 'x' after top-level value"),
            ("[01]", "invalid character '1' after array element"),
            ("<", "invalid character '<' looking for beginning of value"),
            ("\"a\\q\"", "invalid character 'q' in string escape code"),
        ] {
            assert_eq!(complaint(text.as_bytes()), words, "{text}");
        }
    }
}
