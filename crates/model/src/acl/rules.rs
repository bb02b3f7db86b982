//! The language of policies (HCL or JSON) and what it says.

use super::super::hcl::{self, Node, Object, SyntaxError, Value};
use crate::decode::same_key;

/// What a rule grants. Of two rules for one name `Deny` wins, then `Write`, `List`, `Read`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    Read,
    List,
    Write,
    Deny,
}

impl Access {
    fn parse(word: &str) -> Option<Self> {
        match word {
            "read" => Some(Self::Read),
            "list" => Some(Self::List),
            "write" => Some(Self::Write),
            "deny" => Some(Self::Deny),
            _ => None,
        }
    }
}

/// What rules with a name are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    Agent,
    Key,
    Node,
    Service,
    Session,
    Event,
    Query,
}

/// What rules without a name are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whole {
    Acl,
    Keyring,
    Operator,
    Mesh,
    Peering,
}

impl Family {
    /// In the order in which mistakes are found.
    pub const ALL: [Self; 7] =
        [Self::Agent, Self::Key, Self::Node, Self::Service, Self::Session, Self::Event, Self::Query];

    pub fn word(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Key => "key",
            Self::Node => "node",
            Self::Service => "service",
            Self::Session => "session",
            Self::Event => "event",
            Self::Query => "query",
        }
    }
}

impl Whole {
    pub const ALL: [Self; 5] = [Self::Acl, Self::Keyring, Self::Operator, Self::Mesh, Self::Peering];

    pub fn word(self) -> &'static str {
        match self {
            Self::Acl => "acl",
            Self::Keyring => "keyring",
            Self::Operator => "operator",
            Self::Mesh => "mesh",
            Self::Peering => "peering",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub family: Family,
    /// Of every name that begins so; else of exactly this name.
    pub prefix: bool,
    pub name: String,
    pub access: Access,
    /// Services only, and only if written.
    pub intentions: Option<Access>,
}

/// What a policy says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    pub whole: Vec<(Whole, Access)>,
    pub rules: Vec<Rule>,
}

/// Why a text is no policy, in Consul's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    #[error("Failed to parse ACL rules: {}", .0.consul_text())]
    Syntax(#[from] SyntaxError),
    #[error("Failed to parse ACL rules: At {at}: {text}")]
    Form { at: hcl::Position, text: String },
    #[error("Invalid {key} policy: {given}")]
    Access { key: String, given: String },
}

impl Rules {
    /// Reads the rules of a policy. As in Consul a word that is no rule is passed over: policies are shared with
    /// versions that know more of them.
    pub fn parse(text: &str) -> Result<Self, RulesError> {
        let document = hcl::parse(text.as_bytes())?;
        let Value::Object(root) = &document.root.value else {
            return Err(form(&document.root, "expected an object"));
        };
        let mut out = Self::default();
        for whole in Whole::ALL {
            if let Some(node) = find(root, whole.word()) {
                out.whole(whole, node)?;
            }
        }
        for family in Family::ALL {
            for prefix in [false, true] {
                let key = if prefix { format!("{}_prefix", family.word()) } else { family.word().to_owned() };
                for entry in root.entries.iter().filter(|entry| entry.key.eq_ignore_ascii_case(&key)) {
                    out.family(family, prefix, &key, &entry.node)?;
                }
            }
        }
        Ok(out)
    }

    fn whole(&mut self, whole: Whole, node: &Node) -> Result<(), RulesError> {
        let Value::Text(word) = &node.value else {
            return Err(form(node, &format!("root.{}: unknown type for string", whole.word())));
        };
        if word.is_empty() {
            return Ok(());
        }
        let access = Access::parse(word).filter(|access| *access != Access::List);
        let access =
            access.ok_or_else(|| RulesError::Access { key: whole.word().to_owned(), given: format!("{word:?}") })?;
        self.whole.push((whole, access));
        Ok(())
    }

    fn family(&mut self, family: Family, prefix: bool, key: &str, node: &Node) -> Result<(), RulesError> {
        match &node.value {
            Value::List(items) => items.iter().try_for_each(|item| self.family(family, prefix, key, item)),
            Value::Object(object) if is_body(object) => self.rule(family, prefix, key, "", object),
            Value::Object(object) => {
                object.entries.iter().try_for_each(|entry| self.named(family, prefix, key, &entry.key, &entry.node))
            }
            _ => Err(form(node, "unknown slice type")),
        }
    }

    fn named(&mut self, family: Family, prefix: bool, key: &str, name: &str, node: &Node) -> Result<(), RulesError> {
        match &node.value {
            Value::List(items) => items.iter().try_for_each(|item| self.named(family, prefix, key, name, item)),
            Value::Object(body) => self.rule(family, prefix, key, name, body),
            _ => Err(form(node, "expected an object")),
        }
    }

