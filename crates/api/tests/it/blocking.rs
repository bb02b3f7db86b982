use std::time::{Duration, Instant};

use http::Method;

use crate::{call, get, json, put, server};

/// A query that nothing wakes ends by then; one that is woken ends much earlier.
const WAIT: Duration = Duration::from_secs(10);

/// Runs a blocking query on `path` while `change` happens; gives its answer if the change woke it.
async fn woken_by<F: Future>(client: &client::Client, path: &str, change: F) -> Option<client::Raw> {
    let index = get(client, path).await.index();
    assert!(index > 0, "{path}");
    let separator = if path.contains('?') { '&' } else { '?' };
    let blocking = format!("{path}{separator}index={index}&wait=10s");
    let started = Instant::now();
    let query = get(client, &blocking);
    tokio::pin!(query);
    // Once polled the query is registered; the change cannot come before it.
    tokio::select! {
        biased;
        answer = &mut query => panic!("{path} did not block: {}", answer.text()),
        () = std::future::ready(()) => {}
    }
    change.await;
    let answer = tokio::time::timeout(Duration::from_millis(200), &mut query).await.ok()?;
    assert!(started.elapsed() < WAIT && answer.index() > index);
    Some(answer)
}

fn registration(service: &str, status: &str) -> String {
    format!(
        r#"{{"Node":"n2","Address":"192.0.2.2","Service":{{"ID":"{service}-1","Service":"{service}","Port":80}},
            "Check":{{"CheckID":"{service}-check","Name":"c","ServiceID":"{service}-1","Status":"{status}"}}}}"#
    )
}

#[tokio::test]
async fn health_wakes_for_its_service_only_and_at_once() {
    let client = server().await;
    put(&client, "/v1/catalog/register", &registration("web", "passing")).await;
    put(&client, "/v1/catalog/register", &registration("db", "passing")).await;
    let critical = registration("web", "critical");
    let path = "/v1/health/service/web?passing";
    let answer = woken_by(&client, path, put(&client, "/v1/catalog/register", &critical)).await.unwrap();
    assert_eq!(json(&answer), serde_json::json!([]));
    let critical = registration("db", "critical");
    assert!(woken_by(&client, path, put(&client, "/v1/catalog/register", &critical)).await.is_none());
}

#[tokio::test]
async fn a_missing_config_entry_can_be_waited_for() {
    let client = server().await;
    let path = "/v1/config/service-defaults/web";
    let missing = get(&client, path).await;
    assert_eq!(
        (missing.status.as_u16(), missing.text().as_str()),
        (404, "Config entry not found for \"service-defaults\" / \"web\"")
    );
    let body = r#"{"Kind":"service-defaults","Name":"web","Protocol":"HTTP"}"#;
    let answer = woken_by(&client, path, put(&client, "/v1/config", body)).await.unwrap();
    assert_eq!(json(&answer)["Protocol"], "http");
    let other = r#"{"Kind":"service-defaults","Name":"api","Protocol":"http"}"#;
    assert!(woken_by(&client, path, put(&client, "/v1/config", other)).await.is_none());
    let kind = "/v1/config/service-defaults";
    assert!(woken_by(&client, kind, put(&client, "/v1/config", other)).await.is_some());
    let removed = woken_by(&client, path, call(&client, Method::DELETE, path, "")).await.unwrap();
    assert_eq!(removed.status, 404);
}

#[tokio::test]
async fn intentions_of_a_destination_wake_for_its_rules_and_for_rules_for_all() {
    let client = server().await;
    let path = "/v1/connect/intentions/match?by=destination&name=db&index=0";
    // Without `index` or `wait` there is no index, as in Consul.
    assert_eq!(get(&client, "/v1/connect/intentions/match?by=destination&name=db").await.index(), 0);
    let rule =
        |destination: &str| format!(r#"{{"SourceName":"web","DestinationName":"{destination}","Action":"deny"}}"#);
    let index = get(&client, path).await.index();
    let blocking = format!("/v1/connect/intentions/match?by=destination&name=db&index={index}&wait=10s");
    let (to_db, to_all) = (rule("db"), rule("*"));
    let (answer, _) =
        tokio::join!(get(&client, &blocking), call(&client, Method::POST, "/v1/connect/intentions", &to_db));
    assert_eq!(json(&answer)["db"][0]["Action"], "deny");
    let blocking = format!("/v1/connect/intentions/match?by=destination&name=db&index={}&wait=10s", answer.index());
    let started = Instant::now();
    let (answer, _) =
        tokio::join!(get(&client, &blocking), call(&client, Method::POST, "/v1/connect/intentions", &to_all));
    assert_eq!(json(&answer)["db"].as_array().unwrap().len(), 2);
    assert!(started.elapsed() < WAIT);
}

#[tokio::test]
async fn an_index_from_the_future_waits_and_comes_back_real() {
    let client = server().await;
    let started = Instant::now();
    let answer = get(&client, "/v1/catalog/nodes?index=999999&wait=50ms").await;
    assert!(started.elapsed() >= Duration::from_millis(50));
    assert!(answer.index() < 999_999);
}
