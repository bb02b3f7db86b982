//! gRPC: trailers, streams, cancellation, and refusals in gRPC's own words.

use ::http::Request;
use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use model::{Action, Protocol};
use telemetry::Flag;

use crate::rig::*;

fn call(path: &str, body: Body) -> Request<Body> {
    Request::post(format!("http://db{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body)
        .unwrap()
}

#[tokio::test]
async fn unary_calls_keep_their_trailers_and_are_counted_by_method() {
    let pair = Pair::new(Protocol::Grpc, application().await, ALLOW).await;
    let mut client = pair.h2().await;
    for _ in 0..3 {
        let response = within(client.send_request(call("/t.T/Echo", full("message")))).await.unwrap();
        let body = within(response.into_body().collect()).await.unwrap();
        assert_eq!(body.trailers().unwrap()["grpc-status"], "0");
        assert_eq!(body.to_bytes(), "message");
    }
    let response = within(client.send_request(call("/t.T/Fail", empty()))).await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "13");
    drop(response);
    let (client_cells, server_cells) = (pair.client.telemetry(), pair.server.telemetry());
    let (seen_by_client, seen_by_server) = pair.stop().await;
    assert_eq!(seen_by_client.grpc_statuses, [(0, 3), (13, 1)].into());
    assert_eq!(seen_by_client.grpc_statuses, seen_by_server.grpc_statuses);
    for registry in [client_cells, server_cells] {
        let snapshot = registry.snapshot();
        let methods: Vec<_> = snapshot.cells.keys().map(|k| (&*k.grpc_service, &*k.grpc_method)).collect();
        assert_eq!(methods, [("t.T", "Echo"), ("t.T", "Fail")]);
    }
}

#[tokio::test]
async fn a_stream_flows_both_ways_at_once_and_a_cancel_reaches_the_other_end() {
    let pair = Pair::new(Protocol::Grpc, application().await, ALLOW).await;
    let mut client = pair.h2().await;
    let (feed, mut pieces) = tokio::sync::mpsc::unbounded_channel::<Option<&'static str>>();
    let stream = futures_util::stream::poll_fn(move |cx| {
        let frame =
            |text: Option<&'static str>| text.map(|text| Frame::data(Bytes::from(text))).ok_or("cancelled".into());
        pieces.poll_recv(cx).map(|piece| piece.map(frame))
    });
    let body = StreamBody::new(stream).boxed();
    let mut response = within(client.send_request(call("/t.T/Echo", body))).await.unwrap();
    for word in ["one", "two", "three"] {
        feed.send(Some(word)).unwrap();
        let frame = within(response.frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), word, "answered while the call goes on");
    }
    // A body that fails makes the client reset the stream, which is how gRPC cancels.
    feed.send(None).unwrap();
    drop(response);
    for registry in [pair.client.telemetry(), pair.server.telemetry()] {
        eventually("the end of it", || async { (sum(&registry).flags == [(Flag::DC, 1)].into()).then_some(()) }).await;
    }
    eventually("the sender stopped", || async { feed.is_closed().then_some(()) }).await;
}

#[tokio::test]
async fn refusals_are_grpc_statuses() {
    let pair = Pair::new(Protocol::Grpc, application().await, &[("web", Action::Deny)]).await;
    let mut client = pair.h2().await;
    let response = within(client.send_request(call("/t.T/Echo", full("x")))).await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["grpc-status"]), (200, &"7".parse().unwrap()));
    assert!(why(&response).contains("DENY default/web => default/db"), "{response:?}");
    let message = response.headers()["grpc-message"].to_str().unwrap();
    assert!(message.starts_with("meshglass: intention: "), "{message}");
    drop(response);
    let (seen_by_client, seen_by_server) = pair.stop().await;
    assert_eq!(seen_by_server.grpc_statuses, [(7, 1)].into());
    assert_eq!(seen_by_client.grpc_statuses, [(7, 1)].into());
}
