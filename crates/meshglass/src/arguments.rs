//! Go's flags, read the way Go reads them and rewritten for clap.
//!
//! Consul's flags have one dash (`-http-addr=…`, `-dev`), which clap reads as a bundle of short ones. The rewriting
//! walks the tree of commands, so it knows which words take a value; what clap then sees is unambiguous.

use clap::{Arg, ArgAction, Command};

/// What the words on the command line ask for.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// A command; the arguments are in clap's form, the program's name first.
    Run(Vec<String>),
    /// The help of the command with this path, because it was asked for.
    Help(Vec<String>),
    Version,
    /// A group without one of its commands, or a word that is none: its help, as an error.
    NoCommand(Vec<String>),
}

/// A flag that cannot be read, in Go's words, and the command it was given to.
#[derive(Debug, PartialEq, Eq)]
pub struct FlagError {
    pub path: Vec<String>,
    pub text: String,
}

/// Rewrites `arguments` (without the program's name) for `root`.
pub fn normalise(root: &Command, arguments: &[String]) -> Result<Request, FlagError> {
    let mut command = root;
    let mut path = Vec::new();
    let mut rest = arguments.iter();
    while command.has_subcommands() {
        let Some(word) = rest.next() else { return Ok(Request::NoCommand(path)) };
        match word.as_str() {
            "-h" | "-help" | "--help" => return Ok(Request::Help(path)),
            "-v" | "-version" | "--version" if path.is_empty() => return Ok(Request::Version),
            word => match command.find_subcommand(word) {
                Some(found) => command = found,
                None => return Ok(Request::NoCommand(path)),
            },
        }
        path.push(word.clone());
    }
    let mut words: Vec<String> = std::iter::once(root.get_name().to_owned()).chain(path.clone()).collect();
    while let Some(word) = rest.next() {
        if word == "--" || word == "-" || !word.starts_with('-') {
            // Go stops at the first argument that is no flag: a flag after it is an argument too.
            let arguments = (word != "--").then_some(word).into_iter().chain(rest);
            words.push("--".to_owned());
            words.extend(arguments.cloned());
            break;
        }
        match flag(command, word, &mut rest) {
            Ok(Some(flag)) => words.push(flag),
            Ok(None) => return Ok(Request::Help(path)),
            Err(text) => return Err(FlagError { path, text }),
        }
    }
    Ok(Request::Run(words))
}

/// One flag in clap's form; `None` when it asks for help.
fn flag<'a>(
    command: &Command,
    word: &str,
    rest: &mut impl Iterator<Item = &'a String>,
) -> Result<Option<String>, String> {
    let bare = word.strip_prefix("--").or_else(|| word.strip_prefix('-')).unwrap_or(word);
    let (name, value) = match bare.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (bare, None),
    };
    if name.is_empty() || name.starts_with('-') {
        return Err(format!("bad flag syntax: {word}"));
    }
    let Some(arg) = command.get_arguments().find(|arg| arg.get_long() == Some(name)) else {
        if name == "h" || name == "help" {
            return Ok(None);
        }
        return Err(format!("flag provided but not defined: -{name}"));
    };
    let value = match value {
        Some(value) if is_bool(arg) => go_bool(value)
            .ok_or_else(|| format!("invalid boolean value \"{value}\" for -{name}: parse error"))?
            .to_string(),
        Some(value) => value.to_owned(),
        None if is_bool(arg) => "true".to_owned(),
        None => rest.next().ok_or_else(|| format!("flag needs an argument: -{name}"))?.clone(),
    };
    Ok(Some(format!("--{name}={value}")))
}

fn is_bool(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Set) && arg.get_num_args().is_some_and(|n| n.min_values() == 0)
}

