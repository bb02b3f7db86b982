//! JSON laid out anew without touching the order of its keys.

/// The document with every level indented by `indent`, as Go's `json.Indent` does it.
pub fn indent(document: &str, indent: &str) -> String {
    let mut out = String::with_capacity(document.len() * 2);
    let mut depth = 0;
    let mut in_string = false;
    let mut escaped = false;
    let mut opened = false;
    for c in document.chars() {
        if in_string {
            out.push(c);
            in_string = escaped || c != '"';
            escaped = c == '\\' && !escaped;
            continue;
        }
        if c.is_whitespace() {
            continue;
        }
        let closes = matches!(c, '}' | ']');
        if opened && !closes {
            new_line(&mut out, depth, indent);
        }
        match c {
            '{' | '[' => depth += 1,
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                if !opened {
                    new_line(&mut out, depth, indent);
                }
            }
            '"' => in_string = true,
            _ => {}
        }
        out.push(c);
        match c {
            ',' => new_line(&mut out, depth, indent),
            ':' => out.push(' '),
            _ => {}
        }
        opened = matches!(c, '{' | '[');
    }
    out
}

fn new_line(out: &mut String, depth: usize, indent: &str) {
    out.push('\n');
    out.extend(std::iter::repeat_n(indent, depth));
}

#[cfg(test)]
mod tests {
    use super::indent;

    #[test]
    fn order_and_strings_survive() {
        let compact = r#"{"Name":"a:{,}\"\\","B":{},"A":[1,{"x":[]}]}"#;
        let wanted = "{\n  \"Name\": \"a:{,}\\\"\\\\\",\n  \
                      \"B\": {},\n  \"A\": [\n    1,\n    {\n      \"x\": []\n    }\n  ]\n}";
        assert_eq!(indent(compact, "  "), wanted);
        assert_eq!(indent(wanted, "  "), wanted);
    }
}
