//! Rules merged into one answer: may or may not, or nothing is said.

use std::collections::HashMap;

use super::rules::{Access, Family, Rules, Whole};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    Acl,
    Agent,
    Event,
    /// By the destination's name.
    Intention,
    Key,
    Keyring,
    /// Central configuration of all services; operators may it too.
    Mesh,
    Node,
    Operator,
    Peering,
    Query,
    Service,
    /// By the name of the session's node.
    Session,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    Read,
    /// Keys only: every key under a prefix may be listed.
    List,
    Write,
    /// Keys only: every key under a prefix may be written.
    WritePrefix,
}

const WILDCARD: &str = "*";

/// The merged rules of one token.
#[derive(Debug, Clone, Default)]
pub struct Rights {
    whole: [Option<Access>; Whole::ALL.len()],
    families: [Names; Family::ALL.len()],
    intentions: Names,
}

impl Rights {
    /// For one name of one kind `Deny` wins, then the stronger.
    pub fn merge<'a>(all: impl IntoIterator<Item = &'a Rules>) -> Self {
        let mut out = Self::default();
        let mut written = Names::default();
        for rules in all {
            for (whole, access) in &rules.whole {
                let slot = &mut out.whole[*whole as usize];
                *slot = (*slot).max(Some(*access));
            }
            for rule in &rules.rules {
                out.families[rule.family as usize].add(rule.prefix, &rule.name, rule.access);
                if let Some(access) = rule.intentions {
                    written.add(rule.prefix, &rule.name, access);
                }
            }
        }
        out.intentions = implied(&out.families[Family::Service as usize], &written);
        out
    }

    /// `None`: no rule speaks of it, so the default policy decides.
    pub fn decide(&self, resource: Resource, name: &str, right: Right) -> Option<bool> {
        let family = |family: Family| self.families[family as usize].decide(name, right);
        let whole = |whole: Whole| self.whole[whole as usize].map(|access| grants(access, right));
        match resource {
            Resource::Acl => whole(Whole::Acl),
            Resource::Keyring => whole(Whole::Keyring),
            Resource::Operator => whole(Whole::Operator),
            Resource::Mesh => whole(Whole::Mesh).or_else(|| whole(Whole::Operator)),
            Resource::Peering => whole(Whole::Peering).or_else(|| whole(Whole::Operator)),
            Resource::Key if right == Right::WritePrefix => self.families[Family::Key as usize].whole_prefix(name),
            Resource::Intention if name == WILDCARD && right == Right::Read => self.intentions.any(right),
            Resource::Intention if name == WILDCARD => self.intentions.all(right),
            Resource::Intention => self.intentions.decide(name, right),
            Resource::Agent => family(Family::Agent),
            Resource::Event => family(Family::Event),
            Resource::Key => family(Family::Key),
            Resource::Node => family(Family::Node),
            Resource::Query => family(Family::Query),
            Resource::Service => family(Family::Service),
            Resource::Session => family(Family::Session),
        }
    }

    /// Whether any rule of the family grants the right for any name at all.
    pub fn any(&self, family: Family, right: Right) -> Option<bool> {
        self.families[family as usize].any(right)
    }

    /// Whether the right is granted for every name.
    pub fn all(&self, family: Family, right: Right) -> Option<bool> {
        self.families[family as usize].all(right)
    }
}

fn grants(access: Access, right: Right) -> bool {
    match access {
        Access::Deny => false,
        Access::Read => right == Right::Read,
        Access::List => matches!(right, Right::Read | Right::List),
        Access::Write => true,
    }
}

/// Who may see a service may see who may call it; changing that must be said.
fn implied(services: &Names, written: &Names) -> Names {
    let readable = |access: Access| if access == Access::Deny { Access::Deny } else { Access::Read };
    let merge = |services: &HashMap<Box<str>, Access>, written: &HashMap<Box<str>, Access>| {
        let mut out: HashMap<Box<str>, Access> =
            services.iter().map(|(name, access)| (name.clone(), readable(*access))).collect();
        out.extend(written.iter().map(|(name, access)| (name.clone(), *access)));
        out
    };
    Names {
        exact: merge(&services.exact, &written.exact),
        prefixes: merge(&services.prefixes, &written.prefixes),
        lengths: services.lengths.clone(),
    }
}

/// Accesses by exact names and by prefixes.
#[derive(Debug, Clone, Default)]
struct Names {
    exact: HashMap<Box<str>, Access>,
    prefixes: HashMap<Box<str>, Access>,
    /// The lengths of the prefixes, longest first: a lookup costs one probe for each.
    lengths: Vec<usize>,
}

impl Names {
    fn add(&mut self, prefix: bool, name: &str, access: Access) {
        let table = if prefix { &mut self.prefixes } else { &mut self.exact };
        let slot = table.entry(name.into()).or_insert(access);
        *slot = (*slot).max(access);
        if prefix && let Err(at) = self.lengths.binary_search_by(|length| name.len().cmp(length)) {
            self.lengths.insert(at, name.len());
        }
    }

    fn longest_prefix(&self, name: &str) -> Option<Access> {
        let mut prefixes = self.lengths.iter().filter_map(|length| name.get(..*length));
        prefixes.find_map(|prefix| self.prefixes.get(prefix).copied())
    }

    fn decide(&self, name: &str, right: Right) -> Option<bool> {
        let access = self.exact.get(name).copied().or_else(|| self.longest_prefix(name));
        access.map(|access| grants(access, right))
    }

