//! The kinds of checks that need more than a listener: programs, containers, datagrams, pings.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agent::{Agent, Config, Scripts};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use model::{CheckDefinition, CheckKind, DockerCommand, Status};
use serde_json::{Value, json};
use tokio::net::{TcpListener, UdpSocket, UnixListener};

use crate::{config, eventually, server, with_check};

fn check(id: &str, kind: CheckKind) -> CheckDefinition {
    CheckDefinition { id: id.into(), timeout: Duration::from_secs(1), ..CheckDefinition::new(id, kind) }
}

async fn told(agent: &Agent, id: &str) -> (Status, String) {
    eventually("a word of the check", || async {
        let check = agent.checks().remove(id)?;
        (!check.output.is_empty()).then_some((check.status, check.output))
    })
    .await
}

async fn permissive(docker_host: &str) -> Arc<Agent> {
    let config = Config { scripts: Scripts::Everybody, docker_host: docker_host.to_owned(), ..config() };
    Agent::start(config, server().await)
}

#[tokio::test]
async fn programs_run_only_for_those_who_may() {
    let script = || check("s", CheckKind::Script(vec!["true".into()]));
    let remote =
        "Scripts are disabled on this agent from remote calls; to enable, configure 'enable_script_checks' to true";
    let local = "Scripts are disabled on this agent; to enable, configure 'enable_script_checks' or \
                 'enable_local_script_checks' to true";
    for (scripts, by_api, by_file) in [
        (Scripts::Nobody, Some(remote), Some(local)),
        (Scripts::Files, Some(remote), None),
        (Scripts::Everybody, None, None),
    ] {
        let agent = Agent::start(Config { scripts, ..config() }, server().await);
        let text = |result: Result<(), agent::Error>| result.err().map(|error| error.to_string());
        assert_eq!(text(agent.register_check(script())).as_deref(), by_api, "{scripts:?}");
        assert_eq!(text(agent.register_service(with_check("web", script()), false)).as_deref(), by_api);
        let in_sidecar =
            model::ServiceDefinition { sidecar: Some(Box::new(with_check("", script()))), ..crate::service("y", 1) };
        assert_eq!(text(agent.register_service(in_sidecar, false)).as_deref(), by_api, "nor hidden in a sidecar");
        let docker = CheckKind::Docker(DockerCommand { container: "c".into(), ..DockerCommand::default() });
        assert_eq!(text(agent.register_check(check("d", docker))).as_deref(), by_api);
        let refused = agent.apply_definitions(vec![with_check("file", script())], Vec::new());
        assert_eq!(refused.first().map(ToString::to_string).as_deref(), by_file);
        assert_eq!(agent.service("web").is_some(), by_api.is_none(), "refused as a whole");
        agent.shutdown();
    }
}

#[tokio::test]
async fn a_script_says_what_it_found() {
    let agent = permissive("").await;
    let args = ["sh", "-c", "echo low disk; exit 1"].map(str::to_owned).to_vec();
    agent.register_check(check("s", CheckKind::Script(args))).unwrap();
    assert_eq!(told(&agent, "s").await, (Status::Warning, "low disk\n".into()));
    assert_eq!(agent.checks()["s"].kind, "script");
    agent.shutdown();
}

/// What a Docker engine does with the three requests of a check, and what it was asked.
#[derive(Default)]
struct Engine {
    asked: Mutex<Vec<(String, Value)>>,
    exit_code: i64,
}

impl Engine {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let line = format!("{} {}", request.method(), request.uri().path());
        let body = request.into_body().collect().await.unwrap().to_bytes();
        self.asked.lock().unwrap().push((line.clone(), serde_json::from_slice(&body).unwrap_or_default()));
        let (status, body) = match line.as_str() {
            "POST /containers/web/exec" => (StatusCode::CREATED, json!({"Id": "e1"}).to_string().into()),
            "POST /exec/e1/start" => {
                // Two frames of standard output and one of standard error, cut where nobody expects it by hyper or not.
                let frames = [(1_u8, "disk "), (2, "is "), (1, "full\n")];
                let framed = frames.iter().flat_map(|(stream, text)| {
                    let length = u32::try_from(text.len()).unwrap().to_be_bytes();
                    [&[*stream, 0, 0, 0], &length[..], text.as_bytes()].concat()
                });
                (StatusCode::OK, framed.collect::<Bytes>())
            }
            "GET /exec/e1/json" => {
                let state = json!({"ID": "e1", "Running": false, "ExitCode": self.exit_code});
                (StatusCode::OK, state.to_string().into())
            }
            _ => (StatusCode::NOT_FOUND, json!({"message": "No such container: gone"}).to_string().into()),
        };
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = status;
        response
    }
}

