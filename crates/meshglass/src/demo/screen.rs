//! What the demo says on the terminal: a tick per step, and one box at the end.

use std::io::Write as _;
use std::time::Duration;

/// Says that a step is done.
pub fn tick(what: &str) {
    say(&format!("  ✓ {what}\n"));
}

/// A terminal that has gone is no reason to stop.
pub fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// `0.43 s`
pub fn seconds(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}

/// Sections of lines in a frame, as wide as the widest line.
pub fn boxed(title: &str, sections: &[Vec<String>]) -> String {
    let lines = || sections.iter().flatten();
    let width = lines().map(|line| columns(line)).chain([columns(title) + 2]).max().unwrap_or(0);
    let row = |line: &str| format!("│ {line}{} │\n", " ".repeat(width - columns(line)));
    let mut out = format!("╭─ {title} {}╮\n", "─".repeat(width - columns(title) - 1));
    for (at, section) in sections.iter().enumerate() {
        if at > 0 {
            out.push_str(&format!("├{}┤\n", "─".repeat(width + 2)));
        }
        section.iter().for_each(|line| out.push_str(&row(line)));
    }
    out.push_str(&format!("╰{}╯\n", "─".repeat(width + 2)));
    out
}

/// Everything we print is one column wide.
fn columns(line: &str) -> usize {
    line.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_lines_of_a_box_are_equally_wide() {
        for title in ["é", "a title that is longer than every line"] {
            let text = boxed(title, &[vec!["one".to_owned(), "zwölf".to_owned()], vec![String::new()]]);
            let widths: Vec<usize> = text.lines().map(columns).collect();
            assert!(widths.iter().all(|width| *width == widths[0]), "{text}");
            assert_eq!(widths.len(), 6);
        }
    }
}
