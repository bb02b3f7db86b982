//! Just enough of Rust's grammar to count: comments and literals blanked, test modules and functions found.

/// The text with comments, strings and characters blanked (line breaks kept), so that braces and words can be counted.
pub fn blank(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let bytes: Vec<char> = text.chars().collect();
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_end(&bytes, at);
        if end > at {
            out.extend(bytes[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    out
}

/// The end of the comment or literal that starts at `at`, or `at` when none does.
fn literal_end(text: &[char], at: usize) -> usize {
    let next = text.get(at + 1).copied().unwrap_or(' ');
    match text[at] {
        '/' if next == '/' => find(text, at, |c| c == '\n'),
        '/' if next == '*' => block_comment_end(text, at),
        '"' => string_end(text, at),
        'r' if (next == '"' || next == '#') && !after_word(text, at) => raw_string_end(text, at),
        '\'' => char_end(text, at),
        _ => at,
    }
}

fn after_word(text: &[char], at: usize) -> bool {
    // `br"…"` is a literal too; any other letter before means that the r belongs to a name.
    at > 0 && (text[at - 1].is_alphanumeric() || text[at - 1] == '_') && text[at - 1] != 'b'
}

fn find(text: &[char], from: usize, wanted: impl Fn(char) -> bool) -> usize {
    (from..text.len()).find(|i| wanted(text[*i])).unwrap_or(text.len())
}

fn block_comment_end(text: &[char], at: usize) -> usize {
    let mut depth = 0;
    let mut i = at;
    while i + 1 < text.len() {
        match (text[i], text[i + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                i += 1;
                continue;
            }
        }
        i += 2;
        if depth == 0 {
            return i;
        }
    }
    text.len()
}

fn string_end(text: &[char], at: usize) -> usize {
    let mut i = at + 1;
    while i < text.len() {
        match text[i] {
            '\\' => i += 2,
            '"' => return i + 1,
            _ => i += 1,
        }
    }
    text.len()
}

fn raw_string_end(text: &[char], at: usize) -> usize {
    let quote = find(text, at + 1, |c| c != '#');
    if text.get(quote) != Some(&'"') {
        return at;
    }
    let hashes = quote - at - 1;
    (quote + 1..text.len())
        .find(|i| text[*i] == '"' && text[i + 1..].iter().take_while(|c| **c == '#').count() >= hashes)
        .map_or(text.len(), |i| i + 1 + hashes)
}

/// A character literal, as against a lifetime.
fn char_end(text: &[char], at: usize) -> usize {
    match text.get(at + 1) {
        Some('\\') => find(text, at + 3, |c| c == '\'') + 1,
        Some(_) if text.get(at + 2) == Some(&'\'') => at + 3,
        _ => at,
    }
}

/// Blanked source without the modules marked `#[cfg(test)]`; line numbers stay.
pub fn without_tests(blanked: &str) -> String {
    let mut out = blanked.to_owned();
    while let Some(start) = out.find("#[cfg(test)]") {
        let Some(open) = out[start..].find(['{', ';']).map(|i| start + i) else { break };
        let end = if out.as_bytes()[open] == b';' { open + 1 } else { block_end(&out, open) };
        let kept: String = out[start..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        out.replace_range(start..end, &kept);
    }
    out
}

/// Just past the brace that closes the one at `open`.
fn block_end(text: &str, open: usize) -> usize {
    let mut depth = 0usize;
    for (i, c) in text[open..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => continue,
        }
        if depth == 0 {
            return open + i + 1;
        }
    }
    text.len()
}

/// Lines that hold code, in blanked text.
pub fn code_lines(blanked: &str) -> usize {
    blanked.lines().filter(|line| !line.trim().is_empty()).count()
}

/// Every function: its name, the line it starts on, and its lines.
pub fn functions(blanked: &str) -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    for (start, _) in blanked.match_indices("fn ") {
        if blanked[..start].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let name: String = blanked[start + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if name.is_empty() {
            continue;
        }
        let Some(open) = blanked[start..].find(['{', ';']).map(|i| start + i) else { continue };
        if blanked.as_bytes()[open] == b';' {
            continue;
        }
        let line = blanked[..start].lines().count().max(1);
        let lines = code_lines(&blanked[start..block_end(blanked, open)]);
        found.push((name, line, lines));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_in_literals_and_comments_do_not_count() {
        let text = "fn a() { let x = \"}\"; let y = '}'; /* } */ // }\n let z = r#\"}\"#; }\nfn b<'a>(x: &'a str) {}\n";
        let blanked = blank(text);
        assert_eq!(blanked.matches('}').count(), 2);
        let names: Vec<String> = functions(&blanked).into_iter().map(|f| f.0).collect();
        assert_eq!(names, ["a", "b"]);
    }

    #[test]
    fn test_modules_are_left_out() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n fn long() {\n }\n}\nfn c() {}\n";
        let left = without_tests(&blank(text));
        assert_eq!(code_lines(&left), 2);
        assert!(!left.contains("long"));
    }
}
