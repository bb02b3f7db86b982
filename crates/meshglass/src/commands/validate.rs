//! `validate`

use clap::{ArgMatches, Command};

use super::flags::{arguments, rest, switch, text};
use super::{Failure, Outcome};

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
    if arguments(matches).is_empty() {
        return Err(Failure::new("Must specify at least one config file or directory"));
    }
    Err(Failure::new("not yet"))
}
