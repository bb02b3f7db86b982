//! The box: where everything is, and what to try next.

use super::layout::{Layout, NODES, Placed};
use super::screen::boxed;

/// The usual port needs no saying.
const DEFAULT_API_PORT: u16 = 8500;

pub fn summary(layout: &Layout, rate: f64, faults: &[String]) -> String {
    let api = format!("http://127.0.0.1:{}", layout.api);
    let port = |service: &str, of: fn(&Placed) -> u16| layout.find(service).map_or(0, of);
    let mut addresses = vec![
        format!("page          {api}/ui/"),
        format!("HTTP API      {api}/v1/insight/topology?window=60s"),
        format!("application   http://127.0.0.1:{}/            (emojify-ingress)", port("emojify-ingress", |p| p.port)),
        format!("in the mesh   http://127.0.0.1:{}/            (what traffic calls: its sidecar)", upstream(layout)),
        format!(
            "metrics       http://127.0.0.1:{}/metrics     (emojify-api's sidecar)",
            port("emojify-api", |p| p.metrics_port)
        ),
        format!("traffic       {rate} requests per second by 5 users"),
    ];
    if !faults.is_empty() {
        addresses.push(format!("faults        {}", faults.join("  ")));
    }
    let flag = match layout.api {
        DEFAULT_API_PORT => String::new(),
        port => format!(" -http-addr=127.0.0.1:{port}"),
    };
    let switch = |method: &str, body: &str| format!("  curl -X {method} {api}/v1/demo/faults{body}");
    let next = vec![
        "break one instance, watch the page name it, heal it:".to_owned(),
        switch("PUT", " -d '{\"Spec\":\"errors:emojify-cache#1:30%\"}'"),
        switch("DELETE", ""),
        "  (also latency:emojify-api#2:300ms and hang:emojify-facebox#1; or start with --fault …)".to_owned(),
        "cut a connection, see who says why, allow it again:".to_owned(),
        format!("  meshglass intention create{flag} -replace -deny emojify-api emojify-facebox"),
        format!("  curl -i http://127.0.0.1:{}/api/ -d http://cats.example/1.jpg", upstream(layout)),
        format!("  meshglass intention create{flag} -replace -allow emojify-api emojify-facebox"),
        "look around:".to_owned(),
        format!("  meshglass catalog services{flag}"),
        format!("  meshglass intention check{flag} traffic emojify-cache"),
    ];
    let instances =
        layout.instances.iter().map(|i| format!("{:<20} {:<7} 127.0.0.1:{}", i.name(), NODES[i.node].0, i.port));
    boxed("emojify, meshed", &[addresses, instances.collect(), next, vec!["Ctrl-C stops everything.".to_owned()]])
}

/// Where the users send their requests: the local port of traffic's sidecar.
pub fn upstream(layout: &Layout) -> u16 {
    layout.find("traffic").and_then(|traffic| traffic.upstreams.first()).map_or(0, |(_, port)| *port)
}
