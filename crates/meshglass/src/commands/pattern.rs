//! Regular expressions that an agent will match: judged before they are sent, in the words of Go's parser.

use regex_lite::Regex;

use super::Failure;

/// Fails as `Failed to compile <what> filter regexp: …`.
pub fn check(what: &str, pattern: &str) -> Result<(), Failure> {
    // Classes of Unicode are Go's but not this parser's: the agent judges those.
    if pattern.contains("\\p") || pattern.contains("\\P") {
        return Ok(());
    }
    let Err(error) = Regex::new(pattern) else { return Ok(()) };
    let why = match unclosed(pattern) {
        Some((')', _)) => format!("missing closing ): `{pattern}`"),
        Some((_, at)) => format!("missing closing ]: `{}`", &pattern[at..]),
        None => format!("{error}: `{pattern}`"),
    };
    Err(Failure::new(format!("Failed to compile {what} filter regexp: error parsing regexp: {why}")))
}

/// The bracket that is missing, and where the open one stands.
fn unclosed(pattern: &str) -> Option<(char, usize)> {
    let (mut groups, mut class, mut escaped) = (Vec::new(), None, false);
    for (at, c) in pattern.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ']' if class.is_some_and(|open| at > open + 1) => class = None,
            _ if class.is_some() => {}
            '[' => class = Some(at),
            '(' => groups.push(at),
            ')' => drop(groups.pop()),
            _ => {}
        }
    }
    class.map(|at| (']', at)).or_else(|| groups.pop().map(|at| (')', at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_are_missed_in_go_s_words() {
        let said = |pattern| check("node", pattern).err().map(|failure| failure.text);
        let prefix = "Failed to compile node filter regexp: error parsing regexp: ";
        assert_eq!(said("("), Some(format!("{prefix}missing closing ): `(`")));
        assert_eq!(said("a[b"), Some(format!("{prefix}missing closing ]: `[b`")));
        assert!(said("*").is_some_and(|text| text.ends_with(": `*`")));
        assert_eq!(said("^web-[0-9]+$"), None);
        assert_eq!(said("\\pL+"), None);
    }
}