fn engine(exit_code: i64) -> (Arc<Engine>, PathBuf) {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap();
    let path = std::env::temp_dir().join(format!("meshglass-docker-{}.sock", id.trim()));
    let listener = UnixListener::bind(&path).unwrap();
    let engine = Arc::new(Engine { exit_code, ..Engine::default() });
    let serving = engine.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let engine = serving.clone();
            let service = service_fn(move |request| {
                let engine = engine.clone();
                async move { Ok::<_, Infallible>(engine.answer(request).await) }
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    (engine, path)
}

#[tokio::test]
async fn a_program_runs_inside_a_container() {
    for (exit_code, status) in [(0, Status::Passing), (1, Status::Warning), (127, Status::Critical)] {
        let (engine, socket) = engine(exit_code);
        let agent = permissive(&format!("unix://{}", socket.display())).await;
        let command = |container: &str| {
            let args = vec!["/bin/df".into(), "-h".into()];
            CheckKind::Docker(DockerCommand { container: container.into(), shell: String::new(), args })
        };
        agent.register_check(check("d", command("web"))).unwrap();
        assert_eq!(told(&agent, "d").await, (status, "disk is full\n".into()));
        let asked = engine.asked.lock().unwrap().clone();
        assert_eq!(asked[0].1["Cmd"], json!(["/bin/df", "-h"]));
        assert_eq!((&asked[0].1["AttachStdout"], &asked[1].1["Detach"]), (&json!(true), &json!(false)));
        agent.register_check(check("gone", command("gone"))).unwrap();
        let text = "create exec failed for container gone: 404 Not Found: No such container: gone";
        assert_eq!(told(&agent, "gone").await, (Status::Critical, text.into()));
        agent.shutdown();
        std::fs::remove_file(socket).unwrap();
    }
    let agent = permissive("unix:///nonexistent/docker.sock").await;
    let command = DockerCommand { container: "c".into(), args: vec!["true".into()], ..DockerCommand::default() };
    agent.register_check(check("d", CheckKind::Docker(command))).unwrap();
    let (status, output) = told(&agent, "d").await;
    assert_eq!(status, Status::Critical);
    assert!(
        output.starts_with("create exec failed for container c: dial unix:///nonexistent/docker.sock: "),
        "{output}"
    );
    agent.shutdown();
}

#[tokio::test]
async fn a_ping_is_answered_by_http2_only() {
    let agent = permissive("").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(|_| async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::new()))) });
            tokio::spawn(
                hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    agent.register_check(check("p", CheckKind::H2Ping { address: address.clone(), tls: false })).unwrap();
    assert_eq!(told(&agent, "p").await, (Status::Passing, "HTTP2 ping was successful".into()));
    agent.register_check(check("t", CheckKind::H2Ping { address: address.clone(), tls: true })).unwrap();
    let (status, output) = told(&agent, "t").await;
    assert_eq!(status, Status::Critical);
    assert!(output.starts_with(&format!("Failed to dial to {address}: tls: ")), "{output}");

    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = plain.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = plain.accept().await {
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    agent.register_check(check("h1", CheckKind::H2Ping { address, tls: false })).unwrap();
    let (status, output) = told(&agent, "h1").await;
    assert_eq!(status, Status::Critical);
    assert!(output.starts_with("HTTP2 ping failed: "), "{output}");
    agent.shutdown();
}

#[tokio::test]
async fn a_datagram_may_go_unanswered_but_not_be_refused() {
    let agent = permissive("").await;
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap().to_string();
    agent.register_check(check("u", CheckKind::Udp(address.clone()))).unwrap();
    assert_eq!(told(&agent, "u").await, (Status::Passing, format!("UDP connect {address}: Success")));
    let closed = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    agent.register_check(check("c", CheckKind::Udp(closed.clone()))).unwrap();
    let refused = format!("dial udp {closed}: connect: connection refused");
    assert_eq!(told(&agent, "c").await, (Status::Critical, refused));
    agent.shutdown();
}

#[tokio::test]
async fn redirects_are_followed_unless_they_are_not_to_be() {
    let agent = permissive("").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(|request: Request<Incoming>| async move {
                let mut response = Response::new(Full::new(Bytes::from_static(b"there")));
                if request.uri().path() == "/from" {
                    *response.status_mut() = StatusCode::FOUND;
                    response.headers_mut().insert("location", http::HeaderValue::from_static("/to"));
                } else if request.method() != Method::GET {
                    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
                }
                Ok::<_, Infallible>(response)
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    for (id, disable_redirects, status) in [("follow", false, Status::Passing), ("stay", true, Status::Critical)] {
        let url = format!("http://{address}/from");
        let http = model::HttpRequest { url, disable_redirects, ..model::HttpRequest::default() };
        agent.register_check(check(id, CheckKind::Http(http))).unwrap();
        let (found, output) = told(&agent, id).await;
        assert_eq!(found, status, "{output}");
        assert_eq!(output.contains("302 Found"), disable_redirects, "{output}");
    }
    agent.shutdown();
}

#[tokio::test]
async fn an_agent_told_to_forget_output_keeps_the_status() {
    let agent = Agent::start(Config { discard_check_output: true, ..config() }, server().await);
    agent.register_check(check("t", CheckKind::Ttl(Duration::from_secs(60)))).unwrap();
    agent.update_ttl("t", Status::Passing, "secret").unwrap();
    let check = agent.checks().remove("t").unwrap();
    assert_eq!((check.status, check.output.as_str()), (Status::Passing, ""));
    agent.shutdown();
}
