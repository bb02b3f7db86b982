//! Everything that decides over one proxy, gathered by its agent.

use std::collections::BTreeMap;

use model::{Action, Intention, Node, ProxyDefaults, Service, ServiceDefaults};
use serde::{Deserialize, Serialize};

use crate::NoMatch;

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
