//! What is right and what is wrong, one fact after another, from the agent's API alone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use client::{Client, Query};
use plan::{Outbound, Plan, Target};
use serde::Deserialize;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::net::TcpStream;

use crate::commands::Failure;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A certificate this close to its end should have been renewed.
const RENEWED_BEFORE: time::Duration = time::Duration::hours(1);

/// One fact; of what is not good, also what can be done.
pub enum Finding {
    Good(String),
    Doubtful(String, String),
    Bad(String, String),
}

impl Finding {
    pub fn text(&self) -> (&str, &str) {
        match self {
            Self::Good(what) => (what, ""),
            Self::Doubtful(what, advice) | Self::Bad(what, advice) => (what, advice),
        }
    }
}

/// An instance that a sidecar could call.
pub struct Instance {
    pub name: String,
    /// `<check>: <output>` of its critical checks and those of its node.
    pub failing: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Check {
    name: String,
    status: String,
    output: String,
    #[serde(rename = "ServiceID")]
    service_id: String,
}

impl Check {
    fn is_critical(&self) -> bool {
        self.status == "critical"
    }

    fn text(&self) -> String {
        let first = self.output.trim().lines().next().unwrap_or_default();
        if first.is_empty() { format!("\"{}\"", self.name) } else { format!("\"{}\": {first}", self.name) }
    }
}

/// The targets of an upstream's routes, each once, and after them those that stand in.
pub fn targets<'a>(plan: &'a Plan, outbound: &Outbound) -> Vec<&'a Target> {
    let mut wanted: Vec<_> =
        outbound.routes.iter().flat_map(|route| &route.targets).map(|weighted| &weighted.target).cloned().collect();
    let (mut seen, mut out) = (BTreeSet::new(), Vec::new());
    while !wanted.is_empty() {
        let next: Vec<_> = wanted.drain(..).filter(|id| seen.insert(id.clone())).collect();
        for target in next.iter().filter_map(|id| plan.targets.get(id)) {
            out.push(&**target);
            wanted.extend(target.failover.iter().cloned());
        }
    }
    out
}

/// Those the catalog has for a target's service.
pub async fn instances(client: &Client, target: &Target) -> Result<Vec<Instance>, Failure> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Entry {
        node: Value,
        service: Value,
        #[serde(default)]
        checks: Vec<Check>,
    }
    let path = format!("/v1/health/connect/{}", client::escape(&target.service));
    let mut query = Query::default().with("dc", &target.datacenter);
    if !target.filter.is_empty() {
        query = query.with("filter", &target.filter);
    }
    let entries = client.get::<Vec<Entry>>(&path, &query).await;
    let entries = entries.map_err(Failure::about(format!("Error reading the instances of \"{}\"", target.service)))?;
    let instance = |entry: Entry| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let critical = entry.checks.iter().filter(|check| check.is_critical());
        Instance {
            name: format!("{} on {}", text(&entry.service["ID"]), text(&entry.node["Node"])),
            failing: critical.map(Check::text).collect(),
        }
    };
    Ok(entries.value.into_iter().map(instance).collect())
}

/// What concerns the sidecar itself.
pub async fn of_sidecar(client: &Client, plan: &Plan) -> Result<Vec<Finding>, Failure> {
    let proxy = &plan.proxy;
    let mut found = vec![Finding::Good(format!("{} is registered, for the service {}", proxy.id, proxy.service))];
    let warning = |warning: &String| {
        Finding::Doubtful(warning.clone(), "the registration or the central configuration asks for it".to_owned())
    };
    found.extend(plan.warnings.iter().map(warning));
    found.push(certificate(client, &proxy.service).await);
    found.extend(checks(client, &[&proxy.service_id, &proxy.id]).await?);
    for inbound in &plan.inbound {
        let host = if inbound.bind == "0.0.0.0" { "127.0.0.1" } else { &inbound.bind };
        let running = format!("is the sidecar running? consul connect proxy -sidecar-for {}", proxy.service_id);
        found.push(listening("the sidecar accepts calls of others", host, inbound.port, &running).await);
        let Some((host, port)) = inbound.application.rsplit_once(':') else { continue };
        let advice = "the service itself does not run, or on another port";
        let application = format!("{} itself answers", proxy.service);
        found.push(listening(&application, host, port.parse().unwrap_or_default(), advice).await);
    }
    Ok(found)
}

async fn certificate(client: &Client, service: &str) -> Finding {
    let path = format!("/v1/agent/connect/ca/leaf/{}", client::escape(service));
    let leaf = match client.get::<Value>(&path, &Query::default()).await {
        Ok(answer) => answer.value,
        Err(error) => {
            let advice = "the servers' certificate authority could not be asked".to_owned();
            return Finding::Bad(format!("no certificate for {service}: {error}"), advice);
        }
    };
    let until = leaf["ValidBefore"].as_str().unwrap_or_default();
    judge_certificate(service, until, OffsetDateTime::now_utc())
}

fn judge_certificate(service: &str, until: &str, now: OffsetDateTime) -> Finding {
    let advice = || "certificates are renewed by the agent; see its log".to_owned();
    match OffsetDateTime::parse(until, &Rfc3339) {
        Ok(end) if end <= now => Finding::Bad(format!("the certificate of {service} ended at {until}"), advice()),
        Ok(end) if end - now < RENEWED_BEFORE => {
            Finding::Doubtful(format!("the certificate of {service} ends soon, at {until}"), advice())
        }
        _ => Finding::Good(format!("the certificate of {service} is valid until {until}")),
    }
}

