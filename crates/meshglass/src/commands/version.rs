//! `version`

use clap::{ArgMatches, Command};
use serde_json::json;

use super::flags::{given, text as value};
use super::{Failure, Outcome, Output};

/// The version of Consul whose answers this program gives. Scripts read it out of the first line.
pub const SPEAKS_CONSUL: &str = "1.8.7";

pub fn command() -> Command {
    Command::new("version")
        .about("Print the version")
        .long_about("Prints the version of this program and the version of Consul whose behaviour it follows.")
        .arg(value("format", "string", "How to print it: pretty (the default) or json."))
        .arg(super::flags::rest("").hide(true))
}

pub fn run(name: &str, matches: &ArgMatches) -> Outcome {
    match given(matches, "format") {
        None | Some("pretty") => Ok(Output::text(text(name))),
        Some("json") => {
            let version = json!({
                "Version": SPEAKS_CONSUL, "Revision": "", "Prerelease": "",
                "Meshglass": env!("CARGO_PKG_VERSION"), "RPC": { "Default": 2, "Min": 2, "Max": 3 },
            });
            Ok(Output::line(super::json::indent(&version.to_string(), "   ")))
        }
        Some(other) => Err(Failure::new(format!("Unknown format: {other}"))),
    }
}

/// Called as `consul`, the first line is what scripts that parse Consul's version expect.
pub fn text(name: &str) -> String {
    let ours = env!("CARGO_PKG_VERSION");
    if name == "consul" {
        format!("Consul v{SPEAKS_CONSUL}\nAnswered by Meshglass v{ours}\n")
    } else {
        format!("Meshglass v{ours}\nAnswers as Consul v{SPEAKS_CONSUL}\n")
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn scripts_find_consul_s_version_first() {
        assert!(super::text("consul").starts_with("Consul v1."));
        assert!(super::text("meshglass").contains("Consul v1."));
    }
}
