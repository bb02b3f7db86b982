//! Commands that `exec` asks nodes to run: an event names a session, and below it stand the request and the answers.
//!
//! Off unless the configuration says `disable_remote_exec = false`: whoever may write keys and fire events runs
//! programs as this agent's user.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use client::{Client, Condition, Event, KvPair, Query};
use serde::Deserialize;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::Semaphore;
use tracing::{debug, warn};

use crate::program::Program;

const EVENT: &str = "_rexec";
/// One blocking read of the events.
const WAIT: Duration = Duration::from_secs(300);
/// After a failed read.
const RETRY: Duration = Duration::from_secs(5);
/// Commands that run at once; later ones wait.
const RUNNING_LIMIT: usize = 16;
/// Output is written when this much of it is there, or when none came for as long as the request says.
const CHUNK_BYTES: usize = 4 << 10;
/// Chunks of one command; what comes after them is read and dropped.
const CHUNK_LIMIT: u32 = 0xfffff;
/// The request's wait, held within reason.
const IDLE: std::ops::RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(60);
/// Exit code of what could not be started.
const NOT_STARTED: i32 = 255;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Payload {
    prefix: String,
    session: String,
}

/// What is to be run: a line for the shell, a program, or a script.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Job {
    command: String,
    args: Vec<String>,
    /// Base64.
    script: Option<String>,
    /// Nanoseconds.
    wait: u64,
}

/// Where answers go.
struct Answers {
    client: Client,
    session: String,
    /// `<prefix>/<session>/<node>/`
    below: String,
}

/// Serves requests for this node until it is dropped. `client` has the agent's token.
pub async fn serve(client: Client, node: String) {
    let permits = Arc::new(Semaphore::new(RUNNING_LIMIT));
    // Those that were fired before this agent ran are not for it.
    let mut seen = None;
    loop {
        let query = seen.map_or_else(Query::default, |index| Query::blocking(index, WAIT));
        let answer = match client.event_list(EVENT, &query).await {
            Ok(answer) => answer,
            Err(error) => {
                debug!(%error, "remote exec: events not read");
                tokio::time::sleep(RETRY).await;
                continue;
            }
        };
        if let Some(seen) = seen {
            let old = answer.value.iter().position(|event| event.index() == seen).map_or(0, |at| at + 1);
            for event in answer.value.into_iter().skip(old) {
                let (client, node, permits) = (client.clone(), node.clone(), Arc::clone(&permits));
                tokio::spawn(async move {
                    let Ok(_permit) = permits.acquire_owned().await else { return };
                    if let Err(why) = handle(&client, &node, &event).await {
                        warn!(event = %event.id, "remote exec: {why}");
                    }
                });
            }
        }
        seen = Some(answer.index);
    }
}

async fn handle(client: &Client, node: &str, event: &Event) -> Result<(), String> {
    let payload: Payload =
        serde_json::from_slice(&event.payload()).map_err(|error| format!("the event is no request: {error}"))?;
    let directory = format!("{}/{}", payload.prefix.trim_matches('/'), payload.session);
    let job = client.kv(&format!("{directory}/job"), &Query::default()).await.map_err(|error| error.to_string())?;
    let job = job.value.ok_or("the request is gone")?;
    let job: Job = serde_json::from_slice(&job.value).map_err(|error| format!("the request is no job: {error}"))?;
    let answers = Answers { client: client.clone(), session: payload.session, below: format!("{directory}/{node}/") };
    answers.put("ack", Vec::new()).await?;
    debug!(event = %event.id, "remote exec: running a command");
    let code = match perform(&job, &answers).await {
        Ok(status) => status.code().unwrap_or(NOT_STARTED),
        Err(why) => {
            warn!(event = %event.id, "remote exec: {why}");
            NOT_STARTED
        }
    };
    answers.put("exit", code.to_string().into_bytes()).await
}

impl Answers {
    /// Kept as long as the session lives.
    async fn put(&self, name: &str, value: Vec<u8>) -> Result<(), String> {
        let pair = KvPair { key: format!("{}{name}", self.below), value, ..KvPair::default() };
        match self.client.kv_put(&pair, Condition::Acquire(&self.session), &Query::default()).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(format!("{name} is held by somebody else")),
            Err(error) => Err(error.to_string()),
        }
    }
}

