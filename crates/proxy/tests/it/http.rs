//! HTTP/1.1, HTTP/2 and WebSockets through two sidecars.

use std::time::Duration;

use ::http::{Method, Request, StatusCode, Version};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use model::Protocol;
use serde_json::json;
use telemetry::Flag;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::rig::*;

#[tokio::test]
async fn http1_passes_and_both_sides_count_the_same() {
    let pair = Pair::new(Protocol::Http, application().await, ALLOW).await;
    let mut client = pair.h1().await;
    for _ in 0..5 {
        let response = within(client.send_request(get("/"))).await.unwrap();
        assert_eq!((response.status(), response.version()), (StatusCode::OK, Version::HTTP_11));
        assert_eq!(text(response).await, "hello");
    }
    let body = vec![7_u8; 300_000];
    let request = Request::post("/echo").header("host", "db").body(full(body.clone())).unwrap();
    let echoed = within(client.send_request(request)).await.unwrap().into_body().collect().await.unwrap().to_bytes();
    assert_eq!(echoed, body);
    let head = Request::builder().method(Method::HEAD).uri("/").header("host", "db").body(empty()).unwrap();
    let response = within(client.send_request(head)).await.unwrap();
    assert_eq!(response.headers()["content-length"], "5");
    let response = within(client.send_request(get("/missing"))).await.unwrap();
    assert_eq!(response.status(), 404);
    drop(text(response).await);
    let (seen_by_client, seen_by_server) = pair.stop().await;
    assert_eq!(seen_by_client.codes, [(200, 7), (404, 1)].into());
    assert_eq!(seen_by_client.codes, seen_by_server.codes);
    assert_eq!(seen_by_client.bytes_received, 300_000);
    assert_eq!(seen_by_client.bytes_sent, seen_by_server.bytes_sent);
    assert!(seen_by_client.flags.is_empty() && seen_by_server.flags.is_empty(), "{seen_by_client:?}");
}

#[tokio::test]
async fn http2_from_end_to_end() {
    let pair = Pair::new(Protocol::Http2, application().await, ALLOW).await;
    let client = pair.h2().await;
    let calls = (0..50).map(|_| {
        let mut client = client.clone();
        async move {
            let request = Request::get("http://db/").body(empty()).unwrap();
            text(within(client.send_request(request)).await.unwrap()).await
        }
    });
    assert!(futures_util::future::join_all(calls).await.iter().all(|answer| answer == "hello"));
    let (seen_by_client, seen_by_server) = pair.stop().await;
    assert_eq!((seen_by_client.requests, &seen_by_client.codes), (50, &seen_by_server.codes));
}

