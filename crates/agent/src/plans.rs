//! The plans of this agent's proxies: compiled anew when anything they are made of changes, told when they differ.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use model::{Service, ServiceKind, SpiffeId};
use plan::{Plan, ProxyRef};
use tokio::sync::watch;

use crate::agent::Agent;

/// A plan and the hash of its content, by which a sidecar asks for the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanVersion {
    pub plan: Arc<Plan>,
    /// As Consul prints content hashes: hex digits, not padded.
    pub hash: String,
}

/// Latest value per proxy; a sidecar that is slow misses the values in between and nothing else.
#[derive(Default)]
pub(crate) struct Plans {
    entries: Mutex<BTreeMap<String, watch::Sender<Option<PlanVersion>>>>,
}

impl Plans {
    pub fn watch(&self, proxy_id: &str) -> watch::Receiver<Option<PlanVersion>> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.entry(proxy_id.to_owned()).or_default().subscribe()
    }

    /// Compiles the plan of every local proxy; those that are gone lose their watch.
    pub fn compile(&self, agent: &Agent, trust_domain: &str) {
        let services = agent.services();
        let proxies = services.values().filter(|service| service.kind == ServiceKind::ConnectProxy);
        let plans: BTreeMap<&String, Option<Plan>> =
            proxies.map(|proxy| (&proxy.id, compile(agent, trust_domain, proxy, &services))).collect();
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|id, _| plans.contains_key(id));
        for (id, plan) in plans {
            // Without its intentions known a proxy has no plan yet: it must not let anybody in by default.
            let Some(plan) = plan else { continue };
            let hash = hash(&plan);
            entries.entry(id.clone()).or_default().send_if_modified(|known| {
                let same = known.as_ref().is_some_and(|known| known.hash == hash && *known.plan == plan);
                if !same {
                    *known = Some(PlanVersion { plan: Arc::new(plan), hash });
                }
                !same
            });
        }
    }
}

fn compile(agent: &Agent, trust_domain: &str, proxy: &Service, _: &BTreeMap<String, Service>) -> Option<Plan> {
    let node = &agent.config().node;
    let service = proxy.identity_name();
    let _held = agent.intentions().held(service)?;
    let settings = proxy.proxy.as_ref()?;
    Some(Plan {
        proxy: ProxyRef {
            id: proxy.id.clone(),
            service: service.to_owned(),
            service_id: settings.destination_service_id.clone(),
            node: node.node.clone(),
            datacenter: node.datacenter.clone(),
            version: proxy.meta.get("version").cloned().unwrap_or_default(),
            zone: node.meta.get("zone").cloned().unwrap_or_default(),
        },
        identity: SpiffeId::service(trust_domain, &node.datacenter, service),
        inbound: Vec::new(),
        outbound: Vec::new(),
        targets: BTreeMap::new(),
        recording: plan::Recording::default(),
        warnings: Vec::new(),
    })
}

fn hash(plan: &Plan) -> String {
    let mut hasher = DefaultHasher::new();
    plan.hash(&mut hasher);
    format!("{:x}", hasher.finish())
}
