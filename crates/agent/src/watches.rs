//! The `watches` of an agent's configuration: programs and requests that are told of every change of a view.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use client::watch::{Change, Handler, Watch};
use client::{Client, Server, Tls};
use http::Method;
use serde_json::{Map, Value};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe::Receiver;
use tokio::process::Child;
use tokio::task::JoinSet;
use tracing::{debug, error, warn};

use crate::program::{Program, exit_error};

/// What of a program's output goes into the log.
const OUTPUT_LIMIT_BYTES: usize = 4 << 10;
/// How long what a handler left running may hold its output open.
const DRAIN: Duration = Duration::from_secs(1);

/// Watches that run until this is dropped.
pub struct Watches(JoinSet<()>);

impl Watches {
    /// Starts all of them, or none when one is not understood.
    ///
    /// # Errors
    /// Says what is wrong with an entry, in Consul's words.
    pub fn start(entries: &[Value], client: &Client) -> Result<Self, String> {
        let parsed = entries.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        let mut running = JoinSet::new();
        for (watch, handler) in parsed {
            running.spawn(follow(watch, handler, client.clone()));
        }
        Ok(Self(running))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn parse(entry: &Value) -> Result<(Watch, Handler), String> {
    let none = Map::new();
    let params = entry.as_object().unwrap_or(&none);
    let shown = params.get("type").and_then(Value::as_str).unwrap_or_default();
    let failed = |why: String| format!("Failed to parse watch (type={shown:?}): {why}");
    let (watch, handler) = Watch::parse(params).map_err(failed)?;
    match handler {
        Handler::None => Err(failed("must define a watch handler".to_owned())),
        handler => Ok((watch, handler)),
    }
}

async fn follow(mut watch: Watch, handler: Handler, client: Client) {
    loop {
        match watch.next(&client).await {
            Ok(change) => {
                if let Err(why) = handle(&handler, &change).await {
                    error!(r#type = watch.kind(), "Failed to run watch handler: {why}");
                }
            }
            Err(failed) => {
                let retry = model::format_duration(failed.retry);
                warn!(r#type = watch.kind(), error = %failed.error, retry, "Watch errored");
                tokio::time::sleep(failed.retry).await;
            }
        }
    }
}

async fn handle(handler: &Handler, change: &Change) -> Result<(), String> {
    match handler {
        Handler::None => Ok(()),
        Handler::Shell(line) => run(&Program::Shell(line.clone()), change).await,
        Handler::Program(words) => run(&Program::Direct(words.clone()), change).await,
        Handler::Http { path, method, timeout, header, tls_skip_verify } => {
            let headers: Vec<(&str, &str)> = header
                .iter()
                .flat_map(|(name, values)| values.iter().map(move |value| (name.as_str(), value.as_str())))
                .collect();
            send(path, method, &headers, *timeout, *tls_skip_verify, change).await
        }
    }
}

/// An index, or the hash of what the agent says of itself.
fn position_name(change: &Change) -> &'static str {
    if change.position.parse::<u64>().is_ok() { "Index" } else { "Hash" }
}

async fn run(program: &Program, change: &Change) -> Result<(), String> {
    let failed = |error: std::io::Error| error.to_string();
    let (reader, writer) = std::io::pipe().map_err(failed)?;
    let mut command = program.command().map_err(failed)?;
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::from(writer.try_clone().map_err(failed)?))
        .stderr(Stdio::from(writer))
        .env(format!("CONSUL_{}", position_name(change).to_ascii_uppercase()), &change.position)
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| program.start_error(&error))?;
    drop(command);
    let mut input = child.stdin.take();
    let told = async {
        if let Some(mut input) = input.take() {
            // A program that does not read its input is no fault.
            let _ = input.write_all(format!("{}\n", change.json).as_bytes()).await;
        }
    };
    let output = Receiver::from_owned_fd(reader.into()).map_err(failed)?;
    let ((), ended) = tokio::join!(told, supervise(&mut child, output));
    let (status, said) = ended.map_err(failed)?;
    debug!(output = %said, "watch handler output");
    exit_error(status).map_or(Ok(()), |why| Err(format!("{why}: {said}")))
}

/// Waits for the end; what a program writes beyond the limit is read, so that it is not held up, and dropped.
async fn supervise(child: &mut Child, mut output: Receiver) -> std::io::Result<(ExitStatus, String)> {
    let (mut said, mut buffer) = (Vec::new(), [0; OUTPUT_LIMIT_BYTES]);
    let mut push = |piece: &[u8]| {
        let room = OUTPUT_LIMIT_BYTES - said.len();
        said.extend_from_slice(&piece[..piece.len().min(room)]);
    };
    let status = loop {
        tokio::select! {
            read = output.read(&mut buffer) => match read {
                Ok(count @ 1..) => push(&buffer[..count]),
                Ok(0) | Err(_) => break child.wait().await?,
            },
            status = child.wait() => {
                let rest = async {
                    while let Ok(count @ 1..) = output.read(&mut buffer).await {
                        push(&buffer[..count]);
                    }
                };
                let _ = tokio::time::timeout(DRAIN, rest).await;
                break status?;
            }
        }
    };
    Ok((status, String::from_utf8_lossy(&said).into_owned()))
}

async fn send(
    url: &str,
    method: &str,
    headers: &[(&str, &str)],
    timeout: Duration,
    tls_skip_verify: bool,
    change: &Change,
) -> Result<(), String> {
    let start = url.find("://").map_or(0, |at| at + 3);
    let at = url[start..].find(['/', '?']).map_or(url.len(), |at| start + at);
    let (address, path) = url.split_at(at);
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let tls = Tls { skip_verify: tls_skip_verify, ..Tls::default() };
    let server = Server { address: address.to_owned(), tls, ..Server::default() };
    let client = Client::to(&server).map_err(|error| error.to_string())?;
    let method = Method::from_bytes(method.as_bytes()).map_err(|error| error.to_string())?;
    let name = format!("x-consul-{}", position_name(change).to_ascii_lowercase());
    let mut headers = headers.to_vec();
    headers.push((&name, &change.position));
    let body = format!("{}\n", change.json).into();
    let answer = client.send_with(method, &path, &headers, body, timeout).await;
    let answer = answer.and_then(client::Raw::success).map_err(|error| error.to_string())?;
    debug!(output = %answer.text().chars().take(OUTPUT_LIMIT_BYTES).collect::<String>(), "watch handler output");
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn change(position: &str) -> Change {
        Change { position: position.to_owned(), json: "{\"a\":[]}".to_owned() }
    }

    #[tokio::test]
    async fn a_program_gets_the_change_and_its_place() {
        let directory = std::env::temp_dir().join(format!("watches-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let file = directory.join("said");
        let line = format!("cat > {0}; echo $CONSUL_INDEX >> {0}", file.display());
        handle(&Handler::Shell(line), &change("7")).await.unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "{\"a\":[]}\n7\n");
        let failing = Handler::Program(vec!["sh".to_owned(), "-c".to_owned(), "echo why; exit 3".to_owned()]);
        assert_eq!(handle(&failing, &change("abc")).await.unwrap_err(), "exit status 3: why\n");
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn an_entry_needs_a_handler_that_is_understood() {
        let nobody = Client::in_process(|_| async { http::Response::new(bytes::Bytes::new()) });
        let said = |entry| Watches::start(&[entry], &nobody).map(|_| ()).unwrap_err();
        let entry = json!({"type": "nope", "handler": "true"});
        assert_eq!(said(entry), "Failed to parse watch (type=\"nope\"): Unsupported watch type: nope");
        let entry = json!({"type": "nodes"});
        assert_eq!(said(entry), "Failed to parse watch (type=\"nodes\"): must define a watch handler");
    }
}
