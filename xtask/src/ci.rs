//! The tasks that judge the tree. Each ends with a plain `N passed, N failed` line, so that a reader and a machine
//! agree.

use std::path::Path;

use crate::run::{Outcome, in_ci, root, run, run_tee, run_with, target};
use crate::{tidy, tools};

/// Formatting, lints, documentation, the project's own rules and the licences. Never writes to the tree.
pub fn check() -> Outcome {
    run("cargo", &["fmt", "--all", "--check"])?;
    run("cargo", &["clippy", "--workspace", "--all-targets", "--locked", "--quiet", "--", "-D", "warnings"])?;
    let doc = ["doc", "--workspace", "--no-deps", "--locked", "--quiet"];
    run_with("cargo", &doc, &[("RUSTDOCFLAGS", "-D warnings")])?;
    tidy::run()
}

pub fn fix() -> Outcome {
    run("cargo", &["fmt", "--all"])?;
    run("cargo", &["clippy", "--workspace", "--all-targets", "--fix", "--allow-dirty", "--allow-staged", "--quiet"])
}

/// Our own tests, then everything that is judged by something we did not write.
pub fn test(only: Option<&str>) -> Outcome {
    let mut table = Table::default();
    table.add("cargo test", cargo_test(only));
    if only.is_none() {
        judges(&mut table, None);
    }
    table.print()
}

pub fn conformance(only: Option<&str>) -> Outcome {
    let mut table = Table::default();
    judges(&mut table, only);
    table.print()
}

fn cargo_test(only: Option<&str>) -> Result<Counts, String> {
    let package = only.map(|name| if name == "xtask" { name.to_owned() } else { format!("meshglass-{name}") });
    let package = package.map(|name| if name == "meshglass-meshglass" { "meshglass".to_owned() } else { name });
    let mut args = vec!["test", "--locked", "--no-fail-fast"];
    match &package {
        Some(name) => args.extend(["--package", name]),
        None => args.push("--workspace"),
    }
    let (outcome, text) = run_tee("cargo", &args, &[]);
    let counts = Counts::of_cargo(&text);
    match outcome {
        Ok(()) if counts.passed == 0 => Err("no test ran".to_owned()),
        Err(problem) if counts.failed == 0 => Err(problem),
        _ => Ok(counts),
    }
}

/// The outside judges: each a script in `conformance/<name>/run.py` that prints `N passed, N failed`.
fn judges(table: &mut Table, only: Option<&str>) {
    if let Err(problem) = tools::fetch().and_then(|()| run("cargo", &["build", "--locked", "--package", "meshglass"])) {
        table.add("build and tools", Err(problem));
        return;
    }
    let binary = target().join("debug/meshglass");
    let python = tools::python();
    for name in judge_names(&root().join("conformance")) {
        if only.is_some_and(|only| only != name) {
            continue;
        }
        let script = format!("conformance/{name}/run.py");
        let environment = [
            ("MESHGLASS_BIN", binary.to_str().unwrap_or_default()),
            ("MESHGLASS_TOOLS", &tools::folder().display().to_string()),
        ];
        let (outcome, text) = run_tee(&python.display().to_string(), &[&script], &environment);
        let counts = Counts::last_line(&text);
        table.add(&name, counts.ok_or(()).or_else(|()| outcome.and(Err("printed no count".to_owned()))));
    }
}

fn judge_names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().join("run.py").exists())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Builds the fuzz workspace and lets each target run.
pub fn fuzz(smoke: bool) -> Outcome {
    let mut table = Table::default();
    fuzz_into(&mut table, smoke);
    table.print()
}

