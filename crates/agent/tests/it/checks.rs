//! Checks against listeners of this process.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use agent::Agent;
use bytes::Bytes;
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use model::{CheckDefinition, CheckKind, HttpRequest, Status};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::{agent, eventually, with_check};

fn check(kind: CheckKind) -> CheckDefinition {
    CheckDefinition { id: "c".into(), ..CheckDefinition::new("c", kind) }
}

async fn becomes(agent: &Agent, status: Status) -> String {
    eventually(&format!("the check becoming {status}"), || async {
        let check = agent.checks().remove("c")?;
        (check.status == status && !check.output.is_empty()).then_some(check.output)
    })
    .await
}

/// Answers every connection with these bytes, after reading a request head.
async fn answering(answer: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 1024];
            let count = stream.read(&mut head).await.unwrap_or(0);
            let head = String::from_utf8_lossy(&head[..count]).to_lowercase();
            let answer = if head.contains("user-agent: consul health check") { answer.as_str() } else { "" };
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    address
}

fn http_check(address: &str) -> CheckDefinition {
    check(CheckKind::Http(HttpRequest {
        url: format!("http://{address}/health"),
        header: [("X-Check".to_owned(), vec!["1".to_owned()])].into(),
        ..HttpRequest::default()
    }))
}

fn response(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn tcp_passes_soon_after_the_listener_is_there() {
    let (agent, _) = agent().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    agent
        .register_service(with_check("web", check(CheckKind::Tcp { address: address.to_string(), tls: false })), false)
        .unwrap();
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert_eq!(agent.checks()["c"].status, Status::Critical);
    let start = Instant::now();
    let _listener = TcpListener::bind(address).await.unwrap();
    assert_eq!(becomes(&agent, Status::Passing).await, format!("TCP connect {address}: Success"));
    assert!(start.elapsed() < Duration::from_secs(2), "with an interval of 10 s: {:?}", start.elapsed());
    agent.shutdown();
}

#[tokio::test]
async fn tcp_says_why_it_fails() {
    let (agent, _) = agent().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    agent
        .register_service(with_check("web", check(CheckKind::Tcp { address: address.to_string(), tls: false })), false)
        .unwrap();
    let output = becomes(&agent, Status::Critical).await;
    assert_eq!(output, format!("dial tcp {address}: connect: connection refused"));
    agent.shutdown();
}

#[tokio::test]
async fn http_statuses_mean_what_consul_says() {
    for (answer, status) in [
        ("200 OK", Status::Passing),
        ("429 Too Many Requests", Status::Warning),
        ("500 Internal Server Error", Status::Critical),
    ] {
        let (agent, _) = agent().await;
        let address = answering(response(answer, "body")).await;
        agent.register_service(with_check("web", http_check(&address)), false).unwrap();
        let output = becomes(&agent, status).await;
        assert_eq!(output, format!("HTTP GET http://{address}/health: {answer} Output: body"));
        agent.shutdown();
    }
}

#[tokio::test]
async fn the_end_of_a_long_body_is_kept() {
    let (agent, _) = agent().await;
    let address = answering(response("200 OK", &format!("{}END", "x".repeat(5000)))).await;
    let own = CheckDefinition { output_max_size: 5, ..http_check(&address) };
    let less = CheckDefinition { id: "less".into(), ..own };
    agent.register_service(with_check("web", http_check(&address)), false).unwrap();
    agent.register_check(less).unwrap();
    let output = becomes(&agent, Status::Passing).await;
    assert_eq!(output, format!("HTTP GET http://{address}/health: 200 OK Output: {}END", "x".repeat(4093)));
    eventually("the other", || async { agent.checks()["less"].output.ends_with(" Output: xxEND").then_some(()) }).await;
    agent.shutdown();
}

/// A gRPC server that answers everything with one health state.
async fn grpc(state: u8) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| async move {
                let known = request.uri().path() == "/grpc.health.v1.Health/Check";
                let mut answer = http::Response::new(Full::new(Bytes::from(vec![0, 0, 0, 0, 2, 8, state])));
                answer.headers_mut().insert("content-type", http::HeaderValue::from_static("application/grpc"));
                if !known {
                    answer.headers_mut().insert("grpc-status", http::HeaderValue::from_static("12"));
                }
                Ok::<_, Infallible>(answer)
            });
            let serving = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service);
            tokio::spawn(serving);
        }
    });
    address
}

#[tokio::test]
async fn grpc_health_is_asked_over_plain_http2() {
    for (state, status, word) in [(1, Status::Passing, "success"), (2, Status::Critical, "NOT_SERVING")] {
        let (agent, _) = agent().await;
        let target = format!("{}/emojify.Cache", grpc(state).await);
        let kind = CheckKind::Grpc { target: target.clone(), tls: false };
        agent.register_service(with_check("cache", check(kind)), false).unwrap();
        assert_eq!(becomes(&agent, status).await, format!("gRPC check {target}: {word}"));
        agent.shutdown();
    }
}

#[tokio::test]
async fn a_ttl_runs_out_unless_it_is_renewed() {
    let (agent, _) = agent().await;
    let kind = CheckKind::Ttl(Duration::from_millis(150));
    agent.register_service(with_check("web", check(kind)), false).unwrap();
    agent.update_ttl("c", Status::Passing, "fine").unwrap();
    assert_eq!(agent.checks()["c"].status, Status::Passing);
    let output = becomes(&agent, Status::Critical).await;
    assert_eq!(output, "TTL expired (last output before timeout follows): fine");
    agent.update_ttl("c", Status::Warning, "back").unwrap();
    assert_eq!(agent.checks()["c"].status, Status::Warning);
    let unknown = agent.update_ttl("nobody", Status::Passing, "").unwrap_err();
    assert_eq!(unknown.to_string(), "CheckID \"nobody\" does not have associated TTL");
    agent.shutdown();
}

#[tokio::test]
async fn an_alias_of_another_node_follows_the_catalog() {
    let (agent, server) = agent().await;
    let register = |status: &str| {
        serde_json::json!({"Node": "far", "Address": "192.0.2.1", "Service": {"Service": "db"},
            "Check": {"CheckID": "db", "Name": "DB", "ServiceID": "db", "Status": status, "Output": "o"}})
    };
    server.put("/v1/catalog/register", &register("critical")).await.unwrap();
    let kind = CheckKind::Alias { node: "far".into(), service_id: "db".into() };
    agent.register_service(with_check("web", check(kind)), false).unwrap();
    eventually("the alias seeing the failure", || async {
        (agent.checks()["c"].output == "Aliased check \"DB\" failing: o").then_some(())
    })
    .await;
    server.put("/v1/catalog/register", &register("passing")).await.unwrap();
    assert_eq!(becomes(&agent, Status::Passing).await, "All checks passing.");
    agent.shutdown();
}
