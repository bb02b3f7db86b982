//! Who the services of this agent are, and whom they let in: roots, certificates, decisions.

use std::sync::Arc;
use std::time::Duration;

use model::{SpiffeId, Token};
use tokio::sync::watch;

use super::Agent;
use crate::error::Error;
use crate::leaf::Leaf;
use crate::roots::Roots;

/// How long a decision, a certificate or the roots wait for the servers' first answer.
pub(super) const FIRST_ANSWER: Duration = Duration::from_secs(10);
/// The longest a caller may wait for something new.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// A decision over one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub authorized: bool,
    pub reason: String,
    /// The intentions were held already: nobody had to be asked.
    pub from_cache: bool,
}

impl Agent {
    /// The roots, once the servers have answered; blocks while they are those of `index`.
    pub async fn roots(&self, index: u64, wait: Duration) -> Result<Roots, Error> {
        let mut watch = self.roots.subscribe();
        let known = known(&mut watch, FIRST_ANSWER).await.ok_or_else(|| Error::NotReady("CA roots".to_owned()))?;
        if index == 0 || known.index != index {
            return Ok(known);
        }
        let wait = wait.min(LONGEST_WAIT);
        let newer = |roots: &Option<Roots>| roots.as_ref().is_some_and(|roots| roots.index != index);
        let _ = tokio::time::timeout(wait, watch.wait_for(newer)).await;
        Ok(watch.borrow().clone().unwrap_or(known))
    }

    pub(crate) fn watch_roots(&self) -> watch::Receiver<Option<Roots>> {
        self.roots.subscribe()
    }

    /// The certificate for a service name and whether it was there already; blocks while it is that of `index`.
    pub async fn leaf(self: &Arc<Self>, service: &str, index: u64, wait: Duration) -> Result<(Arc<Leaf>, bool), Error> {
        self.leaf_for(&Token::default(), service, index, wait).await
    }

    /// The same with the rights of whoever asks, when the service is not of this agent.
    pub async fn leaf_for(
        self: &Arc<Self>,
        asker: &Token,
        service: &str,
        index: u64,
        wait: Duration,
    ) -> Result<(Arc<Leaf>, bool), Error> {
        let (mut watch, cached) = self.leaves.watch(self, service, asker)?;
        let first = known(&mut watch, FIRST_ANSWER).await;
        let leaf =
            first.ok_or_else(|| Error::NotReady(format!("certificate for {service}")))?.map_err(Error::Refused)?;
        if index == 0 || leaf.modify_index != index {
            return Ok((leaf, cached));
        }
        let newer = |state: &Option<Result<Arc<Leaf>, String>>| {
            state.as_ref().is_some_and(|state| state.as_ref().is_ok_and(|leaf| leaf.modify_index != index))
        };
        let waited = tokio::time::timeout(wait.min(LONGEST_WAIT), watch.wait_for(newer)).await.is_ok();
        let cached = cached && !waited;
        match watch.borrow().clone() {
            Some(Ok(leaf)) => Ok((leaf, cached)),
            _ => Ok((leaf, cached)),
        }
    }

    /// Whether the holder of a certificate may call a service here. As in Consul only the service in the URI counts.
    pub async fn authorize(self: &Arc<Self>, target: &str, client_uri: &str) -> Result<Decision, Error> {
        self.authorize_for(&Token::default(), target, client_uri).await
    }

    /// The same with the rights of whoever asks, when the target is not of this agent.
    pub async fn authorize_for(
        self: &Arc<Self>,
        asker: &Token,
        target: &str,
        client_uri: &str,
    ) -> Result<Decision, Error> {
        if target.is_empty() {
            return Err(Error::Invalid("Target service must be specified".to_owned()));
        }
        let source = source_of(client_uri)?;
        let (mut watch, from_cache) = self.intentions.watch(self, target, asker);
        let held = known(&mut watch, FIRST_ANSWER).await.ok_or_else(|| Error::NotReady("intentions".to_owned()))?;
        Ok(match model::decide(&held, &source, target) {
            Some(intention) => Decision {
                authorized: intention.action == model::Action::Allow,
                reason: format!("Matched intention: {intention}"),
                from_cache,
            },
            None => Decision {
                authorized: self.config.default_policy == model::Action::Allow,
                reason: self.config.default_reason().to_owned(),
                from_cache,
            },
        })
    }
}

/// The first value of a watch that begins empty.
async fn known<T: Clone>(watch: &mut watch::Receiver<Option<T>>, limit: Duration) -> Option<T> {
    match tokio::time::timeout(limit, watch.wait_for(Option::is_some)).await {
        Ok(Ok(value)) => value.clone(),
        _ => None,
    }
}

/// The service a client certificate names. A trust domain's own URI is an identity, but not a service's.
fn source_of(uri: &str) -> Result<String, Error> {
    let not_connect = || Error::Invalid("ClientCertURI not a valid Connect identifier".to_owned());
    if let Ok(identity) = uri.parse::<SpiffeId>() {
        return Ok(identity.service);
    }
    let rest = uri.strip_prefix("spiffe://").ok_or_else(not_connect)?;
    match rest.split_once('/') {
        None if !rest.is_empty() => Err(Error::Invalid("ClientCertURI not a valid Service identifier".to_owned())),
        Some((domain, "")) if !domain.is_empty() => {
            Err(Error::Invalid("ClientCertURI not a valid Service identifier".to_owned()))
        }
        _ => Err(not_connect()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_the_service_of_a_service_identity_counts() {
        let service = |uri| source_of(uri).map_err(|e| e.to_string());
        assert_eq!(service("spiffe://x.consul/ns/default/dc/dc9/svc/web").unwrap(), "web");
        assert_eq!(service("spiffe://x.consul").unwrap_err(), "ClientCertURI not a valid Service identifier");
        for bad in ["http://x", "", "spiffe://", "spiffe://x.consul/agent/y"] {
            assert_eq!(service(bad).unwrap_err(), "ClientCertURI not a valid Connect identifier", "{bad}");
        }
    }
}
