//! Access control: tokens, policies, roles, identities, ways to log in, and the rules that all of them end in.

mod identity;
mod rights;
mod rules;
mod translate;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

pub use identity::{MANAGEMENT_RULES, node_identity_rules, service_identity_rules};
pub use rights::{Resource, Right, Rights};
pub use rules::{Access, Family, Rule, Rules, RulesError, Whole};
pub use translate::translate_rules;

use crate::service::{OpaqueMap, Token};

pub const MANAGEMENT_POLICY_ID: &str = "00000000-0000-0000-0000-000000000001";
pub const MANAGEMENT_POLICY: &str = "global-management";
pub const ANONYMOUS_TOKEN_ID: &str = "00000000-0000-0000-0000-000000000002";
/// The secret of requests that bring none.
pub const ANONYMOUS: &str = "anonymous";
/// Ids that begin so are Consul's own.
pub const RESERVED_ID_PREFIX: &str = "00000000-0000-0000-0000-0000000000";

/// Nanoseconds since 1970.
pub type UnixNanos = u64;

/// A policy or a role, as tokens and roles name it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Link {
    #[serde(rename = "ID")]
    pub id: String,
    pub name: String,
}

/// The rights of one service and its sidecar.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceIdentity {
    pub service_name: String,
    /// Empty: everywhere.
    pub datacenters: Vec<String>,
}

/// The rights of one node's agent.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NodeIdentity {
    pub node_name: String,
    pub datacenter: String,
}

/// A token: whoever knows the secret has the rights of its policies, roles and identities.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AclToken {
    pub accessor_id: String,
    pub secret_id: Token,
    pub description: String,
    pub policies: Vec<Link>,
    pub roles: Vec<Link>,
    pub service_identities: Vec<ServiceIdentity>,
    pub node_identities: Vec<NodeIdentity>,
    pub local: bool,
    /// The way of logging in that made it; empty for all others.
    pub auth_method: String,
    pub created: UnixNanos,
    pub expires: Option<UnixNanos>,
}

impl AclToken {
    pub fn is_expired(&self, now: UnixNanos) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }

    pub fn is_management(&self) -> bool {
        self.policies.iter().any(|policy| policy.id == MANAGEMENT_POLICY_ID)
    }
}

/// A named set of rules.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AclPolicy {
    pub id: String,
    pub name: String,
    pub description: String,
    /// As written.
    pub rules: String,
    /// Where the policy holds; empty: everywhere.
    pub datacenters: Vec<String>,
}

/// A named set of policies and identities.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AclRole {
    pub id: String,
    pub name: String,
    pub description: String,
    pub policies: Vec<Link>,
    pub service_identities: Vec<ServiceIdentity>,
    pub node_identities: Vec<NodeIdentity>,
}

/// A way of logging in. `Debug` leaves the configuration out: it holds secrets.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuthMethod {
    pub name: String,
    pub kind: String,
    pub display_name: String,
    pub description: String,
    /// Zero: tokens live until they are logged out.
    pub max_token_ttl: std::time::Duration,
    /// `local`, `global`, or empty for `local`.
    pub token_locality: String,
    pub config: OpaqueMap,
}

impl fmt::Debug for AuthMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthMethod").field("name", &self.name).field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// What a login gets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BindingRule {
    pub id: String,
    pub description: String,
    pub auth_method: String,
    /// An expression over what the login proved; empty: always.
    pub selector: String,
    pub bind_type: String,
    /// May hold `${variables}`.
    pub bind_name: String,
}

/// Fills in `${name}`. The error is Consul's text for a name that is not there.
pub fn interpolate(template: &str, variables: &BTreeMap<String, String>) -> Result<String, String> {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(at) = rest.find("${") {
        let place = template.len() - rest.len() + at + 3;
        let end = rest[at..].find('}').ok_or_else(|| format!("1:{place}: expected }} but reached the end"))?;
        let name = rest[at + 2..at + end].trim();
        let value = variables.get(name).ok_or_else(|| format!("1:{place}: unknown variable accessed: {name}"))?;
        out.push_str(&rest[..at]);
        out.push_str(value);
        rest = &rest[at + end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

/// Names of policies, roles and ways to log in.
pub fn is_name(text: &str, longest: usize) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (1..=longest).contains(&text.len()) && text.chars().all(allowed)
}

/// Names of services and nodes in identities: lower case, as they stand in URIs.
pub fn is_identity_name(text: &str) -> bool {
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    text.len() <= 256 && text.chars().all(allowed) && ends(text.chars().next()) && ends(text.chars().last())
}

/// `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`
pub fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn variables_are_filled_in_and_unknown_ones_named() {
        let variables = BTreeMap::from([("value.name".to_owned(), "web".to_owned())]);
        assert_eq!(interpolate("a-${value.name}-b", &variables).unwrap(), "a-web-b");
        assert_eq!(interpolate("plain", &variables).unwrap(), "plain");
        assert_eq!(interpolate("s-${x}", &variables).unwrap_err(), "1:5: unknown variable accessed: x");
        assert!(interpolate("${x", &variables).is_err());
    }

    #[test]
    fn names_and_ids_are_what_consul_takes() {
        assert!(is_name("kv-ro_1", 128) && !is_name("a b", 128) && !is_name("", 128));
        assert!(is_identity_name("web-1") && !is_identity_name("Web") && !is_identity_name("-web"));
        assert!(is_uuid(ANONYMOUS_TOKEN_ID) && !is_uuid("x"));
    }

    #[test]
    fn secrets_are_not_shown() {
        let token = AclToken { secret_id: Token("s3cret".into()), ..AclToken::default() };
        let config = serde_json::json!({"ServiceAccountJWT": "s3cret"}).as_object().unwrap().clone();
        let method = AuthMethod { config, ..AuthMethod::default() };
        assert!(!format!("{token:?}{method:?}").contains("s3cret"));
    }
}
