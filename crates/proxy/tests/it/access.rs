//! Identity and intentions: who is let in, who is refused and how, and what a change does to what is open.

use std::time::Duration;

use http_body_util::BodyExt;
use model::{Action, Protocol};
use serde_json::json;
use telemetry::{Direction, Flag};

use crate::rig::*;

const DENY: &[(&str, Action)] = &[("web", Action::Deny)];

#[tokio::test]
async fn a_denied_caller_is_told_which_intention() {
    let pair = Pair::new(Protocol::Http, application().await, DENY).await;
    let response = within(pair.h1().await.send_request(get("/"))).await.unwrap();
    assert_eq!(response.status(), 403);
    let expected = r#"intention; "web" may not call "db": DENY default/web => default/db"#;
    assert_eq!(why(&response), expected);
    let body = text(response).await;
    assert_eq!(body, "meshglass: intention: \"web\" may not call \"db\": DENY default/web => default/db\n");
    let (seen_by_client, seen_by_server) = pair.stop().await;
    assert_eq!(seen_by_server.codes, [(403, 1)].into());
    assert_eq!((seen_by_client.codes, seen_by_client.flags), (seen_by_server.codes, [(Flag::RBAC, 1)].into()));
}

#[tokio::test]
async fn an_instance_with_another_identity_gets_nothing() {
    let mesh = Mesh::new();
    let api = mesh.start(&mesh.server_plan("api", Protocol::Http, application().await, ALLOW), &json!([])).await;
    let endpoint = json!([{"address": inbound(&api).to_string(), "instance": "db-1"}]);
    let client = mesh.start(&mesh.client_plan("web", "db", Protocol::Http), &endpoint).await;
    let response = within(h1(outbound(&client, "db")).await.send_request(get("/"))).await.unwrap();
    assert_eq!(response.status(), 503);
    let why = why(&response);
    assert!(why.starts_with("identity; ") && why.contains("/svc/api"), "{why}");
    assert_eq!(sum(&api.telemetry()).requests, 0);
}

#[tokio::test]
async fn a_caller_of_another_authority_or_without_a_certificate_is_refused_in_the_handshake() {
    let mesh = Mesh::new();
    let server = mesh.start(&mesh.server_plan("db", Protocol::Http, application().await, ALLOW), &json!([])).await;
    let stranger = Mesh::new();
    // It trusts the server's root, and was signed by another one.
    std::fs::write(stranger.folder.join("roots.pem"), &mesh.authority.root().root_cert).unwrap();
    let mut plan = stranger.client_plan("web", "db", Protocol::Http);
    let target = plan.targets.values_mut().next().unwrap();
    std::sync::Arc::make_mut(target).identity = mesh.id("db");
    let client = stranger.start(&plan, &json!([{"address": inbound(&server).to_string()}])).await;
    let response = within(h1(outbound(&client, "db")).await.send_request(get("/"))).await.unwrap();
    assert_eq!(response.status(), 503, "{}", why(&response));
    let mut naked = h1(inbound(&server)).await;
    assert!(within(naked.send_request(get("/"))).await.is_err());
    let counted = || async {
        let snapshot = server.telemetry().snapshot();
        let values = &snapshot.listeners[&(Direction::Inbound, "public_listener".to_owned())].values;
        (values.ssl_fail_verify_error >= 1 && values.ssl_connection_error >= 1).then_some(())
    };
    eventually("the refusals are counted", counted).await;
    assert_eq!(sum(&server.telemetry()).requests, 0);
}

#[tokio::test]
async fn a_resumed_session_is_authorised_like_a_full_one() {
    // TCP: a connection, and so a handshake, per call.
    let application = crate::tcp::echo().await;
    let pair = Pair::new(Protocol::Tcp, application, ALLOW).await;
    for _ in 0..3 {
        assert_eq!(crate::tcp::call(pair.address, b"hello").await.as_deref(), Some(&b"hello"[..]));
    }
    let reused = || {
        let snapshot = pair.server.telemetry().snapshot();
        snapshot.listeners[&(Direction::Inbound, "public_listener".to_owned())].values.ssl_session_reused
    };
    assert!(reused() > 0, "the sessions are resumed");
    let before = reused();
    pair.set_rules(DENY);
    eventually("refused", || async { crate::tcp::call(pair.address, b"hello").await.is_none().then_some(()) }).await;
    assert!(reused() > before, "and it was a resumed one that was refused");
}

#[tokio::test]
async fn a_plan_change_keeps_connections_and_an_intention_change_is_seen_on_them() {
    let pair = Pair::new(Protocol::Http, application().await, ALLOW).await;
    let mut sender = pair.h1().await;
    let response = within(sender.send_request(get("/"))).await.unwrap();
    assert_eq!((response.status().as_u16(), text(response).await), (200, "hello".to_owned()));
    // Not a rule for web: nothing changes for it, and nothing is closed.
    let connections = |registry: &telemetry::Registry| {
        let snapshot = registry.snapshot();
        snapshot.listeners.values().map(|l| l.values.cx_total).sum::<u64>()
    };
    let before = connections(&pair.server.telemetry());
    pair.set_rules(&[("web", Action::Allow), ("*", Action::Deny)]);
    pair.mesh.leaf("db");
    pair.mesh.leaf("web");
    for _ in 0..100 {
        let response = within(sender.send_request(get("/"))).await.unwrap();
        assert_eq!(response.status(), 200);
        drop(text(response).await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // New certificates: at most one new connection for them.
    assert!(connections(&pair.server.telemetry()) <= before + 1);
    pair.set_rules(DENY);
    let mut last = 200;
    for _ in 0..1000 {
        let response = within(sender.send_request(get("/"))).await.unwrap();
        last = response.status().as_u16();
        drop(text(response).await);
        if last != 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(last, 403, "on the same connection");
}

#[tokio::test]
async fn a_stream_of_a_caller_that_is_now_denied_ends() {
    let pair = Pair::new(Protocol::Http2, application().await, ALLOW).await;
    let mut sender = pair.h2().await;
    let request = ::http::Request::get("http://db/stall").body(empty()).unwrap();
    let mut response = within(sender.send_request(request)).await.unwrap();
    assert_eq!(within(response.frame()).await.unwrap().unwrap().into_data().unwrap(), "begun");
    let waiting = tokio::spawn({
        let mut sender = sender.clone();
        async move { sender.send_request(::http::Request::get("http://db/never").body(empty()).unwrap()).await }
    });
    eventually("both are open", || async {
        let snapshot = pair.server.telemetry().snapshot();
        (snapshot.listeners.values().map(|l| l.values.rq_active).sum::<u64>() == 2).then_some(())
    })
    .await;
    pair.set_rules(DENY);
    assert!(within(response.frame()).await.unwrap().is_err(), "the stream breaks");
    let refused = within(waiting).await.unwrap().unwrap();
    assert_eq!(refused.status(), 403, "what had no answer yet gets the refusal");
    let (_, seen_by_server) = pair.stop().await;
    assert_eq!(seen_by_server.flags, [(Flag::RBAC, 2)].into());
}
