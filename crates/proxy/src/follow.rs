//! Follows an agent over `/v1`: the plan, the endpoints of each target, the leaf and the roots, each by a blocking
//! query of its own.

use std::collections::BTreeMap;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use client::{Answer, Client, Query};
use model::{Status, Weights};
use plan::{Endpoint, Plan, Target, TargetId};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::Error;
use crate::control::{Leaf, Shared};
use crate::snapshot::Instance;

/// How long one question may wait for a change.
const WAIT: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// An unchanged answer sooner than this did not block: asking again at once would only spin.
const BLOCKED: Duration = Duration::from_millis(50);

/// Growing pauses between failed questions, each between half and all of the step.
struct Backoff(Duration);

impl Backoff {
    async fn pause(&mut self) {
        tokio::time::sleep(self.0.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        self.0 = (self.0 * 2).min(LONGEST_PAUSE);
    }
}

/// Where a follower stands.
#[derive(Default)]
struct Position {
    index: Option<u64>,
    hash: Option<String>,
}

impl Position {
    fn query(&self) -> Query {
        let blocks = self.index.is_some() || self.hash.is_some();
        Query { index: self.index, hash: self.hash.clone(), wait: blocks.then_some(WAIT), ..Query::default() }
    }

    /// Moves on; true when the answer is a new one.
    fn advance<T>(&mut self, answer: &Answer<T>) -> bool {
        if answer.hash.is_some() {
            let new = self.hash != answer.hash;
            self.hash.clone_from(&answer.hash);
            return new;
        }
        let new = self.index != Some(answer.index);
        // An index that went back means that the server began anew.
        let back = self.index.is_some_and(|was| answer.index < was);
        self.index = (!back && answer.index > 0).then_some(answer.index);
        new
    }
}

/// Asks for ever, and hands every new answer to `take`; one that `take` refuses counts as a failure.
async fn follow<T: DeserializeOwned>(
    client: &Client,
    what: &str,
    path: &str,
    more: &[(String, String)],
    mut take: impl FnMut(T) -> Result<(), String>,
) {
    let mut position = Position::default();
    let mut backoff = Backoff(FIRST_PAUSE);
    let mut failing = false;
    loop {
        let mut query = position.query();
        query.more.extend_from_slice(more);
        let asked = Instant::now();
        let outcome = match client.get::<T>(path, &query).await {
            Ok(answer) => {
                let new = position.advance(&answer);
                if !new && asked.elapsed() < BLOCKED {
                    backoff.pause().await;
                }
                if new { take(answer.value) } else { Ok(()) }
                    .map_err(|reason| Error::Answer { what: what.to_owned(), reason })
                    .map(|()| new)
            }
            Err(source) => Err(Error::Control { what: what.to_owned(), source }),
        };
        match outcome {
            Ok(new) => {
                if failing {
                    tracing::info!("the agent answers again for {what}");
                }
                failing = false;
                if new {
                    backoff = Backoff(FIRST_PAUSE);
                }
            }
            Err(error) => {
                if !failing {
                    tracing::warn!("{error}; going on with what is known");
                }
                failing = true;
                position = Position::default();
                backoff.pause().await;
            }
        }
    }
}

/// Follows everything that proxy `id` needs.
pub(crate) async fn agent(client: Client, id: String, shared: Rc<Shared>) {
    let path = format!("/v1/agent/connect/proxy/{id}");
    let mut targets = Targets { client: client.clone(), shared: shared.clone(), running: BTreeMap::new() };
    let mut identity = Running::default();
    let what = format!("the plan of {id:?}");
    let plan = follow::<Plan>(&client, &what, &path, &[], |plan| {
        targets.set(&plan.targets);
        identity.set(plan.proxy.service.clone(), |service| leaf(client.clone(), service, shared.clone()));
        plan.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        shared.update(|known| known.plan = Some(Arc::new(plan)));
        Ok(())
    });
    tokio::join!(plan, roots(client.clone(), shared.clone()));
}

/// A task that is replaced when what it follows has another name.
#[derive(Default)]
struct Running {
    name: String,
    task: Option<AbortHandle>,
}

impl Running {
    fn set<F: Future<Output = ()> + 'static>(&mut self, name: String, task: impl FnOnce(String) -> F) {
        if self.task.is_some() && self.name == name {
            return;
        }
        self.stop();
        self.task = Some(tokio::task::spawn_local(task(name.clone())).abort_handle());
        self.name = name;
    }

