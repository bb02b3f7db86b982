//! The plans of this agent's proxies: compiled anew when anything they are made of changes, told when they differ.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use model::{Service, ServiceKind};
use plan::{Inputs, NoMatch, Plan};
use tokio::sync::watch;

use crate::agent::Agent;

/// A plan and the hash of its content, by which a sidecar asks for the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanVersion {
    pub plan: Arc<Plan>,
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

    /// Compiles the plan of every local proxy whose inputs are known; those that are gone lose their watch.
    pub fn compile(&self, agent: &Agent, trust_domain: &str) {
        let services = agent.registrations();
        let proxies = services.values().filter(|service| service.kind == ServiceKind::ConnectProxy);
        let plans: BTreeMap<&String, Option<Plan>> = proxies
            .map(|proxy| {
                let parent = proxy.proxy.as_ref().and_then(|proxy| services.get(&proxy.destination_service_id));
                (&proxy.id, inputs(agent, trust_domain, proxy, parent).as_ref().map(plan::compile))
            })
            .collect();
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|id, _| plans.contains_key(id));
        for (id, plan) in plans {
            let Some(plan) = plan else { continue };
            entries.entry(id.clone()).or_default().send_if_modified(|known| {
                let same = known.as_ref().is_some_and(|known| *known.plan == plan);
                if !same {
                    *known = Some(PlanVersion { hash: plan::content_hash(&plan), plan: Arc::new(plan) });
                }
                !same
            });
        }
    }
}

fn inputs(agent: &Agent, trust_domain: &str, proxy: &Service, parent: Option<&Service>) -> Option<Inputs> {
    let config = agent.config();
    let central = agent.central();
    // Without its intentions known a proxy has no plan yet: it must not let anybody in by default.
    let intentions = agent.intentions().held(proxy.identity_name())?;
    Some(Inputs {
        proxy: proxy.clone(),
        parent: parent.cloned(),
        node: config.node.clone(),
        datacenter: config.node.datacenter.clone(),
        trust_domain: trust_domain.to_owned(),
        proxy_defaults: central.proxy_defaults.clone(),
        service_defaults: central.service_defaults.clone(),
        intentions: intentions.to_vec(),
        default: NoMatch { action: config.default_policy, reason: config.default_reason().to_owned() },
    })
}
