//! `completion` and `man`: what a package installs beside the program.

use std::path::Path;

use clap::{ArgMatches, Command};
use clap_complete::Shell;

use super::flags::{arguments, rest};
use super::{Failure, Outcome, Output};

pub fn completion_command() -> Command {
    Command::new("completion")
        .about("Print a completion script for a shell")
        .long_about(
            "Prints a script that completes commands and flags. Flags are offered with two dashes, which every \
             command takes as well as one.\n\n    $ source <(meshglass completion bash)",
        )
        .arg(rest("bash|zsh|fish"))
}

pub fn man_command() -> Command {
    Command::new("man")
        .about("Write manual pages")
        .long_about(
            "Writes one manual page per command into DIR, or prints the first one when no DIR is given.\n\n    \
             $ meshglass man /usr/local/share/man/man1",
        )
        .arg(rest("[DIR]"))
}

pub fn completion(mut root: Command, matches: &ArgMatches) -> Outcome {
    let names = arguments(matches);
    let shell = match names.as_slice() {
        [name] if name == "bash" => Shell::Bash,
        [name] if name == "zsh" => Shell::Zsh,
        [name] if name == "fish" => Shell::Fish,
        _ => return Err(Failure::usage("Must name one shell: bash, zsh or fish")),
    };
    let name = root.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut root, name, &mut script);
    Ok(Output::text(String::from_utf8_lossy(&script)))
}

pub fn man(root: Command, matches: &ArgMatches) -> Outcome {
    match arguments(matches).as_slice() {
        [] => {
            let mut page = Vec::new();
            clap_mangen::Man::new(root).render(&mut page).map_err(|e| Failure::new(e.to_string()))?;
            Ok(Output::text(String::from_utf8_lossy(&page)))
        }
        [dir] => {
            std::fs::create_dir_all(dir).map_err(|e| Failure::new(format!("{dir}: {e}")))?;
            clap_mangen::generate_to(root, Path::new(dir)).map_err(|e| Failure::new(format!("{dir}: {e}")))?;
            Ok(Output::default())
        }
        _ => Err(Failure::usage("Must name at most one directory")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crate::commands::tree;

    #[test]
    fn every_shell_completes_every_command() {
        for shell in [clap_complete::Shell::Bash, clap_complete::Shell::Zsh, clap_complete::Shell::Fish] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut tree("meshglass"), "meshglass", &mut script);
            let script = String::from_utf8(script).unwrap();
            for word in ["intention", "sidecar-for", "http-addr"] {
                assert!(script.contains(word), "{shell} {word}");
            }
        }
    }
}
