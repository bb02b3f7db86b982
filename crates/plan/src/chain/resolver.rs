//! Resolvers: following redirects to the instances that answer.

use std::time::Duration;

use model::{Redirect, ServiceResolver, Subset};
use serde::Serialize;

use super::{ChainError, ChainNode, ChainResolver, Compiler, NAMESPACE, Work};

const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A set of instances.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ChainTarget {
    #[serde(rename = "ID")]
    pub id: String,
    pub service: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub service_subset: String,
    pub namespace: String,
    pub datacenter: String,
    pub mesh_gateway: Mode,
    pub subset: Subset,
    /// Outside of the mesh, with a name of its own for TLS.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub external: bool,
    #[serde(rename = "SNI")]
    pub sni: String,
    pub name: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Mode {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mode: String,
}

impl ChainTarget {
    fn named(mut self) -> Self {
        let subset = if self.service_subset.is_empty() { String::new() } else { format!("{}.", self.service_subset) };
        self.id = format!("{subset}{}.{}.{}", self.service, self.namespace, self.datacenter);
        self
    }

    pub(super) fn with_subset(self, subset: &str) -> Self {
        Self { service_subset: subset.to_owned(), ..self }.named()
    }

    /// What `other` says instead of this; where it says nothing, as this. Another service's subsets are its own.
    pub(super) fn rewritten(&self, other: &Redirect) -> Self {
        let mut new = Self {
            service: self.service.clone(),
            service_subset: self.service_subset.clone(),
            namespace: self.namespace.clone(),
            datacenter: self.datacenter.clone(),
            ..Self::default()
        };
        if !other.service.is_empty() && other.service != self.service {
            new.service.clone_from(&other.service);
            new.service_subset.clear();
        }
        if !other.service_subset.is_empty() {
            new.service_subset.clone_from(&other.service_subset);
        }
        if !other.datacenter.is_empty() {
            new.datacenter.clone_from(&other.datacenter);
        }
        new.named()
    }
}

impl Compiler<'_> {
    /// The service of this name where the caller is.
    pub(super) fn target(&self, service: &str) -> ChainTarget {
        ChainTarget {
            service: service.to_owned(),
            namespace: NAMESPACE.to_owned(),
            datacenter: self.question.datacenter.clone(),
            ..ChainTarget::default()
        }
        .named()
    }

    /// The node of a target, after redirects and default subsets. `standing_in`: it is looked up for a failover, so its
    /// own failover does not count.
    pub(super) fn resolver_node(&mut self, mut target: ChainTarget, standing_in: bool) -> Result<String, ChainError> {
        let nothing = ServiceResolver::default();
        let mut way: Vec<String> = Vec::new();
        loop {
            let key = format!("resolver:{}", target.id);
            if self.nodes.contains_key(&key) {
                return Ok(key);
            }
            self.meet(&target.service)?;
            let resolver = self.entries.resolvers.get(&target.service.to_lowercase()).unwrap_or(&nothing);
            let turned = way.contains(&target.id);
            way.push(target.id.clone());
            if turned {
                return Err(ChainError::CircularRedirect(way));
            }
            self.refuse_for_external(&target.service, resolver)?;
            let redirected = resolver.redirect.as_ref().map(|redirect| target.rewritten(redirect));
            if let Some(redirected) = redirected.filter(|redirected| redirected.id != target.id) {
                target = redirected;
                continue;
            }
            if target.service_subset.is_empty() && !resolver.default_subset.is_empty() {
                target = target.with_subset(&resolver.default_subset);
                continue;
            }
            return self.resolve(target, resolver, standing_in);
        }
    }

    fn resolve(
        &mut self,
        mut target: ChainTarget,
        resolver: &ServiceResolver,
        standing_in: bool,
    ) -> Result<String, ChainError> {
        if !target.service_subset.is_empty() {
            let missing =
                || ChainError::NoSubset { service: target.service.clone(), subset: target.service_subset.clone() };
            target.subset = resolver.subsets.get(&target.service_subset).ok_or_else(missing)?.clone();
        }
        self.describe(&mut target);
        let connect_timeout = self.connect_timeout(resolver);
        let default = *resolver == ServiceResolver::default();
        let found = ChainResolver { default, connect_timeout, target: target.id.clone(), failover: None };
        let node = ChainNode::new(target.id.clone(), Work::Resolver(found));
        let key = node.key();
        self.nodes.insert(key.clone(), node);
        self.targets.insert(target.id.clone(), target.clone());
        if !standing_in {
            let failover = self.failover(&target, resolver)?;
            if let Some(Work::Resolver(found)) = self.nodes.get_mut(&key).map(|node| &mut node.work) {
                found.failover = failover;
            }
        }
        Ok(key)
    }

    /// The names of the target, and how to reach it.
    fn describe(&mut self, target: &mut ChainTarget) {
        let domain = &self.question.trust_domain;
        target.name = format!("{}.internal.{domain}", target.id);
        let external = self.entries.defaults(&target.service).map(|defaults| &defaults.external_sni);
        match external.filter(|sni| !sni.is_empty()) {
            Some(sni) => {
                target.sni.clone_from(sni);
                target.external = true;
            }
            None => target.sni.clone_from(&target.name),
        }
        if target.external || target.datacenter == self.question.datacenter {
            return;
        }
        let mut mode = self.entries.mesh_gateway(&target.service);
        let asked = self.question.mesh_gateway.as_str();
        if !asked.is_empty() && asked != mode {
            mode = asked;
            self.customized.mesh_gateway = true;
        }
        mode.clone_into(&mut target.mesh_gateway.mode);
    }

    fn connect_timeout(&mut self, resolver: &ServiceResolver) -> Duration {
        let own = if resolver.connect_timeout.is_zero() { DEFAULT_CONNECT_TIMEOUT } else { resolver.connect_timeout };
        let asked = self.question.connect_timeout;
        if asked.is_zero() || asked == own {
            return own;
        }
        self.customized.connect_timeout = true;
        asked
    }

    fn refuse_for_external(&self, service: &str, resolver: &ServiceResolver) -> Result<(), ChainError> {
        if self.entries.defaults(service).is_none_or(|defaults| defaults.external_sni.is_empty()) {
            return Ok(());
        }
        let what = match resolver {
            resolver if resolver.redirect.is_some() => "redirects",
            resolver if !resolver.subsets.is_empty() => "subsets",
            resolver if !resolver.failover.is_empty() => "failover",
            _ => return Ok(()),
        };
        Err(ChainError::External { service: service.to_owned(), what })
    }
}