    fn rule(&mut self, family: Family, prefix: bool, key: &str, name: &str, body: &Object) -> Result<(), RulesError> {
        let (policy, intentions) = (text(body, "policy"), text(body, "intentions"));
        let refused = |key: String| RulesError::Access { key, given: as_go(family, name, &policy, &intentions) };
        let access = Access::parse(&policy).filter(|access| *access != Access::List || family == Family::Key);
        let access = access.ok_or_else(|| refused(key.to_owned()))?;
        let intentions = match intentions.as_str() {
            word if word.is_empty() || family != Family::Service => None,
            word => {
                let access = Access::parse(word).filter(|access| *access != Access::List);
                Some(access.ok_or_else(|| refused(format!("{key} intentions")))?)
            }
        };
        self.rules.push(Rule { family, prefix, name: name.to_owned(), access, intentions });
        Ok(())
    }
}

fn form(node: &Node, text: &str) -> RulesError {
    RulesError::Form { at: node.at, text: text.to_owned() }
}

fn find<'a>(object: &'a Object, key: &str) -> Option<&'a Node> {
    object.entries.iter().find(|entry| entry.key.eq_ignore_ascii_case(key)).map(|entry| &entry.node)
}

/// Whether this is the body of a rule and not names over bodies.
fn is_body(object: &Object) -> bool {
    let is_scalar = |node: &Node| !matches!(node.value, Value::Object(_) | Value::List(_));
    object.entries.iter().any(|entry| is_scalar(&entry.node))
}

fn text(body: &Object, key: &str) -> String {
    let node = body.entries.iter().find(|entry| same_key(&entry.key, key)).map(|entry| &entry.node.value);
    match node {
        Some(Value::Text(text)) => text.clone(),
        Some(Value::Integer(number)) => number.to_string(),
        Some(Value::Float(number)) => number.to_string(),
        Some(Value::Bool(is)) => is.to_string(),
        _ => String::new(),
    }
}

/// A rule as Go prints a structure: it stands in the error texts.
fn as_go(family: Family, name: &str, policy: &str, intentions: &str) -> String {
    let (kind, field, enterprise) = match family {
        Family::Agent => ("Agent", "Node", false),
        Family::Key => ("Key", "Prefix", true),
        Family::Node => ("Node", "Name", true),
        Family::Service => ("Service", "Name", true),
        Family::Session => ("Session", "Node", false),
        Family::Event => ("Event", "Event", false),
        Family::Query => ("PreparedQuery", "Prefix", false),
    };
    let intentions = if family == Family::Service { format!(", Intentions:{intentions:?}") } else { String::new() };
    let enterprise = if enterprise { ", EnterpriseRule:acl.EnterpriseRule{}" } else { "" };
    format!("&acl.{kind}Rule{{{field}:{name:?}, Policy:{policy:?}{intentions}{enterprise}}}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn rules_are_read_in_both_forms_and_any_case() {
        let hcl = "acl = \"write\" key_prefix \"a/\" { policy = \"list\" } KEY \"a\" { Policy = \"read\" }\n\
                   service \"web\" { policy = \"write\" intentions = \"read\" } bogus \"x\" { policy = \"read\" }";
        let rules = Rules::parse(hcl).unwrap();
        assert_eq!(rules.whole, [(Whole::Acl, Access::Write)]);
        assert_eq!(rules.rules.len(), 3);
        assert_eq!(rules.rules[2].intentions, Some(Access::Read));
        let json = r#"{"acl": "write", "key_prefix": {"a/": {"policy": "list"}}, "key": {"a": {"policy": "read"}},
            "service": {"web": {"policy": "write", "intentions": "read"}}}"#;
        assert_eq!(Rules::parse(json).unwrap(), rules);
        assert_eq!(Rules::parse("").unwrap(), Rules::default());
        assert_eq!(Rules::parse("key { policy = \"read\" }").unwrap().rules[0].name, "");
    }

    #[test]
    fn mistakes_are_told_as_consul_tells_them() {
        for (text, error) in [
            ("acl = \"list\"", "Invalid acl policy: \"list\""),
            ("agent \"a\" { policy = \"list\" }", "Invalid agent policy: &acl.AgentRule{Node:\"a\", Policy:\"list\"}"),
            (
                "key \"a\" { policy = 5 }",
                "Invalid key policy: &acl.KeyRule{Prefix:\"a\", Policy:\"5\", EnterpriseRule:acl.EnterpriseRule{}}",
            ),
            (
                "service_prefix \"a\" { policy = \"read\" intentions = \"bad\" }",
                "Invalid service_prefix intentions policy: &acl.ServiceRule{Name:\"a\", Policy:\"read\", \
                 Intentions:\"bad\", EnterpriseRule:acl.EnterpriseRule{}}",
            ),
            (
                "key_prefix \"a\" \"b\" { policy = \"read\" }",
                "Invalid key_prefix policy: &acl.KeyRule{Prefix:\"a\", Policy:\"\", \
                 EnterpriseRule:acl.EnterpriseRule{}}",
            ),
            ("acl = true", "Failed to parse ACL rules: At 1:7: root.acl: unknown type for string"),
            ("key = \"read\"", "Failed to parse ACL rules: At 1:7: unknown slice type"),
        ] {
            assert_eq!(Rules::parse(text).unwrap_err().to_string(), error, "{text}");
        }
        for broken in ["key \"a\" { policy = ", "key \"\" ", "{\"key\": 1", "\u{1}"] {
            assert!(Rules::parse(broken).unwrap_err().to_string().starts_with("Failed to parse ACL rules: "));
        }
    }
}
