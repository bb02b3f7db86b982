//! Requests that the network may send: bodies of transactions and sessions, and paths of keys, bent at random.

use client::{Client, Raw};
use http::Method;

use crate::{DEADLINE, server};

const ROUNDS: usize = 1500;
const LONGEST: usize = 4096;

const WORDS: &[&str] = &[
    "{\"KV\":{\"Verb\":\"",
    "{\"Node\":{\"Verb\":\"",
    "{\"Session\":{\"Verb\":\"delete\",\"Session\":{\"ID\":\"",
    "cas",
    "lock",
    "unlock",
    "delete-tree",
    "check-session",
    "\"Value\":\"e\"",
    "\"Flags\":18446744073709551616",
    "\"Index\":-1",
    "\"Session\":null",
    "\"LockDelay\":1e300",
    "\"LockDelay\":\"-1h\"",
    "\"Checks\":[",
    "\"ServiceChecks\":[{\"ID\":\"x\"}]",
    "?recurse",
    "&keys&separator=/",
    "&cas=0",
    "&acquire=",
    "&raw",
    "%2F",
    "%ff",
    "null",
    "[",
    "]}",
    ",",
    "\u{2028}",
    "\0",
];

const SEEDS: &[&str] = &[
    r#"[{"KV":{"Verb":"set","Key":"a/b","Value":"eA==","Flags":1}},{"KV":{"Verb":"get-tree","Key":"a"}}]"#,
    r#"[{"Node":{"Verb":"set","Node":{"Node":"n","Address":"192.0.2.1","Meta":{"a":"b"}}}},
        {"Service":{"Verb":"cas","Node":"n","Service":{"ID":"s","Service":"s","Tags":["t"],"ModifyIndex":0}}},
        {"Check":{"Verb":"set","Check":{"Node":"n","CheckID":"c","Name":"c","Status":"passing","ServiceID":"s"}}}]"#,
    r#"{"Name":"x","TTL":"15s","LockDelay":"1s","Behavior":"release","NodeChecks":["serfHealth"]}"#,
    "a/b?recurse&keys&separator=%2F",
    "a?cas=1&flags=7",
];

/// One to three changes: a word put in or over, a piece cut out, a byte turned.
fn bent(rng: &mut fastrand::Rng) -> Vec<u8> {
    let mut input = SEEDS[rng.usize(..SEEDS.len())].as_bytes().to_vec();
    for _ in 0..rng.usize(1..4) {
        let at = rng.usize(..=input.len());
        let end = (at + rng.usize(..8)).min(input.len());
        let word = WORDS[rng.usize(..WORDS.len())].bytes();
        match rng.u8(..4) {
            0 => drop(input.splice(at..at, word)),
            1 => drop(input.splice(at..end, word)),
            2 => drop(input.drain(at..end)),
            _ if at < input.len() => input[at] = rng.u8(..),
            _ => {}
        }
    }
    input.truncate(LONGEST);
    input
}

/// A key and its query, as far as they can be a path.
fn path_of(input: &[u8]) -> Option<String> {
    let text: String = input.iter().map(|byte| char::from(*byte)).collect();
    Some(format!("/v1/kv/{text}").parse::<http::Uri>().ok()?.to_string())
}

async fn judge(client: &Client, method: Method, path: &str, body: &[u8]) -> u16 {
    let answer: Raw = client.send(method, path, body.to_vec().into(), DEADLINE).await.unwrap();
    let (status, text) = (answer.status.as_u16(), answer.text());
    let asked = format!("{path} {:?}", String::from_utf8_lossy(body));
    assert!([200, 301, 400, 404, 409, 500].contains(&status), "{asked}: a strange status: {status} {text}");
    assert!([200, 301, 404].contains(&status) || !text.is_empty(), "{asked}: {status} without words");
    let json = answer.headers.get(http::header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    if json {
        assert!(serde_json::from_slice::<serde_json::Value>(&answer.body).is_ok(), "{asked}: no JSON: {text}");
    }
    status
}

#[tokio::test]
async fn whatever_is_asked_gets_an_answer_with_words() {
    let client = server().await;
    let mut rng = fastrand::Rng::with_seed(7);
    let mut taken = 0;
    for _ in 0..ROUNDS {
        let input = bent(&mut rng);
        let mut statuses = Vec::new();
        for path in ["/v1/txn", "/v1/session/create"] {
            statuses.push(judge(&client, Method::PUT, path, &input).await);
        }
        if let Some(path) = path_of(&input) {
            for method in [Method::GET, Method::PUT, Method::DELETE] {
                statuses.push(judge(&client, method, &path, &input).await);
            }
        }
        taken += statuses.iter().filter(|status| **status == 200).count();
    }
    assert!(taken > ROUNDS / 2, "only {taken} requests were understood: they are too absurd");
}
