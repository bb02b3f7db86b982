//! Everything that decides over one proxy, gathered by its agent.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{
    Action, Intention, Node, ProxyDefaults, Service, ServiceDefaults, ServiceResolver, ServiceRouter, ServiceSplitter,
};
use serde::{Deserialize, Serialize};

use crate::NoMatch;
use crate::chain::{Chain, Entries};

/// What is known. Facts as they were registered; merging them is the compiler's work.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Inputs {
    /// The proxy's own registration, central configuration not merged in.
    pub proxy: Service,
    /// The service instance it stands for, when that one is registered beside it.
    pub parent: Option<Service>,
    pub node: Node,
    pub datacenter: String,
    pub trust_domain: String,
    pub proxy_defaults: Option<ProxyDefaults>,
    /// By service name: at least the proxy's own and those of its upstreams.
    pub service_defaults: BTreeMap<String, ServiceDefaults>,
    /// By service name in lower case: at least all that the chains of the upstreams may meet.
    pub service_routers: BTreeMap<String, ServiceRouter>,
    pub service_splitters: BTreeMap<String, ServiceSplitter>,
    pub service_resolvers: BTreeMap<String, ServiceResolver>,
    /// At least those whose destination is the proxy's service; others are ignored.
    pub intentions: Vec<Intention>,
    /// When no intention matches.
    pub default: NoMatch,
}

impl Default for NoMatch {
    /// Consul's answer, and its words, while ACLs are off.
    fn default() -> Self {
        Self { action: Action::Allow, reason: "ACLs disabled, access is allowed by default".to_owned() }
    }
}

impl Inputs {
    /// What chains are compiled from.
    pub(crate) fn entries(&self) -> Entries {
        let lower = |(name, entry): (&String, &ServiceDefaults)| (name.to_lowercase(), entry.clone());
        Entries {
            proxy_defaults: self.proxy_defaults.clone(),
            service_defaults: self.service_defaults.iter().map(lower).collect(),
            routers: self.service_routers.clone(),
            splitters: self.service_splitters.clone(),
            resolvers: self.service_resolvers.clone(),
        }
    }

    /// How long a request to a target may take, if its resolver says.
    pub(crate) fn request_timeout(&self, chain: &Chain, target: &str) -> Option<Duration> {
        let service = &chain.targets.get(target)?.service;
        let timeout = self.service_resolvers.get(&service.to_lowercase())?.request_timeout;
        (!timeout.is_zero()).then_some(timeout)
    }
}
