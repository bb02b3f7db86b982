//! `-plan`: what a write would do, in words, before it is done.

use std::fmt::Write as _;

use bytes::Bytes;
use client::Raw;
use http::Method;
use serde::Deserialize;
use serde_json::Value;

use super::connection::{Api, TIMEOUT};
use super::{Failure, Output};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Preview {
    window_seconds: u64,
    proxies: Vec<Proxy>,
    calls: Vec<Call>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Proxy {
    node: String,
    #[serde(rename = "ID")]
    id: String,
    changes: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Call {
    source: String,
    destination: String,
    before: String,
    after: String,
    requests: u64,
    would_be_refused: u64,
    rerouted: bool,
}

/// Asks what writing `body` would do; `what` is `config` or `intention`, `label` names the thing.
pub async fn preview(api: &Api, what: &str, label: &str, body: &Value, json: bool) -> Result<Output, Failure> {
    let path = api.query().path(&format!("/v1/internal/preview/{what}"));
    let answer = api.client.send(Method::PUT, &path, Bytes::from(body.to_string()), TIMEOUT).await;
    let asking = format!("Error asking what writing {label} would change");
    let answer = answer.and_then(Raw::success).map_err(Failure::about(&asking))?;
    if json {
        return Ok(Output::text(answer.text()));
    }
    let preview = serde_json::from_str(&answer.text()).map_err(|error| Failure::new(format!("{asking}: {error}")))?;
    Ok(Output::text(text(label, &preview)))
}

fn text(label: &str, preview: &Preview) -> String {
    let minutes = preview.window_seconds / 60;
    let mut out = format!("Writing {label} would change:\n\n");
    let _ = writeln!(out, "Proxies: {}", preview.proxies.len());
    for proxy in &preview.proxies {
        let _ = writeln!(out, "  {} on node {}", proxy.id, proxy.node);
        for change in &proxy.changes {
            let _ = writeln!(out, "    {change}");
        }
    }
    let refused: u64 = preview.calls.iter().map(|call| call.would_be_refused).sum();
    let _ = writeln!(out, "\nCalls of the last {minutes} minutes: {}", preview.calls.len());
    for call in &preview.calls {
        let _ = writeln!(out, "  {} => {} ({} requests)", call.source, call.destination, call.requests);
        if call.before != call.after {
            let _ = writeln!(out, "    {} -> {}", call.before, call.after);
        }
        if call.rerouted {
            out.push_str("    would be sent another way\n");
        }
        if call.would_be_refused > 0 {
            let _ = writeln!(out, "    {} of them would have been refused", call.would_be_refused);
        }
    }
    let _ = writeln!(out, "\nRequests that would have been refused: {refused}\nNothing was written.");
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn says_what_would_be_refused_and_that_nothing_was_done() {
        let preview: Preview = serde_json::from_value(serde_json::json!({
            "WindowSeconds": 900,
            "Proxies": [{"Node": "n1", "ID": "db-sidecar-proxy", "Service": "db", "Changes": ["inbound …"]}],
            "Calls": [{"Source": "web", "Destination": "db", "Before": "allowed", "After": "denied", "Requests": 7,
                "WouldBeRefused": 6, "Rerouted": false}]
        }))
        .unwrap();
        assert_eq!(
            text("web => db (deny)", &preview),
            "Writing web => db (deny) would change:\n\nProxies: 1\n  db-sidecar-proxy on node n1\n    \
             inbound …\n\nCalls of the last 15 minutes: 1\n  web => db (7 requests)\n    allowed -> denied\n    \
             6 of them would have \
             been refused\n\nRequests that would have been refused: 6\nNothing was written.\n"
        );
    }
}