    fn each(&self) -> impl Iterator<Item = (&str, Access)> {
        self.exact.iter().chain(&self.prefixes).map(|(name, access)| (&**name, *access))
    }

    /// The rule over the prefix must grant writing, and no rule under it may take that back.
    fn whole_prefix(&self, prefix: &str) -> Option<bool> {
        let over = self.longest_prefix(prefix).map(|access| grants(access, Right::Write));
        let taken_back = self.each().any(|(name, access)| name.starts_with(prefix) && !grants(access, Right::Write));
        if taken_back { Some(false) } else { over }
    }

    fn any(&self, right: Right) -> Option<bool> {
        if self.each().any(|(_, access)| grants(access, right)) {
            return Some(true);
        }
        self.prefixes.get("").map(|_| false)
    }

    fn all(&self, right: Right) -> Option<bool> {
        if self.each().any(|(_, access)| !grants(access, right)) {
            return Some(false);
        }
        self.prefixes.get("").map(|_| true)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::rules::Rule;
    use super::*;
    use proptest::prelude::*;

    fn rights(text: &str) -> Rights {
        Rights::merge([&Rules::parse(text).unwrap()])
    }

    #[test]
    fn exact_beats_prefix_and_a_longer_prefix_a_shorter() {
        let rights = rights(
            "key_prefix \"\" { policy = \"read\" } key_prefix \"a/\" { policy = \"write\" } \
             key_prefix \"a/b/\" { policy = \"deny\" } key \"a/b/c\" { policy = \"write\" }",
        );
        let key = |name, right| rights.decide(Resource::Key, name, right);
        assert_eq!(key("x", Right::Read), Some(true));
        assert_eq!(key("x", Right::Write), Some(false));
        assert_eq!(key("a/x", Right::Write), Some(true));
        assert_eq!(key("a/b/x", Right::Read), Some(false));
        assert_eq!(key("a/b/c", Right::Write), Some(true));
        assert_eq!(key("a/", Right::WritePrefix), Some(false));
        assert_eq!(rights.decide(Resource::Node, "n", Right::Read), None);
    }

    #[test]
    fn intentions_follow_the_service_unless_written() {
        let rights = rights(
            "service \"web\" { policy = \"write\" } service \"db\" { policy = \"deny\" intentions = \"write\" } \
             service_prefix \"x\" { policy = \"read\" }",
        );
        let may = |name, right| rights.decide(Resource::Intention, name, right);
        assert_eq!((may("web", Right::Read), may("web", Right::Write)), (Some(true), Some(false)));
        assert_eq!(may("db", Right::Write), Some(true));
        assert_eq!((may("xy", Right::Read), may("other", Right::Read)), (Some(true), None));
        assert_eq!((may("*", Right::Read), may("*", Right::Write)), (Some(true), Some(false)));
    }

    #[test]
    fn mesh_and_peering_are_the_operators_too() {
        let operator = rights("operator = \"write\"");
        assert_eq!(operator.decide(Resource::Mesh, "", Right::Write), Some(true));
        let mesh = rights("operator = \"write\" mesh = \"read\"");
        assert_eq!(mesh.decide(Resource::Mesh, "", Right::Write), Some(false));
    }

    fn access() -> impl Strategy<Value = Access> {
        prop::sample::select(vec![Access::Read, Access::List, Access::Write, Access::Deny])
    }

    fn rule() -> impl Strategy<Value = Rule> {
        (any::<bool>(), "[ab]{0,3}", access()).prop_map(|(prefix, name, access)| Rule {
            family: Family::Key,
            prefix,
            name,
            access,
            intentions: None,
        })
    }

    /// Looks at every rule, for every question.
    fn naive(rules: &[Rule], name: &str, right: Right) -> Option<bool> {
        let strongest = |matching: &dyn Fn(&&Rule) -> bool| rules.iter().filter(matching).map(|r| r.access).max();
        let mut access = strongest(&|rule| !rule.prefix && rule.name == name);
        for length in (0..=name.len()).rev() {
            access = access.or_else(|| strongest(&|rule| rule.prefix && rule.name == name[..length]));
        }
        match (access?, right) {
            (Access::Deny, _) => Some(false),
            (Access::Write, _) | (_, Right::Read) | (Access::List, Right::List) => Some(true),
            _ => Some(false),
        }
    }

    proptest! {
        #[test]
        fn decides_as_a_naive_reading_does(
            rules in prop::collection::vec(rule(), 0..8),
            split in 0usize..8,
            name in "[ab]{0,4}",
        ) {
            let at = split.min(rules.len());
            let policies = [
                Rules { rules: rules[..at].to_vec(), ..Rules::default() },
                Rules { rules: rules[at..].to_vec(), ..Rules::default() },
            ];
            let rights = Rights::merge(&policies);
            for right in [Right::Read, Right::List, Right::Write] {
                prop_assert_eq!(rights.decide(Resource::Key, &name, right), naive(&rules, &name, right));
            }
            // Whoever may write a whole prefix may write each key under it.
            if rights.decide(Resource::Key, &name, Right::WritePrefix) == Some(true) {
                for more in ["", "a", "ab", "bbb"] {
                    let key = format!("{name}{more}");
                    prop_assert_eq!(rights.decide(Resource::Key, &key, Right::Write), Some(true));
                }
            }
        }
    }
}
