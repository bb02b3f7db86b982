//! The pattern of `members -status`: the part of regular expressions that four words can need.

/// Alternatives of literals with `.`, `*`, `+`, `?`, `^` and `$`; parentheses around the whole are taken off.
pub struct StatusPattern(Vec<Vec<char>>);

impl StatusPattern {
    pub fn parse(text: &str) -> Result<Self, String> {
        let inner = text.strip_prefix('^').and_then(|t| t.strip_suffix('$')).filter(|t| t.starts_with('('));
        let (inner, exact) = (inner.unwrap_or(text), inner.is_some());
        let inner = inner.strip_prefix('(').and_then(|t| t.strip_suffix(')')).unwrap_or(inner);
        if let Some(bad) = inner.chars().find(|c| "()[]{}\\".contains(*c)) {
            return Err(format!("error parsing regexp: '{bad}' is not supported here: `{text}`"));
        }
        let alternatives = inner.split('|').map(|part| match exact {
            true => format!("^{part}$").chars().collect(),
            false => part.chars().collect(),
        });
        Ok(Self(alternatives.collect()))
    }

    pub fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        self.0.iter().any(|pattern| match pattern.split_first() {
            Some(('^', rest)) => here(rest, &text),
            _ => (0..=text.len()).any(|start| here(pattern, &text[start..])),
        })
    }
}

fn here(pattern: &[char], text: &[char]) -> bool {
    let is = |c: char, t: Option<&char>| t.is_some_and(|t| c == '.' || c == *t);
    match pattern {
        [] => true,
        ['$'] => text.is_empty(),
        [c, '*', rest @ ..] => here(rest, text) || is(*c, text.first()) && here(pattern, &text[1..]),
        [c, '+', rest @ ..] => is(*c, text.first()) && (here(rest, &text[1..]) || here(pattern, &text[1..])),
        [c, '?', rest @ ..] => here(rest, text) || is(*c, text.first()) && here(rest, &text[1..]),
        [c, rest @ ..] => is(*c, text.first()) && here(rest, &text[1..]),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn four_words_are_told_apart() {
        let words = ["alive", "leaving", "left", "failed"];
        for (pattern, matched) in [
            (".*", "alive leaving left failed"),
            ("", "alive leaving left failed"),
            ("left", "left"),
            ("le", "leaving left failed"),
            ("alive|left", "alive left"),
            ("^(alive|failed)$", "alive failed"),
            ("(left|leav)", "leaving left"),
            ("^l.*g$", "leaving"),
            ("d$", "failed"),
            ("fa?i+led", "failed"),
        ] {
            let pattern_of = StatusPattern::parse(pattern).unwrap();
            let found: Vec<_> = words.into_iter().filter(|word| pattern_of.matches(word)).collect();
            assert_eq!(found.join(" "), matched, "{pattern}");
        }
        assert!(StatusPattern::parse("(").is_err());
    }
}