fn fuzz_into(table: &mut Table, smoke: bool) {
    let seconds = if smoke { "5" } else { "60" };
    let target_dir = target().display().to_string();
    // The same target folder, so that the crates under test are not compiled a second time.
    let environment = [("CARGO_TARGET_DIR", target_dir.as_str())];
    for name in fuzz_targets() {
        let manifest = ["run", "--quiet", "--manifest-path", "fuzz/Cargo.toml", "--bin", &name];
        let args: Vec<&str> = manifest.into_iter().chain(["--", "--seconds", seconds]).collect();
        let outcome = run_with("cargo", &args, &environment);
        table.add(&format!("fuzz {name}"), outcome.map(|()| Counts { passed: 1, failed: 0 }));
    }
}

fn fuzz_targets() -> Vec<String> {
    let manifest = std::fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap_or_default();
    let mut names = Vec::new();
    let mut in_bin = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            in_bin = line == "[[bin]]";
        }
        if let Some(name) = line.strip_prefix("name = \"").filter(|_| in_bin) {
            names.push(name.trim_end_matches('"').to_owned());
        }
    }
    names
}

/// Rewrites the goldens; look at the difference before committing it.
pub fn bless() -> Outcome {
    run_with("cargo", &["test", "--workspace", "--locked", "--quiet"], &[("BLESS", "1"), ("INSTA_UPDATE", "always")])?;
    run("git", &["--no-pager", "diff", "--stat"])
}

/// Everything, in the order in which it is cheapest to fail.
pub fn ci() -> Outcome {
    let mut table = Table::default();
    let checked = check();
    let go_on = checked.is_ok() || !in_ci();
    table.add("check", checked.map(|()| Counts { passed: 1, failed: 0 }));
    if go_on {
        table.add("cargo test", cargo_test(None));
        judges(&mut table, None);
        fuzz_into(&mut table, true);
    }
    table.print()
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    passed: usize,
    failed: usize,
}

impl Counts {
    /// The sum over every `test result:` line of cargo.
    fn of_cargo(text: &str) -> Self {
        let mut counts = Self::default();
        for line in text.lines().filter(|line| line.starts_with("test result:")) {
            counts.passed += number_before(line, " passed");
            counts.failed += number_before(line, " failed");
        }
        counts
    }

    /// The last line of the form `N passed, N failed`.
    fn last_line(text: &str) -> Option<Self> {
        let line = text.lines().rev().find(|line| line.contains(" passed, ") && line.contains(" failed"))?;
        Some(Self { passed: number_before(line, " passed"), failed: number_before(line, " failed") })
    }
}

fn number_before(line: &str, word: &str) -> usize {
    let Some(end) = line.find(word) else { return 0 };
    let start = line[..end].rfind(|c: char| !c.is_ascii_digit()).map_or(0, |i| i + 1);
    line[start..end].parse().unwrap_or(0)
}

#[derive(Default)]
struct Table(Vec<(String, Result<Counts, String>)>);

impl Table {
    fn add(&mut self, name: &str, result: Result<Counts, String>) {
        self.0.push((name.to_owned(), result));
    }

    fn print(self) -> Outcome {
        let mut total = Counts::default();
        println!();
        for (name, result) in &self.0 {
            match result {
                Ok(Counts { passed, failed }) => {
                    println!("{name:<24} {passed:>5} passed {failed:>4} failed");
                    total.passed += passed;
                    total.failed += failed;
                }
                Err(problem) => {
                    println!("{name:<24}       failed: {problem}");
                    total.failed += 1;
                }
            }
        }
        println!("\n{} passed, {} failed", total.passed, total.failed);
        if total.failed == 0 && total.passed > 0 { Ok(()) } else { Err(format!("{} failed", total.failed)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_from_both_kinds_of_runner() {
        let cargo =
            "test result: ok. 5 passed; 0 failed; 0 ignored\nx\ntest result: FAILED. 2 passed; 1 failed; 0 ignored\n";
        assert_eq!(Counts::of_cargo(cargo), Counts { passed: 7, failed: 1 });
        assert_eq!(Counts::last_line("ok\n12 passed, 0 failed\nbye\n"), Some(Counts { passed: 12, failed: 0 }));
        assert_eq!(Counts::last_line("nothing"), None);
    }
}