async fn perform(job: &Job, answers: &Answers) -> Result<ExitStatus, String> {
    let script = job.script.as_deref().filter(|script| !script.is_empty()).map(ScriptFile::write).transpose()?;
    let program = match &script {
        Some(script) => Program::Shell(script.0.display().to_string()),
        None if !job.args.is_empty() => Program::Direct(job.args.clone()),
        None => Program::Shell(job.command.clone()),
    };
    let failed = |error: std::io::Error| error.to_string();
    // Both outputs go into one pipe, so that their lines stay in order.
    let (reader, writer) = std::io::pipe().map_err(failed)?;
    let mut command = program.command().map_err(failed)?;
    command.stdout(Stdio::from(writer.try_clone().map_err(failed)?)).stderr(Stdio::from(writer)).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| program.start_error(&error))?;
    // It holds the pipe's other end, which must close with the child's.
    drop(command);
    let output = Receiver::from_owned_fd(reader.into()).map_err(failed)?;
    let idle = Duration::from_nanos(job.wait).clamp(*IDLE.start(), *IDLE.end());
    let (status, ()) = tokio::join!(child.wait(), publish(output, answers, idle));
    status.map_err(failed)
}

/// Hands the output on, in chunks, until nobody writes any more.
async fn publish(mut output: Receiver, answers: &Answers, idle: Duration) {
    let (mut chunk, mut buffer, mut count) = (Vec::new(), [0; CHUNK_BYTES], 0);
    loop {
        let read = tokio::time::timeout(idle, output.read(&mut buffer)).await;
        let ended = match read {
            Ok(Ok(0) | Err(_)) => true,
            Ok(Ok(read)) => {
                chunk.extend_from_slice(&buffer[..read]);
                if chunk.len() < CHUNK_BYTES {
                    continue;
                }
                false
            }
            Err(_) => false,
        };
        if !chunk.is_empty() && count <= CHUNK_LIMIT {
            if let Err(why) = answers.put(&format!("out/{count:05x}"), std::mem::take(&mut chunk)).await {
                warn!("remote exec: output not written: {why}");
            }
            count += 1;
        }
        chunk.clear();
        if ended {
            return;
        }
    }
}

/// A script that only this user may read, gone when it has run.
struct ScriptFile(PathBuf);

impl ScriptFile {
    fn write(encoded: &str) -> Result<Self, String> {
        let script = STANDARD.decode(encoded).map_err(|error| format!("the script is no Base64: {error}"))?;
        let path = std::env::temp_dir().join(format!("rexec-{}", uuid::Uuid::new_v4()));
        let mut options = std::fs::OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o700).open(&path);
        let mut file = file.map_err(|error| format!("{}: {error}", path.display()))?;
        let script_file = Self(path);
        file.write_all(&script).map_err(|error| format!("{}: {error}", script_file.0.display()))?;
        Ok(script_file)
    }
}

impl Drop for ScriptFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use bytes::Bytes;
    use http::{Method, Request, Response};

    use super::*;

    /// Keys of a server that takes every write.
    fn server(job: &str) -> (Client, Arc<Mutex<BTreeMap<String, String>>>) {
        let keys = Arc::new(Mutex::new(BTreeMap::new()));
        let (kept, job) = (Arc::clone(&keys), STANDARD.encode(job));
        let client = Client::in_process(move |request: Request<Bytes>| {
            let path = request.uri().to_string();
            let body = if request.method() == Method::PUT {
                kept.lock().unwrap().insert(path, String::from_utf8_lossy(request.body()).into_owned());
                "true".to_owned()
            } else {
                format!(r#"[{{"Key":"job","Value":"{job}"}}]"#)
            };
            std::future::ready(Response::new(body.into()))
        });
        (client, keys)
    }

    async fn answers(job: &str) -> BTreeMap<String, String> {
        let (client, keys) = server(job);
        let payload = Some(STANDARD.encode(r#"{"Prefix":"_rexec","Session":"s"}"#));
        handle(&client, "n1", &Event { payload, ..Event::default() }).await.unwrap();
        let below = "/v1/kv/_rexec/s/n1/";
        let keys = keys.lock().unwrap();
        keys.iter().map(|(key, value)| (key.replace(below, "").replace("?acquire=s", ""), value.clone())).collect()
    }

    #[tokio::test]
    async fn a_command_answers_below_its_session() {
        let said = answers(r#"{"Command":"echo a; echo b >&2; exit 3","Wait":20000000}"#).await;
        assert_eq!(said["ack"], "");
        assert_eq!(said["out/00000"], "a\nb\n");
        assert_eq!(said["exit"], "3");
    }

    #[tokio::test]
    async fn a_script_runs_and_what_cannot_start_says_so() {
        let script = STANDARD.encode("#!/bin/sh\necho script\n");
        let said = answers(&format!(r#"{{"Script":"{script}","Wait":20000000}}"#)).await;
        assert_eq!((said["out/00000"].as_str(), said["exit"].as_str()), ("script\n", "0"));
        let said = answers(r#"{"Args":["no-such-program"],"Wait":1}"#).await;
        assert_eq!((said.len(), said["exit"].as_str()), (2, "255"));
    }
}
