//! `demo`

use std::process::ExitCode;

use clap::{ArgMatches, Command};

use super::flags::{arguments, every, list, number, rest, text};
use super::{Failure, runtime};
use crate::demo::DemoFlags;

pub fn command() -> Command {
    Command::new("demo")
        .about("Run a whole application with its mesh, to look at")
        .long_about(
            "Starts an agent, the services of an application with a sidecar each, and traffic through them, all in \
             this process. Nothing is kept. Ctrl-C ends it.\n\n    $ meshglass demo\n    \
             $ meshglass demo --fault errors:emojify-cache#1:30%",
        )
        .arg(list("fault", "kind:target:value", "Start with this fault: errors, latency or hang."))
        .arg(number("ports-from", "Take all ports from this one on instead of 8500 and the like."))
        .arg(text("rate", "number", "Requests per second."))
        .arg(rest(""))
}

pub fn run(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let extra = arguments(matches);
    if !extra.is_empty() {
        return Err(Failure::usage(format!("Unexpected extra arguments: [{}]", extra.join(" "))));
    }
    let rate = decimal(matches, "rate")?;
    let ports_from = match matches.get_one::<i64>("ports-from") {
        None => None,
        Some(port) => Some(
            u16::try_from(*port)
                .map_err(|_| Failure::new(format!("--ports-from {port}: expected a port from 1 to 65535")))?,
        ),
    };
    let flags = DemoFlags { faults: every(matches, "fault"), ports_from, rate };
    match runtime()?.block_on(crate::demo::run(flags)) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(Failure::new(error.to_string())),
    }
}

fn decimal(matches: &ArgMatches, name: &str) -> Result<Option<f64>, Failure> {
    let Some(text) = super::flags::given(matches, name) else { return Ok(None) };
    match text.parse::<f64>() {
        Ok(number) => Ok(Some(number)),
        Err(_) => Err(Failure::new(format!("--{name} {text}: expected a number"))),
    }
}