    fn stop(&mut self) {
        self.task.take().into_iter().for_each(|task| task.abort());
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct LeafAnswer {
    #[serde(rename = "CertPEM")]
    cert_pem: String,
    #[serde(rename = "PrivateKeyPEM")]
    private_key_pem: ca::PrivateKeyPem,
}

async fn leaf(client: Client, service: String, shared: Rc<Shared>) {
    let path = format!("/v1/agent/connect/ca/leaf/{service}");
    follow::<LeafAnswer>(&client, &format!("the certificate of {service:?}"), &path, &[], |answer| {
        let leaf = Leaf { certificates: answer.cert_pem, key: answer.private_key_pem };
        shared.update(|known| known.leaf = Some(leaf));
        Ok(())
    })
    .await;
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RootsAnswer {
    roots: Option<Vec<RootAnswer>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RootAnswer {
    root_cert: String,
}

async fn roots(client: Client, shared: Rc<Shared>) {
    follow::<RootsAnswer>(&client, "the CA's roots", "/v1/agent/connect/ca/roots", &[], |answer| {
        let roots: Vec<String> = answer.roots.into_iter().flatten().map(|root| root.root_cert).collect();
        if roots.is_empty() {
            return Err("no root at all".to_owned());
        }
        shared.update(|known| known.roots = Some(roots));
        Ok(())
    })
    .await;
}

/// One follower per target.
struct Targets {
    client: Client,
    shared: Rc<Shared>,
    running: BTreeMap<TargetId, Running>,
}

impl Targets {
    fn set(&mut self, targets: &BTreeMap<TargetId, Arc<Target>>) {
        // What is known of their instances stays until the plan before this one is not served any more.
        self.running.retain(|id, running| {
            let kept = targets.contains_key(id);
            if !kept {
                running.stop();
            }
            kept
        });
        for (id, target) in targets {
            // The name holds everything the question depends on.
            let subset = if target.filter.is_empty() { String::new() } else { format!(" where {}", target.filter) };
            let name = format!("{} in {}{subset}", target.service, target.datacenter);
            let (client, shared, target) = (self.client.clone(), self.shared.clone(), target.clone());
            self.running.entry(id.clone()).or_default().set(name, |name| endpoints(client, name, target, shared));
        }
    }
}

/// Of a health answer, what a proxy needs. Consul writes an empty map or list as `null`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HealthAnswer {
    node: NodeAnswer,
    service: ServiceAnswer,
    checks: Option<Vec<CheckAnswer>>,
}

type Meta = Option<BTreeMap<String, String>>;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NodeAnswer {
    node: String,
    #[serde(default)]
    address: String,
    meta: Meta,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ServiceAnswer {
    #[serde(rename = "ID")]
    id: String,
    #[serde(default)]
    address: String,
    #[serde(default)]
    port: u16,
    meta: Meta,
    weights: Option<Weights>,
    proxy: Option<ProxyAnswer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ProxyAnswer {
    #[serde(rename = "DestinationServiceID", default)]
    destination_service_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CheckAnswer {
    #[serde(default)]
    name: String,
    #[serde(default)]
    status: Status,
    #[serde(default)]
    output: String,
}

async fn endpoints(client: Client, name: String, target: Arc<Target>, shared: Rc<Shared>) {
    let path = format!("/v1/health/connect/{}", target.service);
    // Not `passing`: an instance that is left out must be named, with its check, when none is left.
    let mut more = vec![("dc".to_owned(), target.datacenter.clone())];
    if !target.filter.is_empty() {
        more.push(("filter".to_owned(), target.filter.clone()));
    }
    follow::<Vec<HealthAnswer>>(&client, &format!("the instances of {name}"), &path, &more, |answer| {
        let instances: Vec<Instance> = answer.iter().map(instance).collect();
        shared.update(|known| drop(known.endpoints.insert(target.id.clone(), Arc::new(instances))));
        Ok(())
    })
    .await;
}

fn instance(entry: &HealthAnswer) -> Instance {
    let HealthAnswer { node, service, checks } = entry;
    let checks = checks.as_deref().unwrap_or_default();
    let worst = checks.iter().map(|check| check.status).max().unwrap_or(Status::Passing);
    let host = if service.address.is_empty() { &node.address } else { &service.address };
    let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    let destination = service.proxy.as_ref().map(|proxy| &proxy.destination_service_id).filter(|id| !id.is_empty());
    let meta = |map: &Meta, key: &str| map.as_ref().and_then(|map| map.get(key)).cloned().unwrap_or_default();
    let weights = service.weights.unwrap_or_default();
    let endpoint = Endpoint {
        address: format!("{host}:{}", service.port),
        instance: destination.unwrap_or(&service.id).clone(),
        node: node.node.clone(),
        zone: meta(&node.meta, "zone"),
        version: meta(&service.meta, "version"),
        weight: if worst == Status::Warning { weights.warning } else { weights.passing },
        healthy: worst != Status::Critical,
        warning: worst == Status::Warning,
    };
    Instance { endpoint, unwell: unwell(checks) }
}

/// `check "Service 'db' check" is critical: connection refused`
fn unwell(checks: &[CheckAnswer]) -> String {
    const OUTPUT_CHARS: usize = 120;
    let Some(check) = checks.iter().find(|check| check.status == Status::Critical) else { return String::new() };
    let output: String = check.output.trim().chars().take(OUTPUT_CHARS).collect();
    format!("check {:?} is critical: {output}", check.name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_health_answer_becomes_an_instance() {
        let entry: HealthAnswer = serde_json::from_value(serde_json::json!({
            "Node": {"Node": "n1", "Address": "10.0.0.1", "Meta": {"zone": "a"}},
            "Service": {"ID": "db-1-sidecar-proxy", "Port": 21000, "Meta": {"version": "2"},
                "Weights": {"Passing": 5, "Warning": 2}, "Proxy": {"DestinationServiceID": "db-1"}},
            "Checks": [{"Name": "up", "Status": "warning"}]
        }))
        .unwrap();
        let Instance { endpoint, unwell } = instance(&entry);
        let expected = Endpoint {
            address: "10.0.0.1:21000".into(),
            instance: "db-1".into(),
            node: "n1".into(),
            zone: "a".into(),
            version: "2".into(),
            weight: 2,
            healthy: true,
            warning: true,
        };
        assert_eq!((endpoint, unwell.as_str()), (expected, ""));
        let mut critical = entry;
        let checks = critical.checks.as_mut().unwrap();
        checks[0].status = Status::Critical;
        checks[0].output = "refused".into();
        let Instance { endpoint, unwell } = instance(&critical);
        assert!(!endpoint.healthy);
        assert_eq!(unwell, "check \"up\" is critical: refused");
    }

    #[test]
    fn an_index_that_goes_back_starts_over() {
        let answer = |index| Answer { value: (), index, hash: None };
        let mut position = Position::default();
        assert!(position.advance(&answer(7)) && !position.advance(&answer(7)));
        assert_eq!(position.index, Some(7));
        assert!(position.advance(&answer(3)));
        assert_eq!(position.query().wait, None, "the next question does not block");
    }
}