#[tokio::test]
async fn what_belongs_to_one_hop_stays_there() {
    let pair = Pair::new(Protocol::Http, application().await, ALLOW).await;
    let request = Request::get("/headers?x=1")
        .header("host", "db")
        .header("connection", "x-mine")
        .header("x-mine", "secret")
        .header("upgrade", "h2c")
        .header("x-meshglass-source", "forged")
        .header("x-kept", "yes")
        .body(empty())
        .unwrap();
    let seen = text(within(pair.h1().await.send_request(request)).await.unwrap()).await;
    assert!(seen.starts_with("/headers?x=1 "), "{seen}");
    for gone in ["x-mine", "upgrade", "connection", "x-meshglass-source"] {
        assert!(!seen.contains(gone), "{gone}: {seen}");
    }
    assert!(seen.contains(r#""x-kept": "yes""#) && seen.contains("x-request-id"), "{seen}");
    // The label was read before it was taken out.
    let cells = pair.server.telemetry().snapshot().cells;
    let callers: Vec<_> =
        cells.keys().map(|key| (key.peer.service.to_string(), key.peer.instance.to_string())).collect();
    assert_eq!(callers, [("web".to_owned(), "web-1".to_owned())]);
}

#[tokio::test]
async fn a_websocket_echoes_and_closes() {
    let pair = Pair::new(Protocol::Http, application().await, ALLOW).await;
    let request = Request::get("/socket")
        .header("host", "db")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .body(empty())
        .unwrap();
    let mut client = pair.h1().await;
    let response = within(client.send_request(request)).await.unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    let mut socket = TokioIo::new(within(hyper::upgrade::on(response)).await.unwrap());
    let mut buffer = [0; 4];
    for message in [b"ping", b"pong"] {
        socket.write_all(message).await.unwrap();
        within(socket.read_exact(&mut buffer)).await.unwrap();
        assert_eq!(&buffer, message);
    }
    drop(socket);
    let (seen_by_client, seen_by_server) = pair.stop().await;
    assert_eq!(seen_by_client.codes, [(101, 1)].into());
    assert_eq!((seen_by_client.bytes_received, seen_by_client.bytes_sent), (8, 8));
    assert_eq!((seen_by_server.codes, seen_by_server.bytes_sent), (seen_by_client.codes, 8));
}

#[tokio::test]
async fn a_request_with_two_hosts_is_refused() {
    let pair = Pair::new(Protocol::Http, application().await, ALLOW).await;
    let request = Request::get("/").header("host", "a").header("host", "b").body(empty()).unwrap();
    let response = within(pair.h1().await.send_request(request)).await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert!(why(&response).starts_with("malformed-request; "), "{response:?}");
}

#[tokio::test]
async fn no_answer_in_time_is_a_504_that_says_so() {
    let mesh = Mesh::new();
    let server = mesh.start(&mesh.server_plan("db", Protocol::Http, application().await, ALLOW), &json!([])).await;
    let mut plan = mesh.client_plan("web", "db", Protocol::Http);
    plan.outbound[0].routes[0].timeout = Duration::from_millis(150);
    let client = mesh.start(&plan, &json!([{"address": inbound(&server).to_string()}])).await;
    let mut sender = h1(outbound(&client, "db")).await;
    let response = within(sender.send_request(get("/never"))).await.unwrap();
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(why(&response), r#"timeout; "db" gave no answer within 150ms"#);
    assert!(text(response).await.starts_with("meshglass: timeout: "));
    // One that began in time and does not end is broken off.
    let response = within(sender.send_request(get("/stall"))).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(within(response.into_body().collect()).await.is_err());
    eventually("both counted", || async { (sum(&client.telemetry()).flags == [(Flag::UT, 2)].into()).then_some(()) })
        .await;
}

#[tokio::test]
async fn without_a_healthy_instance_the_503_names_them() {
    let mesh = Mesh::new();
    let plan = mesh.client_plan("web", "db", Protocol::Http);
    let sick = json!([{"address": "127.0.0.1:1", "instance": "db-7", "node": "n3", "healthy": false}]);
    let client = mesh.start(&plan, &sick).await;
    let response = within(h1(outbound(&client, "db")).await.send_request(get("/"))).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let why = why(&response);
    assert!(why.starts_with("no-healthy-instance; ") && why.contains("\"db-7\" on node \"n3\""), "{why}");
    drop(text(response).await);
    eventually("counted", || async { (sum(&client.telemetry()).flags == [(Flag::UH, 1)].into()).then_some(()) }).await;
}

#[tokio::test]
async fn an_instance_that_refuses_connections_costs_a_retry_and_no_error() {
    let mesh = Mesh::new();
    let server = mesh.start(&mesh.server_plan("db", Protocol::Http, application().await, ALLOW), &json!([])).await;
    // A port that was free a moment ago.
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let endpoints = json!([{"address": inbound(&server).to_string()}, {"address": closed.to_string()}]);
    let client = mesh.start(&mesh.client_plan("web", "db", Protocol::Http), &endpoints).await;
    let mut sender = h1(outbound(&client, "db")).await;
    for n in 0..30 {
        let request = Request::post("/echo").header("host", "db").body(full(format!("body {n}"))).unwrap();
        let response = within(sender.send_request(request)).await.unwrap();
        assert_eq!((response.status().as_u16(), text(response).await), (200, format!("body {n}")));
    }
    let seen = eventually("counted", || async { Some(sum(&client.telemetry())).filter(|s| s.requests == 30) }).await;
    assert!(seen.retries > 0, "30 picks of two never met the closed one: {seen:?}");
    assert!(seen.flags.is_empty(), "{seen:?}");
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_meanwhile_costs_nothing() {
    // An application that answers one request per connection, and does not say that it will close it.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let application = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        }
    });
    let pair = Pair::new(Protocol::Http, application, ALLOW).await;
    let mut sender = pair.h1().await;
    for _ in 0..20 {
        let request = Request::post("/").header("host", "db").body(full("x")).unwrap();
        let response = within(sender.send_request(request)).await.unwrap();
        assert_eq!(response.status(), 200, "{}", why(&response));
        drop(text(response).await);
        // Lets the proxy see the close; without this the race is real and a POST is rightly not sent twice.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(pair.stop().await);
}

#[tokio::test]
async fn a_caller_that_leaves_is_counted_on_both_sides() {
    let pair = Pair::new(Protocol::Http, application().await, ALLOW).await;
    let mut sender = pair.h1().await;
    let waiting = tokio::time::timeout(Duration::from_millis(100), sender.send_request(get("/never"))).await;
    assert!(waiting.is_err(), "it never answers");
    drop(sender);
    for registry in [pair.client.telemetry(), pair.server.telemetry()] {
        eventually("the end of it", || async { (sum(&registry).flags == [(Flag::DC, 1)].into()).then_some(()) }).await;
    }
}

#[tokio::test]
async fn a_drain_lets_the_request_in_flight_end() {
    let pair = Pair::new(Protocol::Http, application().await, ALLOW).await;
    let mut sender = pair.h1().await;
    let (feed, body) = futures_channel();
    let request = Request::post("/echo").header("host", "db").body(body).unwrap();
    let response = within(sender.send_request(request)).await.unwrap();
    let address = pair.address;
    let registry = pair.client.telemetry();
    let drained = tokio::spawn(pair.client.drain());
    eventually("no new connections", || async { tokio::net::TcpStream::connect(address).await.err() }).await;
    feed.send("late").unwrap();
    drop(feed);
    assert_eq!(text(response).await, "late");
    within(drained).await.unwrap();
    assert_eq!(sum(&registry).codes, [(200, 1)].into());
}

/// A request body that is sent piece by piece.
fn futures_channel() -> (tokio::sync::mpsc::UnboundedSender<&'static str>, Body) {
    let (feed, mut pieces) = tokio::sync::mpsc::unbounded_channel::<&'static str>();
    let stream = futures_util::stream::poll_fn(move |cx| {
        pieces.poll_recv(cx).map(|piece| piece.map(|text| Ok(hyper::body::Frame::data(text.into()))))
    });
    (feed, http_body_util::StreamBody::new(stream).boxed())
}
