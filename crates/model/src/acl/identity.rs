//! The rules that identities stand for.

use super::rules::{Access, Family, Rule, Rules};

/// What the built-in policy of administrators says.
pub const MANAGEMENT_RULES: &str = r#"
acl = "write"
agent_prefix "" {
	policy = "write"
}
event_prefix "" {
	policy = "write"
}
key_prefix "" {
	policy = "write"
}
keyring = "write"
node_prefix "" {
	policy = "write"
}
operator = "write"
mesh = "write"
peering = "write"
query_prefix "" {
	policy = "write"
}
service_prefix "" {
	policy = "write"
	intentions = "write"
}
session_prefix "" {
	policy = "write"
}"#;

/// A service may register itself and its sidecar, and look up whom it calls.
pub fn service_identity_rules(service: &str) -> Rules {
    let own = |name: String| rule(Family::Service, false, &name, Access::Write);
    let sidecar = format!("{service}-sidecar-proxy");
    let rules = vec![own(service.to_owned()), own(sidecar), everything(Family::Service), everything(Family::Node)];
    Rules { whole: Vec::new(), rules }
}

/// An agent may register its node, and knows every service to keep its own in order.
pub fn node_identity_rules(node: &str) -> Rules {
    let rules = vec![rule(Family::Node, false, node, Access::Write), everything(Family::Service)];
    Rules { whole: Vec::new(), rules }
}

fn everything(family: Family) -> Rule {
    rule(family, true, "", Access::Read)
}

fn rule(family: Family, prefix: bool, name: &str, access: Access) -> Rule {
    Rule { family, prefix, name: name.to_owned(), access, intentions: None }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn administrators_may_everything() {
        let rules = Rules::parse(MANAGEMENT_RULES).unwrap();
        assert_eq!((rules.whole.len(), rules.rules.len()), (5, Family::ALL.len()));
        assert!(rules.whole.iter().all(|(_, access)| *access == Access::Write));
        assert!(rules.rules.iter().all(|rule| rule.prefix && rule.access == Access::Write));
    }
}
