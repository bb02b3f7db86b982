//! May this caller in? The plan's rules, in their order; a peer that is not of our trust domain never.

use std::rc::Rc;

use model::{Action, SpiffeId};
use plan::{Inbound, Source};

use crate::answer::{Failure, Kind};

/// The answer for one connection under one plan.
#[derive(Debug, Clone)]
pub(crate) enum Verdict {
    Allowed,
    Denied(Rc<Failure>),
}

/// Decides over a peer whose certificate is already verified. `ours` is this proxy's own identity.
pub(crate) fn judge(inbound: &Inbound, ours: &SpiffeId, peer: &SpiffeId) -> Verdict {
    let denied = |why: String| Verdict::Denied(Rc::new(Failure::new(Kind::Denied, why)));
    if peer.trust_domain != ours.trust_domain {
        return denied(format!("{peer} is not of the trust domain {}", ours.trust_domain));
    }
    let service = |name: &str| peer.namespace == ours.namespace && peer.service == *name;
    let rule = inbound.rules.iter().find(|rule| match &rule.source {
        Source::Any => true,
        Source::Service(name) => service(name),
    });
    let (action, reason) = match rule {
        Some(rule) => (rule.action, &rule.intention),
        None => (inbound.default.action, &inbound.default.reason),
    };
    match action {
        Action::Allow => Verdict::Allowed,
        Action::Deny => denied(format!("{:?} may not call {:?}: {reason}", peer.service, ours.service)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use plan::{NoMatch, Rule};

    use super::*;

    fn inbound(rules: &[(&str, Action)], default: Action) -> Inbound {
        let rule = |(source, action): &(&str, Action)| Rule {
            source: if *source == "*" { Source::Any } else { Source::Service((*source).to_owned()) },
            action: *action,
            intention: format!("rule for {source}"),
        };
        Inbound {
            name: "public_listener".to_owned(),
            bind: "127.0.0.1".to_owned(),
            port: 0,
            protocol: model::Protocol::Http,
            application: String::new(),
            rules: rules.iter().map(rule).collect(),
            default: NoMatch { action: default, reason: "default policy".to_owned() },
            connect_timeout: Duration::ZERO,
            request_timeout: Duration::ZERO,
            idle_timeout: Duration::ZERO,
            max_connections: 0,
        }
    }

    fn decide(inbound: &Inbound, peer: &str) -> Result<(), String> {
        match judge(inbound, &SpiffeId::service("td.consul", "dc1", "db"), &peer.parse().unwrap()) {
            Verdict::Allowed => Ok(()),
            Verdict::Denied(failure) => Err(failure.why.clone()),
        }
    }

    #[test]
    fn the_first_matching_rule_decides_and_the_default_when_none_does() {
        let web = "spiffe://td.consul/ns/default/dc/dc2/svc/web";
        let api = "spiffe://td.consul/ns/default/dc/dc1/svc/api";
        let rules = inbound(&[("web", Action::Allow), ("*", Action::Deny)], Action::Allow);
        assert_eq!(decide(&rules, web), Ok(()));
        assert_eq!(decide(&rules, api), Err("\"api\" may not call \"db\": rule for *".to_owned()));
        assert_eq!(
            decide(&inbound(&[], Action::Deny), web).unwrap_err(),
            "\"web\" may not call \"db\": default policy"
        );
        assert_eq!(decide(&inbound(&[], Action::Allow), web), Ok(()));
    }

    #[test]
    fn another_trust_domain_or_namespace_is_another_service() {
        let rules = inbound(&[("web", Action::Allow)], Action::Deny);
        assert!(
            decide(&rules, "spiffe://other.consul/ns/default/dc/dc1/svc/web").unwrap_err().contains("trust domain")
        );
        assert!(decide(&rules, "spiffe://td.consul/ns/prod/dc/dc1/svc/web").is_err());
        let open = inbound(&[("*", Action::Allow)], Action::Allow);
        assert!(decide(&open, "spiffe://other.consul/ns/default/dc/dc1/svc/web").is_err());
    }
}
