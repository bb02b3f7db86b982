//! `event`: tells every node, or some, that something happened.

use clap::{ArgMatches, Command};
use client::EventFilter;

use super::flags::{arguments, given, rest, text, with_agent, with_datacenter};
use super::{Failure, Outcome, Output, agent_name, api, pattern};

pub fn command() -> Command {
    with_filters(with_datacenter(with_agent(Command::new("event"))))
        .about("Fire an event")
        .long_about(
            "Fires an event with a name and, if wanted, a payload. Watches and the API of every node that the \
             filters leave see it.\n\n    $ consul event -name deploy 1.2.3",
        )
        .arg(text("name", "string", "The event's name."))
        .arg(rest("[payload]"))
}

/// Regular expressions that say which nodes are meant; also those of `exec`.
pub fn with_filters(command: Command) -> Command {
    command
        .arg(text("node", "string", "Only nodes whose name this regular expression matches."))
        .arg(text("service", "string", "Only nodes with a service whose name this regular expression matches."))
        .arg(text("tag", "string", "With -service: only if this regular expression matches one of its tags."))
}

/// The filters, judged.
pub fn filters(matches: &ArgMatches) -> Result<EventFilter, Failure> {
    let get = |name| given(matches, name).unwrap_or_default().to_owned();
    let filter = EventFilter { node: get("node"), service: get("service"), tag: get("tag") };
    pattern::check("node", &filter.node)?;
    pattern::check("service", &filter.service)?;
    pattern::check("tag", &filter.tag)?;
    if !filter.tag.is_empty() && filter.service.is_empty() {
        return Err(Failure::new("Cannot provide tag filter without service filter."));
    }
    Ok(filter)
}

pub async fn run(matches: &ArgMatches) -> Outcome {
    let payload = match arguments(matches).as_slice() {
        [] => String::new(),
        [payload] => payload.clone(),
        _ => return Err(Failure::usage("Too many command line arguments.\n")),
    };
    let name = given(matches, "name").ok_or_else(|| Failure::usage("Event name must be specified\n"))?;
    let filter = filters(matches)?;
    let api = api(matches)?;
    agent_name(&api).await?;
    let id = api.client.event_fire(name, payload.into(), &filter, &api.query()).await;
    let id = id.map_err(Failure::about("Error firing event"))?;
    Ok(Output::line(format!("Event ID: {id}")))
}
