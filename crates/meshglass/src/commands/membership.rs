//! `join` and `force-leave`: who belongs to the cluster.

use bytes::Bytes;
use clap::{ArgMatches, Command};
use http::Method;

use super::connection::TIMEOUT;
use super::flags::{arguments, on, rest, switch, with_agent};
use super::{Failure, Outcome, Output, api};

pub fn join_command() -> Command {
    with_agent(Command::new("join"))
        .about("Let the agent join a cluster")
        .long_about("Tells the agent to join the cluster of the members at these addresses.")
        .arg(switch("wan", "Join servers of another datacenter."))
        .arg(rest("address ..."))
}

pub fn force_leave_command() -> Command {
    with_agent(Command::new("force-leave"))
        .about("Take a failed node out of the cluster")
        .long_about(
            "Says of a failed member that it has left, so that nobody waits for it. A member that is alive after all \
             comes back.",
        )
        .arg(switch("prune", "Forget the member altogether."))
        .arg(rest("name"))
}

pub async fn join(matches: &ArgMatches) -> Outcome {
    let addresses = arguments(matches);
    if addresses.is_empty() {
        return Err(Failure::usage("At least one address to join must be specified.\n"));
    }
    let api = api(matches)?;
    let query = if on(matches, "wan") { api.query().with("wan", "1") } else { api.query() };
    let (mut joined, mut stderr) = (0, String::new());
    for address in &addresses {
        let path = query.path(&format!("/v1/agent/join/{}", client::escape(address)));
        let answer = api.client.send(Method::PUT, &path, Bytes::new(), TIMEOUT).await;
        match answer.and_then(client::Raw::success) {
            Ok(_) => joined += 1,
            Err(error) => stderr.push_str(&format!("Error joining address '{address}': {error}\n")),
        }
    }
    if joined == 0 {
        stderr.push_str("Failed to join any nodes.\n");
        return Ok(Output { code: 1, stderr, ..Output::default() });
    }
    Ok(Output { stderr, ..Output::line(format!("Successfully joined cluster by contacting {joined} nodes.")) })
}

pub async fn force_leave(matches: &ArgMatches) -> Outcome {
    let arguments = arguments(matches);
    let [name] = arguments.as_slice() else {
        return Err(Failure::usage("A single node name must be specified to force leave.\n"));
    };
    let api = api(matches)?;
    let query = if on(matches, "prune") { api.query().with("prune", "1") } else { api.query() };
    let path = query.path(&format!("/v1/agent/force-leave/{}", client::escape(name)));
    let answer = api.client.send(Method::PUT, &path, Bytes::new(), TIMEOUT).await;
    answer.and_then(client::Raw::success).map_err(Failure::about("Error force leaving"))?;
    Ok(Output::default())
}
