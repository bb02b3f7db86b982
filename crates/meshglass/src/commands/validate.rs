//! `validate`

use clap::{ArgMatches, Command};

use super::flags::{arguments, given, on, rest, switch, text};
use super::{Failure, Outcome, Output, with_place};
use crate::config;

pub fn command() -> Command {
    Command::new("validate")
        .about("Check configuration files")
        .long_about(
            "Reads files, or all .hcl and .json files of directories, as an agent would, and says what is wrong.",
        )
        .arg(text("config-format", "string", "The format of all files: hcl or json. Default: by their names."))
        .arg(switch("quiet", "Say nothing when all is well."))
        .arg(rest("FILE_OR_DIRECTORY..."))
}

pub fn run(matches: &ArgMatches) -> Outcome {
    let paths = arguments(matches);
    if paths.is_empty() {
        return Err(Failure::new("Must specify at least one config file or directory"));
    }
    let lines = config::validate(&paths, given(matches, "config-format")).map_err(|error| {
        let text = format!("Config validation failed: {}", error.consul_text());
        Failure::new(with_place(text, &error.to_string()))
    })?;
    let stderr = lines.iter().map(|line| format!("{line}\n")).collect();
    let stdout = if on(matches, "quiet") { String::new() } else { "Configuration is valid!\n".to_owned() };
    Ok(Output { stdout, stderr, ..Output::default() })
}
