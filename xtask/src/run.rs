//! Running other programs: what is run is said, and how it ended is checked.

use std::path::PathBuf;
use std::process::{Command, Stdio};

pub type Outcome = Result<(), String>;

/// The root of the checkout, whatever folder the task was called from.
pub fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map(PathBuf::from).unwrap_or(here)
}

/// Where cargo puts what it builds.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// True where a missing outside part is a failure and not a skip.
pub fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}

pub fn command(program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).current_dir(root());
    command
}

/// Runs with the output shown; anything but exit code 0 is an error.
pub fn run(program: &str, args: &[&str]) -> Outcome {
    run_with(program, args, &[])
}

pub fn run_with(program: &str, args: &[&str], environment: &[(&str, &str)]) -> Outcome {
    println!("$ {program} {}", args.join(" "));
    let status = command(program, args)
        .envs(environment.iter().copied())
        .status()
        .map_err(|error| format!("{program} could not be started: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{program} {} ended with {status}", args.join(" "))) }
}

/// Runs with standard output shown *and* given back, for counting.
pub fn run_tee(program: &str, args: &[&str], environment: &[(&str, &str)]) -> (Outcome, String) {
    use std::io::{BufRead, BufReader};
    println!("$ {program} {}", args.join(" "));
    let child = command(program, args).envs(environment.iter().copied()).stdout(Stdio::piped()).spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => return (Err(format!("{program} could not be started: {error}")), String::new()),
    };
    let mut text = String::new();
    if let Some(out) = child.stdout.take() {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            println!("{line}");
            text.push_str(&line);
            text.push('\n');
        }
    }
    let outcome = match child.wait() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{program} {} ended with {status}", args.join(" "))),
        Err(error) => Err(format!("{program}: {error}")),
    };
    (outcome, text)
}

/// Standard output of a program that must succeed.
pub fn output(program: &str, args: &[&str]) -> Result<String, String> {
    let out = command(program, args).output().map_err(|error| format!("{program} could not be started: {error}"))?;
    if !out.status.success() {
        let errors = String::from_utf8_lossy(&out.stderr).into_owned();
        return Err(format!("{program} {} ended with {}: {errors}", args.join(" "), out.status));
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}
