//! The figures that the README quotes, measured again on this machine.

use crate::run::{Outcome, run, run_with, target};
use crate::tools;

/// Builds the release binary and lets `bench/figures.py` measure it.
pub fn measure() -> Outcome {
    run("cargo", &["build", "--release", "--locked", "--package", "meshglass"])?;
    tools::fetch()?;
    let binary = target().join("release/meshglass").display().to_string();
    run_with(&tools::python().display().to_string(), &["bench/figures.py"], &[("MESHGLASS_BIN", &binary)])
}
