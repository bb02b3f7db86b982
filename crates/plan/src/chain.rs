//! The discovery chain: what a call to a service's name becomes, from the entries about it and about all they name.
//!
//! A graph of three kinds of nodes: a router chooses by the request, a splitter by chance, a resolver names the
//! instances and those that stand in for them.

mod customization;
mod failover;
mod graph;
mod resolver;
mod router;
mod splitter;

use std::collections::BTreeMap;
use std::time::Duration;

use model::{ProxyDefaults, ServiceDefaults, ServiceResolver, ServiceRoute, ServiceRouter, ServiceSplitter};
use serde::{Serialize, Serializer};
use serde_json::Value;

pub use resolver::ChainTarget;

/// The one namespace there is.
const NAMESPACE: &str = "default";

/// Splitters that lead to splitters, and the splits that come of it: each doubles the last, if one wants it to.
const DEPTH_LIMIT: usize = 128;
const SPLITS_LIMIT: usize = 10_000;

/// Every entry that a chain may be made of, by service name in lower case: entries are found in any case.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Entries {
    pub proxy_defaults: Option<ProxyDefaults>,
    pub service_defaults: BTreeMap<String, ServiceDefaults>,
    pub routers: BTreeMap<String, ServiceRouter>,
    pub splitters: BTreeMap<String, ServiceSplitter>,
    pub resolvers: BTreeMap<String, ServiceResolver>,
}

/// What is asked for beside the name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Question {
    pub service: String,
    /// Where the caller is: names without a datacenter mean this one.
    pub datacenter: String,
    pub trust_domain: String,
    /// Empty: as the entries have it.
    pub mesh_gateway: String,
    pub protocol: String,
    /// Zero: as the entries have it.
    pub connect_timeout: Duration,
}

/// The entries cannot make a chain. The texts are Consul's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    #[error(
        "discovery chain {chain:?} uses inconsistent protocols; service {service:?} has {has:?} which is not {not:?}"
    )]
    Protocols { chain: String, service: String, has: String, not: String },
    #[error(
        "discovery chain {chain:?} uses a protocol {protocol:?} \
         that does not permit advanced routing or splitting behavior"
    )]
    NotHttp { chain: String, protocol: String },
    #[error("detected circular resolver redirect: [{}]", .0.join(" -> "))]
    CircularRedirect(Vec<String>),
    #[error("detected circular reference: [{}]", .0.join(" -> "))]
    Circular(Vec<String>),
    #[error("service {service:?} does not have a subset named {subset:?}")]
    NoSubset { service: String, subset: String },
    /// Splitters of splitters of splitters …: more than any caller could follow.
    #[error("discovery chain {0:?} has more than {DEPTH_LIMIT} splitters in a row or {SPLITS_LIMIT} splits in one")]
    TooLarge(String),
    #[error("service {service:?} has an external SNI set; cannot define {what} for external services")]
    External { service: String, what: &'static str },
}

/// A compiled chain, in the form that Consul shows.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Chain {
    pub service_name: String,
    pub namespace: &'static str,
    pub datacenter: String,
    /// Tells apart the chains of one name that were asked for differently; empty when nothing asked for acted.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub customization_hash: String,
    pub protocol: String,
    pub start_node: String,
    pub nodes: BTreeMap<String, ChainNode>,
    pub targets: BTreeMap<String, ChainTarget>,
}

