//! All automation of the project: `cargo xtask <task>`. One tool, no shell scripts to keep in step.

mod ci;
mod figures;
mod run;
mod tidy;
mod tools;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask <task>

  check            format, clippy, docs, tidy and licences; never writes
  fix              rustfmt and clippy's own fixes
  test [crate]     unit and crate tests (of one crate), then the outside judges in conformance/
  conformance [W]  only the outside judges, or the one named W
  fuzz [--smoke]   the fuzz targets: a few seconds each with --smoke, a minute each without
  tools            fetch the outside parts that the tests use into target/tools
  bless            rewrite golden files from what the code says now
  figures          measure the figures that the README quotes
  tidy             only the project's own rules
  ci               check, test, smokes; one table at the end
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let rest: Vec<&str> = args.iter().skip(1).map(String::as_str).collect();
    let result = match args.first().map(String::as_str) {
        Some("check") => ci::check(),
        Some("fix") => ci::fix(),
        Some("test") => ci::test(rest.first().copied()),
        Some("conformance") => ci::conformance(rest.first().copied()),
        Some("fuzz") => ci::fuzz(rest.contains(&"--smoke")),
        Some("tools") => tools::fetch(),
        Some("bless") => ci::bless(),
        Some("figures") => figures::measure(),
        Some("tidy") => tidy::run(),
        Some("ci") => ci::ci(),
        _ => {
            eprint!("{HELP}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("xtask: {problem}");
            ExitCode::FAILURE
        }
    }
}
