//! The plans of this agent's proxies: compiled anew when anything they are made of changes, told when they differ.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use model::{Intention, Service, ServiceKind};
use plan::{Inputs, NoMatch, Plan};
use tokio::sync::watch;

use crate::agent::Agent;
use crate::central::Central;
use crate::local::State;

/// A plan and the hash of its content, by which a sidecar asks for the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanVersion {
    pub plan: Arc<Plan>,
    pub hash: String,
}

/// What a plan was made of. Shared parts are compared by where they are: each is replaced when it changes.
#[derive(Clone)]
struct Made {
    proxy: Service,
    parent: Option<Service>,
    central: Arc<Central>,
    intentions: Arc<Vec<Intention>>,
    trust_domain: Arc<str>,
}

#[derive(Default)]
struct Entry {
    made: Option<Made>,
    version: watch::Sender<Option<PlanVersion>>,
}

/// Latest value per proxy; a sidecar that is slow misses the values in between and nothing else.
#[derive(Default)]
pub(crate) struct Plans {
    entries: Mutex<BTreeMap<String, Entry>>,
}

impl Plans {
    pub fn watch(&self, proxy_id: &str) -> watch::Receiver<Option<PlanVersion>> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.entry(proxy_id.to_owned()).or_default().version.subscribe()
    }

    /// Compiles the plan of every local proxy whose inputs are known and have changed; those that are gone lose their
    /// watch.
    pub fn compile(&self, agent: &Agent, trust_domain: &Arc<str>) {
        let stale = self.stale(agent, trust_domain);
        for (id, made) in stale {
            let plan = plan::compile(&made.inputs(agent));
            let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
            let entry = entries.entry(id).or_default();
            entry.made = Some(made);
            entry.version.send_if_modified(|known| {
                let same = known.as_ref().is_some_and(|known| *known.plan == plan);
                if !same {
                    *known = Some(PlanVersion { hash: plan::content_hash(&plan), plan: Arc::new(plan) });
                }
                !same
            });
        }
    }

    /// The proxies that have no plan yet or one of other inputs than there are now.
    fn stale(&self, agent: &Agent, trust_domain: &Arc<str>) -> Vec<(String, Made)> {
        let central = agent.central();
        let state = agent.state();
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|id, _| proxy(&state, id).is_some());
        let mut stale = Vec::new();
        for (id, proxy) in state.services.keys().filter_map(|id| Some((id, proxy(&state, id)?))) {
            // Without its intentions known a proxy has no plan yet: it must not let anybody in by default.
            let Some(intentions) = agent.intentions().held(proxy.identity_name()) else { continue };
            let parent_id = proxy.proxy.as_ref().map_or("", |proxy| &proxy.destination_service_id);
            let parent = state.services.get(parent_id).map(|known| &known.service);
            let made = entries.get(id).and_then(|entry| entry.made.as_ref());
            let fresh = made.is_some_and(|made| {
                Arc::ptr_eq(&made.intentions, &intentions)
                    && Arc::ptr_eq(&made.central, &central)
                    && made.trust_domain == *trust_domain
                    && made.proxy == *proxy
                    && made.parent.as_ref() == parent
            });
            if !fresh {
                let (central, trust_domain) = (Arc::clone(&central), Arc::clone(trust_domain));
                let (proxy, parent) = (proxy.clone(), parent.cloned());
                stale.push((id.clone(), Made { proxy, parent, central, intentions, trust_domain }));
            }
        }
        stale
    }
}

fn proxy<'a>(state: &'a State, id: &str) -> Option<&'a Service> {
    let service = &state.services.get(id)?.service;
    (service.kind == ServiceKind::ConnectProxy).then_some(service)
}

impl Made {
    fn inputs(&self, agent: &Agent) -> Inputs {
        let config = agent.config();
        let names = self.proxy.proxy.iter().flat_map(|proxy| &proxy.upstreams).map(|up| &*up.destination_name);
        // Only the entries that matter: of thousands a proxy needs a handful.
        let names = self.central.reachable(names.chain([self.proxy.identity_name()]));
        let central = &self.central;
        Inputs {
            proxy: self.proxy.clone(),
            parent: self.parent.clone(),
            node: config.node.clone(),
            datacenter: config.node.datacenter.clone(),
            trust_domain: self.trust_domain.to_string(),
            proxy_defaults: central.proxy_defaults.clone(),
            service_defaults: of(&names, &central.service_defaults),
            service_routers: of(&names, &central.traffic.routers),
            service_splitters: of(&names, &central.traffic.splitters),
            service_resolvers: of(&names, &central.traffic.resolvers),
            intentions: self.intentions.to_vec(),
            default: NoMatch { action: config.default_policy, reason: config.default_reason().to_owned() },
        }
    }
}

/// The entries of these names (in lower case).
fn of<T: Clone>(names: &BTreeSet<String>, all: &BTreeMap<String, T>) -> BTreeMap<String, T> {
    let wanted = all.iter().filter(|(name, _)| names.contains(&name.to_lowercase()));
    wanted.map(|(name, entry)| (name.clone(), entry.clone())).collect()
}
