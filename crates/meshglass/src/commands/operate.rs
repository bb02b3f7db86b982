//! Words for the agent itself: `info`, `reload`, `leave`, `monitor`.

use std::collections::BTreeMap;
use std::io::Write as _;

use bytes::Bytes;
use clap::{ArgMatches, Command};
use http::Method;
use serde_json::Value;

use super::connection::TIMEOUT;
use super::flags::{arguments, given, on, rest, switch, text, with_agent};
use super::{Failure, Outcome, Output, api};

pub fn info_command() -> Command {
    with_agent(Command::new("info"))
        .about("Show figures for operators")
        .long_about("Shows what the agent counts and knows of itself, by part.")
        .arg(rest(""))
}

pub fn leave_command() -> Command {
    with_agent(Command::new("leave"))
        .about("Let the agent leave the cluster and end")
        .long_about("Lets the agent leave the cluster in good order and ends it.")
        .arg(rest(""))
}

pub fn monitor_command() -> Command {
    with_agent(Command::new("monitor"))
        .about("Follow the agent's log")
        .long_about("Shows the agent's log as it is written, until interrupted.")
        .arg(switch("log-json", "Show the log as JSON."))
        .arg(text("log-level", "string", "The least level to show: trace, debug, info (the default), warn or err."))
        .arg(rest(""))
}

pub fn reload_command() -> Command {
    with_agent(Command::new("reload"))
        .about("Let the agent read its files again")
        .long_about("Lets the agent read its configuration files again. Mistakes in them are told in the answer.")
        .arg(rest(""))
}

pub async fn info(matches: &ArgMatches) -> Outcome {
    let api = api(matches)?;
    let answer = api.client.get::<Value>("/v1/agent/self", &api.query()).await;
    let answer = answer.map_err(Failure::about("Error querying agent"))?;
    match serde_json::from_value(answer.value["Stats"].clone()) {
        Ok(stats) => Ok(Output::text(parts(&stats))),
        Err(_) => Err(Failure::new("Agent provided invalid stats")),
    }
}

fn parts(stats: &BTreeMap<String, BTreeMap<String, Value>>) -> String {
    let mut out = String::new();
    for (part, figures) in stats {
        out.push_str(&format!("{part}:\n"));
        for (name, figure) in figures {
            let figure = figure.as_str().map_or_else(|| figure.to_string(), str::to_owned);
            out.push_str(&format!("\t{name} = {figure}\n"));
        }
    }
    out
}

pub async fn reload(matches: &ArgMatches) -> Outcome {
    put(matches, "/v1/agent/reload", "Error reloading").await?;
    Ok(Output::line("Configuration reload triggered"))
}

pub async fn leave(matches: &ArgMatches) -> Outcome {
    let extra = arguments(matches);
    if !extra.is_empty() {
        return Err(Failure::usage(format!("Error found unexpected args: [{}]", extra.join(" "))));
    }
    put(matches, "/v1/agent/leave", "Error leaving").await?;
    Ok(Output::line("Graceful leave complete"))
}

async fn put(matches: &ArgMatches, path: &str, what: &str) -> Result<(), Failure> {
    let api = api(matches)?;
    let answer = api.client.send(Method::PUT, path, Bytes::new(), TIMEOUT).await;
    answer.and_then(client::Raw::success).map_err(Failure::about(what)).map(drop)
}

pub async fn monitor(matches: &ArgMatches) -> Outcome {
    let api = api(matches)?;
    let mut query = api.query().with("loglevel", given(matches, "log-level").unwrap_or("INFO"));
    if on(matches, "log-json") {
        query = query.with("logjson", "true");
    }
    let mut log = tokio::select! {
        log = api.client.follow("/v1/agent/monitor", &query) => log.map_err(Failure::about("Error starting monitor"))?,
        _ = tokio::signal::ctrl_c() => return Ok(Output::default()),
    };
    loop {
        let piece = tokio::select! {
            piece = log.next() => piece,
            // Interrupting is the ordinary end.
            _ = tokio::signal::ctrl_c() => return Ok(Output::default()),
        };
        let Ok(Some(piece)) = piece else { break };
        let mut out = std::io::stdout();
        if out.write_all(&piece).and_then(|()| out.flush()).is_err() {
            return Ok(Output::default());
        }
    }
    let gone = "\nRemote side ended the monitor! This usually means that the\nremote side has exited or crashed.\n";
    Ok(Output { code: 1, ..Output::text(gone) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_stand_below_their_part() {
        let stats = [("raft", [("term", Value::from("2")), ("applied_index", Value::from(12))])];
        let stats = stats.into_iter().map(|(part, figures)| {
            (part.to_owned(), figures.into_iter().map(|(name, figure)| (name.to_owned(), figure)).collect())
        });
        assert_eq!(parts(&stats.collect()), "raft:\n\tapplied_index = 12\n\tterm = 2\n");
    }
}
