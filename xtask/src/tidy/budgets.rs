//! Sizes: a file, a function, a line; and the shape of each crate's front page.

use super::{File, Finding, source};

const FILE_CODE_LINES: usize = 500;
const FUNCTION_LINES: usize = 70;
const LINE_CHARS: usize = 120;
const LIB_LINES: usize = 60;
const ARCHITECTURE_LINES: usize = 250;

/// The visible list of what may be larger, each with its reason.
const EXCEPTIONS: &[(&str, &str)] = &[];

pub fn check(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        if file.path.ends_with(".rs") {
            rust_file(file, &mut findings);
        }
        if file.path.starts_with("crates/") && file.path.ends_with("/src/lib.rs") {
            front_page(file, &mut findings);
        }
        if file.path == "ARCHITECTURE.md" && file.text.lines().count() > ARCHITECTURE_LINES {
            findings.push(Finding::new(file.path.as_str(), format!("is longer than {ARCHITECTURE_LINES} lines")));
        }
    }
    findings
}

fn excepted(place: &str) -> bool {
    EXCEPTIONS.iter().any(|(excepted, _)| *excepted == place)
}

fn rust_file(file: &File, findings: &mut Vec<Finding>) {
    let blanked = source::blank(&file.text);
    let is_test = file.path.contains("/tests/") || file.path.ends_with("/tests.rs");
    let product = source::without_tests(&blanked);
    let lines = source::code_lines(&product);
    if lines > FILE_CODE_LINES && !is_test && !excepted(&file.path) {
        findings.push(Finding::new(file.path.as_str(), format!("{lines} code lines, at most {FILE_CODE_LINES}")));
    }
    for (name, line, lines) in source::functions(&product) {
        let place = format!("{}:{line}", file.path);
        if lines > FUNCTION_LINES && !is_test && !excepted(&format!("{}::{name}", file.path)) {
            findings.push(Finding::new(place, format!("fn {name} has {lines} lines, at most {FUNCTION_LINES}")));
        }
    }
    for (i, line) in file.text.lines().enumerate() {
        if line.chars().count() > LINE_CHARS {
            let place = format!("{}:{}", file.path, i + 1);
            findings.push(Finding::new(place, format!("line longer than {LINE_CHARS} characters")));
        }
    }
}

/// One sentence; its piece of the road; the type to start from; invariants; a doctest that runs.
fn front_page(file: &File, findings: &mut Vec<Finding>) {
    let lines = file.text.lines().count();
    if lines > LIB_LINES {
        findings.push(Finding::new(file.path.as_str(), format!("{lines} lines, a front page has at most {LIB_LINES}")));
    }
    let docs: String = file
        .text
        .lines()
        .filter(|line| line.starts_with("//!"))
        .map(|line| line.trim_start_matches("//!").trim_start())
        .collect::<Vec<_>>()
        .join("\n");
    if !docs.starts_with(|c: char| c.is_uppercase()) {
        findings.push(Finding::new(file.path.as_str(), "begins without a sentence that says what the crate is"));
    }
    for (part, words) in [
        ("its piece of the road", "On the road"),
        ("the type to start from", "Start from"),
        ("its invariants", "Invariants:"),
        ("a doctest", "```"),
    ] {
        if !docs.contains(words) {
            findings
                .push(Finding::new(file.path.as_str(), format!("does not tell {part} (a paragraph with {words:?})")));
        }
    }
    if docs.contains("```ignore") || docs.contains("```no_run") || docs.contains("```text\n```") {
        findings.push(Finding::new(file.path.as_str(), "its doctest does not run"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(path: &str, text: String) -> Vec<String> {
        check(&[File { path: path.to_owned(), text }]).into_iter().map(|f| f.says).collect()
    }

    #[test]
    fn long_files_functions_and_lines_are_found() {
        let long_function = format!("fn f() {{\n{}}}\n", "    g();\n".repeat(FUNCTION_LINES));
        assert_eq!(says("crates/x/src/a.rs", long_function).len(), 1);
        assert_eq!(says("crates/x/src/a.rs", "const A: u8 = 1;\n".repeat(FILE_CODE_LINES + 1)).len(), 1);
        assert_eq!(says("crates/x/src/a.rs", "x".repeat(LINE_CHARS + 1)).len(), 1);
        assert!(says("crates/x/src/a.rs", "fn f() {}\n".to_owned()).is_empty());
    }

    #[test]
    fn a_front_page_without_its_five_parts_is_found() {
        assert_eq!(says("crates/x/src/lib.rs", "mod a;\n".to_owned()).len(), 5);
    }
}
