//! `exec`: runs a command on many nodes, by way of keys, a session and an event.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::time::{Duration, Instant};

use clap::{ArgMatches, Command};
use client::{Client, Condition, EventFilter, KeptSession, KvPair, NewSession, Query};
use serde_json::{Value, json};

use super::event::{filters, with_filters};
use super::flags::{arguments, duration, given, on, rest, state, switch, text, with_server};
use super::terminal::{Interrupts, complain, say};
use super::{Failure, Outcome, Output, api, base64};

const SESSION_TTL: Duration = Duration::from_secs(15);
/// The event that agents listen for.
const EVENT: &str = "_rexec";
const PREFIX: &str = "_rexec";
const QUIET: Duration = Duration::from_secs(1);
const REPLICATION: Duration = Duration::from_millis(200);
/// Exit code when a node's command failed or did not end.
const FAILED: u8 = 2;

pub fn command() -> Command {
    with_filters(with_server(Command::new("exec")))
        .about("Run a command on many nodes")
        .long_about(
            "Runs a command on all nodes whose agents allow it (`disable_remote_exec = false`) and that the filters \
             leave. `-` reads a script from standard input.\n\n    $ consul exec -service web uptime",
        )
        .arg(text("prefix", "string", "Where in the key-value store the request is kept. Default: `_rexec`."))
        .arg(switch("shell", "Run the command in a shell. Default: true."))
        .arg(switch("verbose", "Tell every step."))
        .arg(text("wait", "duration", "End when nobody has said anything for this long. Default: 1s."))
        .arg(text("wait-repl", "duration", "Wait for this long until all servers have the request. Default: 200ms."))
        .arg(rest("[-|command...]"))
}

/// What is asked for, judged.
struct Request {
    prefix: String,
    filter: EventFilter,
    job: Value,
    quiet: Duration,
    replication: Duration,
    verbose: bool,
}

impl Request {
    fn read(matches: &ArgMatches) -> Result<Self, Failure> {
        let words = arguments(matches);
        if words.is_empty() || words == [""] {
            return Err(Failure::usage("Must specify a command to execute\n"));
        }
        let shell = state(matches, "shell") != Some(false);
        let quiet = duration(matches, "wait", QUIET)?;
        let mut job = if words == ["-"] {
            if !shell {
                return Err(Failure::new("Cannot configure -shell=false when reading from stdin"));
            }
            let mut script = Vec::new();
            let read = std::io::stdin().read_to_end(&mut script);
            read.map_err(|e| Failure::new(format!("Failed to read stdin: {e}")))?;
            json!({ "Script": base64::encode(&script) })
        } else if shell {
            json!({ "Command": words.join(" ") })
        } else {
            json!({ "Args": words })
        };
        job["Wait"] = json!(u64::try_from(quiet.as_nanos()).unwrap_or(u64::MAX));
        Ok(Self {
            prefix: given(matches, "prefix").unwrap_or(PREFIX).to_owned(),
            filter: filters(matches)?,
            job,
            quiet,
            replication: duration(matches, "wait-repl", REPLICATION)?,
            verbose: on(matches, "verbose"),
        })
    }

    fn tell(&self, text: impl std::fmt::Display) {
        if self.verbose {
            say(text);
        }
    }
}

pub async fn run(matches: &ArgMatches) -> Outcome {
    let request = Request::read(matches)?;
    let api = api(matches)?;
    let own = api.client.get::<Value>("/v1/agent/self", &Query::default()).await;
    let own = own.map_err(Failure::about("Error querying Consul agent"))?.value;
    let (mut interrupts, query) = (Interrupts::listen()?, api.query());
    let session = session(&api.client, &query, &own, given(matches, "datacenter")).await?;
    request.tell(format!("Created remote execution session: {}", session.id));
    let directory = format!("{}/{}", request.prefix.trim_end_matches('/'), session.id);
    let outcome = tokio::select! {
        outcome = perform(&request, &api.client, &query, &session.id, &directory) => outcome,
        () = interrupts.next() => Ok(1),
    };
    // The session's end would delete the keys too, but only those of nodes that locked them.
    if let Err(error) = api.client.kv_delete_tree(&directory, &query).await {
        complain(format!("Failed to cleanup session data: {error}"));
    }
    if let Err(error) = session.end().await {
        complain(format!("Failed to destroy session: {error}"));
    }
    outcome.map(|code| Output { code, ..Output::default() })
}

/// In another datacenter a session belongs to one of its servers, and to none of its checks.
async fn session(
    client: &Client,
    query: &Query,
    own: &Value,
    datacenter: Option<&str>,
) -> Result<KeptSession, Failure> {
    let text = |name: &str| own["Config"][name].as_str().unwrap_or_default().to_owned();
    let mut session = NewSession {
        name: "Remote Exec".to_owned(),
        behavior: "delete".to_owned(),
        ttl: SESSION_TTL,
        ..NewSession::default()
    };
    if datacenter.is_some_and(|datacenter| datacenter != text("Datacenter")) {
        let query = query.clone().with("passing", "1");
        let servers = client.get::<Vec<Value>>("/v1/health/service/consul", &query).await;
        let servers = servers.map_err(Failure::about("Failed to find Consul server in remote datacenter"))?.value;
        let node = servers.first().and_then(|server| server["Node"]["Node"].as_str());
        let node = node.ok_or_else(|| Failure::new("Failed to find Consul server in remote datacenter"))?;
        node.clone_into(&mut session.node);
        session.name = format!("Remote Exec via {}@{}", text("NodeName"), text("Datacenter"));
        session.checks = Some(Vec::new());
    }
    KeptSession::create(client, &session, query).await.map_err(Failure::about("Failed to create session"))
}

