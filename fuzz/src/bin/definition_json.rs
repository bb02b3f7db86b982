//! JSON: the reader against another one, and the bodies of register and config requests.

use std::process::ExitCode;

use meshglass_fuzz::{Places, corpus, run};
use model::hcl;
use model::{decode_check_json, decode_config_entry_json, decode_service_json};
use serde_json::Value;

const WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "\\",
    "\\ud83d\\ude00",
    "null",
    "true",
    "1e309",
    "-0",
    "0.1",
    "\"Name\":",
    "\"name\":\"x\",",
    "\"Check\":{",
    "\"Checks\":[{",
    "\"TTL\":\"5s\"",
    "\"Interval\":5",
    "\"Connect\":{\"SidecarService\":{",
    "\"Proxy\":{",
    "\"Upstreams\":[{",
    "\"Config\":{",
    "\"Port\":70000",
    "\"Meta\":{\"a\":\"b\"}",
    "\"Kind\":\"service-splitter\",",
    "\"Splits\":[",
    "\"Kind\":\"service-defaults\",",
    "{\"a\":",
    "[[",
    "\u{2028}",
    "é",
    "\0",
    "\n",
];

const BODIES: &[&str] = &[
    r#"{"ID":"web-1","Name":"web","Tags":["v1"],"Port":8080,"Meta":{"env":"prod"},"Weights":{"Passing":10,"Warning":1},
        "EnableTagOverride":true,"Check":{"TTL":"1h","Notes":"n"}}"#,
    r#"{"Name":"api","Connect":{"SidecarService":{"Proxy":{
        "Upstreams":[{"DestinationName":"web","LocalBindPort":9191}]}}}}"#,
    r#"{"name":"c","http":"http://h/","interval":"10s","header":{"a":["b"]},"status":"passing"}"#,
    r#"{"Kind":"service-splitter","Name":"web","Splits":[{"Weight":75.5,"ServiceSubset":"v1"},{"Weight":24.5}]}"#,
    r#"{"Kind":"proxy-defaults","Name":"global","Config":{"protocol":"http","a":[{"b":1}]},
        "MeshGateway":{"Mode":"local"}}"#,
    r#"{"Kind":"service-resolver","Name":"w","Subsets":{"v1":{"Filter":"f"}},"ConnectTimeout":15000000000}"#,
];

fn main() -> ExitCode {
    let mut seeds = corpus("json");
    seeds.extend(BODIES.iter().map(|text| text.as_bytes().to_vec()));
    run("definition_json", &seeds, WORDS, check)
}

fn check(input: &[u8]) -> Result<(), String> {
    let ours = hcl::parse_json(input);
    let places = Places::of(input);
    match &ours {
        Ok(document) => places.check_tree(&document.root)?,
        Err(error) => places.check(error.at)?,
    }
    compare(input, ours.as_ref().map(|document| document.root.to_json()).map_err(ToString::to_string))?;
    for error in [decode_service_json(input).err(), decode_check_json(input).err()].into_iter().flatten() {
        if ![400, 500].contains(&error.status) || error.text.is_empty() {
            return Err(format!("a strange answer: {error:?}"));
        }
    }
    match decode_config_entry_json(input) {
        Err(error) if error.consul_text().is_empty() => Err("a refusal without words".to_owned()),
        _ => Ok(()),
    }
}

/// Another reader must agree, but for what Go takes and it does not (lone surrogates), and where ours stops earlier.
fn compare(input: &[u8], ours: Result<Value, String>) -> Result<(), String> {
    let Ok(text) = std::str::from_utf8(input) else { return Ok(()) };
    match (serde_json::from_str::<Value>(text), ours) {
        (Ok(theirs), Ok(ours)) if !alike(&theirs, &ours) => Err(format!("read as {ours}, not as {theirs}")),
        (Ok(_), Err(error)) if !error.contains("max depth") => Err(format!("refused, though it is JSON: {error}")),
        (Err(error), Ok(ours)) if !surrogate(text) && !error.to_string().contains("recursion limit") => {
            Err(format!("accepted as {ours}, though it is no JSON: {error}"))
        }
        _ => Ok(()),
    }
}

fn surrogate(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["\\ud8", "\\ud9", "\\uda", "\\udb", "\\udc", "\\udd", "\\ude", "\\udf"].iter().any(|escape| text.contains(escape))
}

/// Equal, where the last bit of a fraction does not count (the other reader does not round it exactly).
fn alike(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) if a != b => match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) => (a - b).abs() <= a.abs() * 1e-15,
            _ => false,
        },
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| alike(a, b)))
        }
        (a, b) => a == b,
    }
}