/// Its name and what it does.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ChainNode {
    r#type: &'static str,
    pub name: String,
    #[serde(flatten)]
    pub work: Work,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Work {
    /// In order; the last takes everything.
    Routes(Vec<ChainRoute>),
    Splits(Vec<ChainSplit>),
    Resolver(ChainResolver),
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ChainRoute {
    pub definition: ServiceRoute,
    pub next_node: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ChainSplit {
    #[serde(serialize_with = "percent", skip_serializing_if = "is_zero")]
    pub weight: f32,
    pub next_node: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ChainResolver {
    /// No entry says anything about it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub default: bool,
    #[serde(serialize_with = "go_duration")]
    pub connect_timeout: Duration,
    pub target: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failover: Option<ChainFailover>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ChainFailover {
    pub targets: Vec<String>,
}

fn go_duration<S: Serializer>(value: &Duration, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(&model::format_duration(*value))
}

fn is_zero(weight: &f32) -> bool {
    *weight == 0.0
}

/// Go prints 60.0 as 60.
fn percent<S: Serializer>(value: &f32, out: S) -> Result<S::Ok, S::Error> {
    if value.fract() == 0.0 { out.serialize_i64(*value as i64) } else { out.serialize_f32(*value) }
}

impl ChainNode {
    fn new(name: String, work: Work) -> Self {
        let r#type = match work {
            Work::Routes(_) => "router",
            Work::Splits(_) => "splitter",
            Work::Resolver(_) => "resolver",
        };
        Self { r#type, name, work }
    }

    /// What the node is called in the graph.
    fn key(&self) -> String {
        format!("{}:{}", self.r#type, self.name)
    }
}

impl Entries {
    /// Everything that an entry is about, whether or not other entries name it.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.routers.keys().chain(self.splitters.keys()).chain(self.resolvers.keys())
    }

    /// The names (in lower case) that the entries of a service lead to.
    pub fn destinations(&self, service: &str) -> Vec<String> {
        let mut found: Vec<&String> = Vec::new();
        let routes = self.routers.get(service).into_iter().flat_map(|router| &router.routes);
        found.extend(routes.filter_map(|route| route.destination.as_ref()).map(|destination| &destination.service));
        found.extend(self.splitters.get(service).into_iter().flat_map(|splitter| &splitter.splits).map(|s| &s.service));
        if let Some(resolver) = self.resolvers.get(service) {
            found.extend(resolver.redirect.iter().map(|redirect| &redirect.service));
            for failover in resolver.failover.values() {
                found.push(&failover.service);
                found.extend(failover.targets.iter().map(|target| &target.service));
            }
        }
        found.into_iter().filter(|name| !name.is_empty()).map(|name| name.to_lowercase()).collect()
    }

    /// The protocol of one service: its own, that of all when it has no entry, or TCP.
    pub fn protocol(&self, service: &str) -> String {
        if let Some(own) = self.defaults(service) {
            return if own.protocol.is_empty() { "tcp".to_owned() } else { own.protocol.clone() };
        }
        let all = self.proxy_defaults.as_ref().and_then(|defaults| defaults.config.get("protocol"));
        match all {
            Some(Value::String(text)) if !text.is_empty() => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => "tcp".to_owned(),
        }
    }

    fn defaults(&self, service: &str) -> Option<&ServiceDefaults> {
        self.service_defaults.get(&service.to_lowercase())
    }

    fn mesh_gateway(&self, service: &str) -> &str {
        let own = self.defaults(service).map(|defaults| defaults.mesh_gateway_mode.as_str());
        let all = self.proxy_defaults.as_ref().map(|defaults| defaults.mesh_gateway_mode.as_str());
        own.filter(|mode| !mode.is_empty()).or(all).unwrap_or_default()
    }
}

fn is_http(protocol: &str) -> bool {
    matches!(protocol, "http" | "http2" | "grpc")
}

impl Chain {
    /// A chain that leads nowhere.
    pub(crate) fn empty(question: &Question) -> Self {
        Self {
            service_name: question.service.clone(),
            namespace: NAMESPACE,
            datacenter: question.datacenter.clone(),
            customization_hash: String::new(),
            protocol: question.protocol.clone(),
            start_node: String::new(),
            nodes: BTreeMap::new(),
            targets: BTreeMap::new(),
        }
    }
}

/// Compiles the chain of one name.
pub fn compile(entries: &Entries, question: &Question) -> Result<Chain, ChainError> {
    let mut compiler = Compiler {
        entries,
        question,
        // A caller that speaks plain TCP cannot be routed by request.
        advanced: question.protocol.is_empty() || is_http(&question.protocol),
        uses_advanced: false,
        depth: 0,
        protocol: String::new(),
        customized: customization::Customized::default(),
        nodes: BTreeMap::new(),
        targets: BTreeMap::new(),
    };
    let start_node = compiler.start()?;
    compiler.finish(start_node)
}

struct Compiler<'a> {
    entries: &'a Entries,
    question: &'a Question,
    advanced: bool,
    uses_advanced: bool,
    /// How many splitters lead to the one that is being looked at.
    depth: usize,
    /// That of the first service met; all others must have the same.
    protocol: String,
    customized: customization::Customized,
    nodes: BTreeMap<String, ChainNode>,
    targets: BTreeMap<String, ChainTarget>,
}

impl Compiler<'_> {
    fn start(&mut self) -> Result<String, ChainError> {
        let service = self.question.service.clone();
        if let Some(node) = self.router_node(&service)? {
            return Ok(node);
        }
        self.splitter_or_resolver_node(&service)
    }

    fn splitter_or_resolver_node(&mut self, service: &str) -> Result<String, ChainError> {
        match self.splitter_node(service)? {
            Some(node) => Ok(node),
            None => {
                let target = self.target(service);
                self.resolver_node(target, false)
            }
        }
    }

    /// Everything in one chain speaks one protocol.
    fn meet(&mut self, service: &str) -> Result<(), ChainError> {
        let has = self.entries.protocol(service);
        if self.protocol.is_empty() {
            self.protocol = has;
        } else if self.protocol != has {
            let (chain, not) = (self.question.service.clone(), self.protocol.clone());
            return Err(ChainError::Protocols { chain, service: service.to_owned(), has, not });
        }
        Ok(())
    }

    fn finish(mut self, start_node: String) -> Result<Chain, ChainError> {
        graph::refuse_circles(&self.nodes, &start_node)?;
        if !splitter::flatten(&mut self.nodes) {
            return Err(ChainError::TooLarge(self.question.service.clone()));
        }
        graph::drop_unreachable(&mut self.nodes, &start_node);
        graph::drop_unused(&mut self.targets, &self.nodes);
        let question = self.question;
        if self.uses_advanced && !is_http(&self.protocol) {
            return Err(ChainError::NotHttp { chain: question.service.clone(), protocol: self.protocol });
        }
        if !question.protocol.is_empty() && question.protocol != self.protocol {
            self.protocol.clone_from(&question.protocol);
            self.customized.protocol = true;
        }
        Ok(Chain {
            service_name: question.service.clone(),
            namespace: NAMESPACE,
            datacenter: question.datacenter.clone(),
            customization_hash: self.customized.hash(question),
            protocol: self.protocol,
            start_node,
            nodes: self.nodes,
            targets: self.targets,
        })
    }
}

#[cfg(test)]
mod tests;