async fn perform(
    request: &Request,
    client: &Client,
    query: &Query,
    session: &str,
    directory: &str,
) -> Result<u8, Failure> {
    let job = KvPair { key: format!("{directory}/job"), value: request.job.to_string().into(), ..KvPair::default() };
    let uploaded = client.kv_put(&job, Condition::Acquire(session), query).await;
    if !uploaded.map_err(Failure::about("Failed to create job file"))? {
        return Err(Failure::new("Failed to create job file: failed to acquire key"));
    }
    request.tell("Uploaded remote execution spec");
    tokio::time::sleep(request.replication).await;
    let payload = json!({ "Prefix": request.prefix, "Session": session }).to_string();
    let event = client.event_fire(EVENT, payload.into(), &request.filter, query).await;
    let event = event.map_err(Failure::about("Failed to fire event"))?;
    request.tell(format!("Fired remote execution event: {event}"));
    collect(request, client, query, directory).await
}

/// What nodes said so far.
struct Progress {
    seen: BTreeSet<String>,
    acknowledged: u32,
    ended: u32,
    failed: u32,
    last_said: Instant,
}

/// Shows what the nodes write until all is quiet.
async fn collect(request: &Request, client: &Client, query: &Query, directory: &str) -> Result<u8, Failure> {
    let started = Instant::now();
    let below = format!("{directory}/");
    let mut progress =
        Progress { seen: BTreeSet::new(), acknowledged: 0, ended: 0, failed: 0, last_said: Instant::now() };
    let mut index = 0;
    loop {
        // Nodes that are still at work get more time.
        let quiet = if progress.acknowledged > progress.ended { request.quiet * 2 } else { request.quiet };
        let left = quiet.saturating_sub(progress.last_said.elapsed());
        if left.is_zero() {
            break;
        }
        let blocking = Query { index: Some(index).filter(|index| *index > 0), wait: Some(left), ..query.clone() };
        let Ok(answer) = tokio::time::timeout(left, client.kv_keys(&below, "", &blocking)).await else { continue };
        let answer = answer.map_err(Failure::about("Failed to read results"))?;
        index = answer.index;
        let mut new: Vec<String> = answer.value.into_iter().filter(|key| progress.seen.insert(key.clone())).collect();
        // A node writes its output before its exit code; read at once, they come by name.
        new.sort_by_key(|key| key.ends_with("/exit"));
        for key in new {
            take(request, client, query, &mut progress, &below, &key).await?;
        }
    }
    say(format!("{} / {} node(s) completed / acknowledged", progress.ended, progress.acknowledged));
    request.tell(format!("Completed in {:.2} seconds", started.elapsed().as_secs_f64()));
    let failed = progress.failed > 0 || progress.ended < progress.acknowledged;
    Ok(if failed { FAILED } else { 0 })
}

/// One new key: `job`, or `<node>/ack`, `<node>/exit`, `<node>/out/<n>`.
async fn take(
    request: &Request,
    client: &Client,
    query: &Query,
    progress: &mut Progress,
    below: &str,
    key: &str,
) -> Result<(), Failure> {
    let Some((node, rest)) = key.strip_prefix(below).and_then(|key| key.split_once('/')) else { return Ok(()) };
    progress.last_said = Instant::now();
    if rest == "ack" {
        progress.acknowledged += 1;
        request.tell(format!("==> {node}: acknowledged"));
        return Ok(());
    }
    let pair = client.kv(key, query).await.map_err(Failure::about("Failed to read results"))?.value;
    let text = String::from_utf8_lossy(&pair.unwrap_or_default().value).into_owned();
    if rest == "exit" {
        let code: i64 = text.trim().parse().unwrap_or(-1);
        progress.ended += 1;
        progress.failed += u32::from(code != 0);
        say(format!("==> {node}: finished with exit code {code}"));
    } else if rest.starts_with("out/") {
        for line in text.split('\n') {
            say(format!("    {node}: {line}").trim_end());
        }
    } else {
        complain(format!("Unknown key \"{key}\", ignoring."));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(words: &[&str]) -> Result<Request, Failure> {
        let words = std::iter::once("exec").chain(words.iter().copied());
        Request::read(&command().try_get_matches_from(words).unwrap())
    }

    #[test]
    fn the_job_is_what_agents_read() {
        let job = |words: &[&str]| read(words).unwrap().job;
        assert_eq!(job(&["--wait=2s", "echo", "hi"]), json!({"Command": "echo hi", "Wait": 2_000_000_000_u64}));
        let direct = json!({"Args": ["echo", "hi"], "Wait": 1_000_000_000_u64});
        assert_eq!(job(&["--shell=false", "echo", "hi"]), direct);
        assert_eq!(read(&[]).err().unwrap().text, "Must specify a command to execute\n");
        let text = read(&["--tag=x", "a"]).err().unwrap().text;
        assert_eq!(text, "Cannot provide tag filter without service filter.");
    }
}