/// The checks of these services on the agent, and of its node.
async fn checks(client: &Client, ids: &[&str]) -> Result<Vec<Finding>, Failure> {
    let checks = client.get::<BTreeMap<String, Check>>("/v1/agent/checks", &Query::default()).await;
    let checks = checks.map_err(Failure::about("Error getting checks"))?.value;
    let concerns = |check: &&Check| check.service_id.is_empty() || ids.contains(&check.service_id.as_str());
    let critical: Vec<Finding> = checks
        .values()
        .filter(concerns)
        .filter(|check| check.is_critical())
        .map(|check| {
            let whose = if check.service_id.is_empty() { "the node" } else { &check.service_id };
            let advice = "nobody is sent there as long as it fails".to_owned();
            Finding::Bad(format!("a check of {whose} fails, {}", check.text()), advice)
        })
        .collect();
    Ok(if critical.is_empty() { vec![Finding::Good("no check of it or its node fails".to_owned())] } else { critical })
}

async fn listening(what: &str, host: &str, port: u16, advice: &str) -> Finding {
    let answer = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect((host, port))).await;
    let why = match answer {
        Ok(Ok(_)) => return Finding::Good(format!("{what} on {host}:{port}")),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer".to_owned(),
    };
    Finding::Bad(format!("nobody listens on {host}:{port} ({why}), where {what}"), advice.to_owned())
}

/// What concerns the way to one upstream.
pub async fn of_upstream(client: &Client, plan: &Plan, outbound: &Outbound) -> Result<Vec<Finding>, Failure> {
    let running = format!("is the sidecar running? consul connect proxy -sidecar-for {}", plan.proxy.service_id);
    let takes = format!("the sidecar takes calls to {}", outbound.name);
    let mut found = vec![listening(&takes, &outbound.bind, outbound.port, &running).await];
    let targets = targets(plan, outbound);
    let mut healthy = 0;
    for target in &targets {
        let instances = instances(client, target).await?;
        let ready = instances.iter().filter(|instance| instance.failing.is_empty()).count();
        healthy += ready;
        found.push(judge_instances(&target.id.0, &instances, ready));
        found.push(intention(client, &plan.proxy.service, &target.service).await?);
    }
    if healthy == 0 {
        let advice = "calls are answered with 503 until an instance and its sidecar are healthy".to_owned();
        found.push(Finding::Bad(format!("nobody can answer calls to {}", outbound.name), advice));
    }
    Ok(found)
}

fn judge_instances(target: &str, instances: &[Instance], ready: usize) -> Finding {
    let count = instances.len();
    let Some(failing) = instances.iter().find(|instance| !instance.failing.is_empty()) else {
        return match count {
            0 => Finding::Doubtful(
                format!("{target} has no instance with a sidecar"),
                "register the service with connect { sidecar_service {} }".to_owned(),
            ),
            _ => Finding::Good(format!("{target}: {ready} of {count} instances healthy")),
        };
    };
    let why = format!("{}: {}", failing.name, failing.failing.join("; "));
    Finding::Doubtful(format!("{target}: {ready} of {count} instances healthy"), why)
}

async fn intention(client: &Client, source: &str, destination: &str) -> Result<Finding, Failure> {
    const PATH: &str = "/v1/connect/intentions";
    let query = Query::default().with("source", source).with("destination", destination).with("source-type", "consul");
    let answer = client.get::<Value>(&format!("{PATH}/check"), &query).await;
    let answer = answer.map_err(Failure::about("Error checking the connection"))?.value;
    if answer["Allowed"] == true {
        return Ok(Finding::Good(format!("{source} may call {destination}")));
    }
    let query = Query::default().with("by", "destination").with("name", destination);
    let path = format!("{PATH}/match");
    let matches = client.get::<BTreeMap<String, Option<Vec<client::ListedIntention>>>>(&path, &query);
    let matches = matches.await.map_err(Failure::about("Error matching the connection"))?.value;
    let first = matches.into_values().flatten().flatten().find(|i| i.source_name == source || i.source_name == "*");
    let why = match first {
        Some(i) => format!("{} => {} ({})", i.source_name, i.destination_name, i.action),
        None => "no intention says so, and the default is to deny".to_owned(),
    };
    let advice = format!("consul intention create -replace {source} {destination}");
    Ok(Finding::Bad(format!("{source} may not call {destination}: {why}"), advice))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_certificate_is_judged_by_its_end() {
        let now = OffsetDateTime::parse("2026-11-25T12:00:00Z", &Rfc3339).unwrap();
        let judged = |until| judge_certificate("web", until, now);
        assert!(matches!(judged("2026-11-28T12:00:00Z"), Finding::Good(_)));
        assert!(matches!(judged("2026-11-25T12:30:00Z"), Finding::Doubtful(..)));
        assert!(matches!(judged("2026-11-25T11:00:00Z"), Finding::Bad(..)));
    }

    #[test]
    fn a_failing_instance_is_named_with_its_check() {
        let instance = |failing: &[&str]| Instance {
            name: "db on n1".to_owned(),
            failing: failing.iter().map(|text| (*text).to_owned()).collect(),
        };
        let found = judge_instances("db.default.dc1", &[instance(&[]), instance(&["\"up\": refused"])], 1);
        assert_eq!(found.text(), ("db.default.dc1: 1 of 2 instances healthy", "db on n1: \"up\": refused"));
        assert!(matches!(judge_instances("db", &[], 0), Finding::Doubtful(..)));
        assert!(matches!(judge_instances("db", &[instance(&[])], 1), Finding::Good(_)));
    }
}