fn go_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::commands::flags::{list, switch, text};

    fn tree() -> Command {
        let agent = Command::new("agent")
            .arg(switch("dev", ""))
            .arg(switch("ui", ""))
            .arg(list("config-dir", "path", ""))
            .arg(list("hcl", "hcl", ""))
            .arg(text("http-addr", "address", ""))
            .arg(text("http-port", "int", ""));
        let create = Command::new("create")
            .arg(switch("deny", ""))
            .arg(list("meta", "k=v", ""))
            .arg(Arg::new("names").num_args(0..));
        Command::new("consul")
            .subcommand(agent)
            .subcommand(Command::new("intention").subcommand(create))
            .disable_help_subcommand(true)
    }

    fn read(line: &[&str]) -> Result<Request, FlagError> {
        normalise(&tree(), &line.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn flags_are_read_as_go_reads_them() {
        #[rustfmt::skip]
        let table: [(&[&str], &[&str]); 16] = [
            (&["agent"], &["agent"]),
            (&["agent", "-dev"], &["agent", "--dev=true"]),
            (&["agent", "--dev"], &["agent", "--dev=true"]),
            (&["agent", "-dev=false"], &["agent", "--dev=false"]),
            (&["agent", "-ui=0", "-dev=T"], &["agent", "--ui=false", "--dev=true"]),
            (&["agent", "-http-addr=a:1"], &["agent", "--http-addr=a:1"]),
            (&["agent", "-http-addr", "a:1"], &["agent", "--http-addr=a:1"]),
            (&["agent", "-http-addr", "-dev"], &["agent", "--http-addr=-dev"]),
            (&["agent", "-http-addr="], &["agent", "--http-addr="]),
            (&["agent", "-http-port", "-1"], &["agent", "--http-port=-1"]),
            (&["agent", "-config-dir", "a", "-config-dir=b"], &["agent", "--config-dir=a", "--config-dir=b"]),
            (&["agent", "-hcl", "a = \"=\""], &["agent", "--hcl=a = \"=\""]),
            (&["agent", "-dev", "extra", "-ui"], &["agent", "--dev=true", "--", "extra", "-ui"]),
            (&["agent", "--", "-dev"], &["agent", "--", "-dev"]),
            (&["intention", "create", "-deny", "*", "db"], &["intention", "create", "--deny=true", "--", "*", "db"]),
            (&["intention", "create", "-meta", "a=b", "-"], &["intention", "create", "--meta=a=b", "--", "-"]),
        ];
        for (given, meant) in table {
            let words = std::iter::once("consul").chain(meant.iter().copied()).map(str::to_owned).collect();
            assert_eq!(read(given), Ok(Request::Run(words)), "{given:?}");
        }
    }

    #[test]
    fn help_version_and_missing_commands_are_told_apart() {
        let path = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        assert_eq!(read(&["-h"]), Ok(Request::Help(vec![])));
        assert_eq!(read(&["--version"]), Ok(Request::Version));
        assert_eq!(read(&[]), Ok(Request::NoCommand(vec![])));
        assert_eq!(read(&["nope"]), Ok(Request::NoCommand(vec![])));
        assert_eq!(read(&["intention", "nope"]), Ok(Request::NoCommand(path(&["intention"]))));
        assert_eq!(read(&["intention", "-help"]), Ok(Request::Help(path(&["intention"]))));
        assert_eq!(read(&["agent", "-dev", "--help"]), Ok(Request::Help(path(&["agent"]))));
    }

    #[test]
    fn mistakes_are_told_in_go_s_words() {
        for (given, text) in [
            ("-nope", "flag provided but not defined: -nope"),
            ("--nope=1", "flag provided but not defined: -nope"),
            ("-http-addr", "flag needs an argument: -http-addr"),
            ("-dev=maybe", "invalid boolean value \"maybe\" for -dev: parse error"),
            ("---dev", "bad flag syntax: ---dev"),
            ("-=x", "bad flag syntax: -=x"),
        ] {
            assert_eq!(read(&["agent", given]).unwrap_err().text, text);
        }
    }
}
