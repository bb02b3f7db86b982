//! A program inside a container, through the Docker engine's API: an exec is made, run and asked for its exit code.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use model::{DockerCommand, Status};
use serde_json::{Value, json};
use tokio::net::{TcpStream, UnixStream};

use super::output::Tail;
use super::script::{TURNS, verdict};

/// Answers about an exec are a few hundred bytes.
const ANSWER_LIMIT_BYTES: usize = 64 << 10;

/// `host` is what `DOCKER_HOST` says: `unix:///path` or `tcp://address:port`.
pub(super) async fn probe(host: &str, command: &DockerCommand, limit: Duration, output: usize) -> (Status, String) {
    let _turn = TURNS.acquire().await;
    let mut tail = Tail::new(output);
    match tokio::time::timeout(limit, run(host, command, &mut tail)).await {
        Ok(Ok(status)) => (status, tail.captioned()),
        Ok(Err(why)) => (Status::Critical, why),
        Err(_) => {
            let limit = model::format_duration(limit);
            (Status::Critical, format!("Timed out ({limit}) running check\n\n{}", tail.captioned()))
        }
    }
}

async fn run(host: &str, command: &DockerCommand, tail: &mut Tail) -> Result<Status, String> {
    let container = &command.container;
    let failed = |why: String| format!("create exec failed for container {container}: {why}");
    let mut engine = Engine::connect(host).await.map_err(failed)?;
    let path = format!("/containers/{}/exec", client::escape(container));
    let body = json!({"AttachStdin": false, "AttachStdout": true, "AttachStderr": true, "Tty": false,
        "Cmd": command.args});
    let made = engine.ask(Method::POST, &path, &body, StatusCode::CREATED).await.map_err(failed)?;
    let id = made.get("Id").and_then(Value::as_str).ok_or_else(|| failed("the answer names no exec".to_owned()))?;
    let (start, inspect) =
        (format!("/exec/{}/start", client::escape(id)), format!("/exec/{}/json", client::escape(id)));
    let failed = |what: &str, why: String| format!("{what} failed for container {container}: {why}");

    let body = json!({"Detach": false, "Tty": false});
    let answer = engine.send(Method::POST, &start, &body).await.map_err(|why| failed("start exec", why))?;
    if answer.status() != StatusCode::OK {
        return Err(failed("start exec", refusal(answer).await));
    }
    demultiplex(answer.into_body(), tail).await.map_err(|why| failed("start exec", why))?;

    // The output took the connection with it on some engines.
    let mut engine = Engine::connect(host).await.map_err(|why| failed("inspect exec", why))?;
    let answer = engine.ask(Method::GET, &inspect, &Value::Null, StatusCode::OK).await;
    let answer = answer.map_err(|why| failed("inspect exec", why))?;
    Ok(verdict(answer.get("ExitCode").and_then(Value::as_i64)))
}

struct Engine(SendRequest<Full<Bytes>>);

impl Engine {
    async fn connect(host: &str) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("dial {host}: {error}");
        let sender = match host.split_once("://") {
            Some(("unix", path)) => attach(UnixStream::connect(path).await.map_err(failed)?).await,
            Some(("tcp" | "http", address)) => attach(TcpStream::connect(address).await.map_err(failed)?).await,
            _ => return Err(format!("DOCKER_HOST is {host:?}, expected unix:///path or tcp://address:port")),
        };
        sender.map(Self)
    }

    async fn send(&mut self, method: Method, path: &str, body: &Value) -> Result<http::Response<Incoming>, String> {
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        let request = Request::builder().method(method).uri(path).header("host", "docker");
        let request = request.header("content-type", "application/json").body(Full::new(body));
        let request = request.map_err(|error| error.to_string())?;
        self.0.send_request(request).await.map_err(|error| error.to_string())
    }

    async fn ask(&mut self, method: Method, path: &str, body: &Value, good: StatusCode) -> Result<Value, String> {
        let answer = self.send(method, path, body).await?;
        if answer.status() != good {
            return Err(refusal(answer).await);
        }
        let body = Limited::new(answer.into_body(), ANSWER_LIMIT_BYTES).collect().await.map_err(|e| e.to_string())?;
        serde_json::from_slice(&body.to_bytes()).map_err(|error| error.to_string())
    }
}

async fn attach<T>(stream: T) -> Result<SendRequest<Full<Bytes>>, String>
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    // Ends when the sender and the body are dropped.
    tokio::spawn(connection);
    Ok(sender)
}

/// The engine explains itself as `{"message": …}`.
async fn refusal(answer: http::Response<Incoming>) -> String {
    let status = answer.status();
    let body = Limited::new(answer.into_body(), ANSWER_LIMIT_BYTES).collect().await.map(|body| body.to_bytes());
    let body = body.unwrap_or_default();
    let message = serde_json::from_slice::<Value>(&body).ok();
    let message = message.as_ref().and_then(|value| value.get("message")).and_then(Value::as_str);
    match message {
        Some(message) => format!("{status}: {message}"),
        None => format!("{status}: {}", String::from_utf8_lossy(&body).trim()),
    }
}

/// Without a terminal both outputs share one stream: a byte that says which, three empty ones, a length of four bytes,
/// and as many bytes of output.
async fn demultiplex(mut body: Incoming, tail: &mut Tail) -> Result<(), String> {
    let mut held = BytesMut::new();
    let mut left = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|error| error.to_string())?.into_data() else { continue };
        held.extend_from_slice(&data);
        loop {
            let take = left.min(held.len());
            tail.push(&held.split_to(take));
            left -= take;
            if left > 0 || held.len() < 8 {
                break;
            }
            held.advance(4);
            left = held.get_u32() as usize;
        }
    }
    Ok(())
}
