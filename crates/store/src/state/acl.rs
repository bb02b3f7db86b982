//! Reading tokens, policies, roles, ways to log in and binding rules.

use std::fmt;
use std::sync::Arc;

use imbl::OrdMap;
use model::acl::{AclPolicy, AclRole, AclToken, AuthMethod, BindingRule, Link};

use super::change::Touched;
use super::table::Table;
use super::{Name, State, Stored};
use crate::fact::Index;
use crate::watch::Topic;

#[derive(Clone, Default)]
pub(super) struct Acl {
    /// By accessor.
    tokens: Table<AclToken>,
    /// Secret to accessor.
    by_secret: OrdMap<Name, Name>,
    policies: Table<AclPolicy>,
    roles: Table<AclRole>,
    methods: Table<AuthMethod>,
    rules: Table<BindingRule>,
    /// When the first token of an administrator was made; 0: not yet.
    pub(super) bootstrapped: Index,
    /// The last write to any of these.
    pub(super) turn: Index,
}

/// Secrets are keys here, and no key is shown.
impl fmt::Debug for Acl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acl").field("turn", &self.turn).finish_non_exhaustive()
    }
}

impl State {
    /// Links name what they name today; those to what is gone are left out.
    pub fn acl_token(&self, accessor: &str) -> Option<Stored<AclToken>> {
        self.acl.tokens.get(accessor).map(|token| self.with_names(token))
    }

    pub fn acl_token_by_secret(&self, secret: &str) -> Option<Stored<AclToken>> {
        self.acl_token(self.acl.by_secret.get(secret)?)
    }

    /// By accessor.
    pub fn acl_tokens(&self) -> impl Iterator<Item = Stored<AclToken>> {
        self.acl.tokens.rows().map(|token| self.with_names(token))
    }

    pub fn acl_policy(&self, id: &str) -> Option<&Stored<AclPolicy>> {
        self.acl.policies.get(id)
    }

    pub fn acl_policy_by_name(&self, name: &str) -> Option<&Stored<AclPolicy>> {
        self.acl.policies.rows().find(|policy| policy.name == name)
    }

    pub fn acl_policies(&self) -> impl Iterator<Item = &Stored<AclPolicy>> {
        self.acl.policies.rows()
    }

    pub fn acl_role(&self, id: &str) -> Option<Stored<AclRole>> {
        self.acl.roles.get(id).map(|role| self.role_with_names(role))
    }

    pub fn acl_role_by_name(&self, name: &str) -> Option<Stored<AclRole>> {
        self.acl.roles.rows().find(|role| role.name == name).map(|role| self.role_with_names(role))
    }

    pub fn acl_roles(&self) -> impl Iterator<Item = Stored<AclRole>> {
        self.acl.roles.rows().map(|role| self.role_with_names(role))
    }

    pub fn auth_method(&self, name: &str) -> Option<&Stored<AuthMethod>> {
        self.acl.methods.get(name)
    }

    pub fn auth_methods(&self) -> impl Iterator<Item = &Stored<AuthMethod>> {
        self.acl.methods.rows()
    }

    pub fn binding_rule(&self, id: &str) -> Option<&Stored<BindingRule>> {
        self.acl.rules.get(id)
    }

    pub fn binding_rules(&self) -> impl Iterator<Item = &Stored<BindingRule>> {
        self.acl.rules.rows()
    }

    /// The index at which the first token of an administrator was made; 0: never.
    pub fn acl_bootstrapped(&self) -> Index {
        self.acl.bootstrapped
    }

    fn with_names(&self, token: &Stored<AclToken>) -> Stored<AclToken> {
        let policies = self.policy_names(&token.policies);
        let role = |link: &Link| Some(Link { id: link.id.clone(), name: self.acl.roles.get(&link.id)?.name.clone() });
        let roles: Vec<Link> = token.roles.iter().filter_map(role).collect();
        if policies == token.policies && roles == token.roles {
            return token.clone();
        }
        let value = Arc::new(AclToken { policies, roles, ..AclToken::clone(token) });
        Stored { value, ..token.clone() }
    }

    fn role_with_names(&self, role: &Stored<AclRole>) -> Stored<AclRole> {
        let policies = self.policy_names(&role.policies);
        if policies == role.policies {
            return role.clone();
        }
        Stored { value: Arc::new(AclRole { policies, ..AclRole::clone(role) }), ..role.clone() }
    }

    fn policy_names(&self, links: &[Link]) -> Vec<Link> {
        let named = |link: &Link| {
            let name = self.acl.policies.get(&link.id)?.name.clone();
            Some(Link { id: link.id.clone(), name })
        };
        links.iter().filter_map(named).collect()
    }
}

/// One of the five kinds, put or named.
impl Acl {
    pub(super) fn put_token(&mut self, token: &Arc<AclToken>, at: (Index, Index), touched: &mut Touched) {
        let accessor: Name = token.accessor_id.as_str().into();
        if let Some(old) = self.tokens.put(accessor.clone(), token, at.0, at.1) {
            self.by_secret.remove(old.secret_id.0.as_str());
        }
        self.by_secret.insert(token.secret_id.0.as_str().into(), accessor);
        touched.topics.insert(Topic::AclTokens);
    }

    pub(super) fn put_policy(&mut self, policy: &Arc<AclPolicy>, at: (Index, Index), touched: &mut Touched) {
        self.policies.put(policy.id.as_str().into(), policy, at.0, at.1);
        touched.topics.insert(Topic::AclPolicies);
    }

    pub(super) fn put_role(&mut self, role: &Arc<AclRole>, at: (Index, Index), touched: &mut Touched) {
        self.roles.put(role.id.as_str().into(), role, at.0, at.1);
        touched.topics.insert(Topic::AclRoles);
    }

    pub(super) fn put_method(&mut self, method: &Arc<AuthMethod>, at: (Index, Index), touched: &mut Touched) {
        self.methods.put(method.name.as_str().into(), method, at.0, at.1);
        touched.topics.insert(Topic::AuthMethods);
    }

    pub(super) fn put_rule(&mut self, rule: &Arc<BindingRule>, at: (Index, Index), touched: &mut Touched) {
        self.rules.put(rule.id.as_str().into(), rule, at.0, at.1);
        touched.topics.insert(Topic::BindingRules);
    }

    pub(super) fn delete_token(&mut self, accessor: &str, touched: &mut Touched) {
        if let Some(old) = self.tokens.delete(accessor) {
            self.by_secret.remove(old.secret_id.0.as_str());
        }
        touched.topics.insert(Topic::AclTokens);
    }

    pub(super) fn delete_policy(&mut self, id: &str, touched: &mut Touched) {
        self.policies.delete(id);
        touched.topics.insert(Topic::AclPolicies);
    }

    pub(super) fn delete_role(&mut self, id: &str, touched: &mut Touched) {
        self.roles.delete(id);
        touched.topics.insert(Topic::AclRoles);
    }

    pub(super) fn delete_method(&mut self, name: &str, touched: &mut Touched) {
        self.methods.delete(name);
        touched.topics.insert(Topic::AuthMethods);
    }

    pub(super) fn delete_rule(&mut self, id: &str, touched: &mut Touched) {
        self.rules.delete(id);
        touched.topics.insert(Topic::BindingRules);
    }

    /// By table and name, in the words of the keys.
    pub(super) fn revision(&self, of: &crate::fact::AclKey) -> Index {
        use crate::fact::AclKey;
        match of {
            AclKey::Token(accessor) => self.tokens.revision(accessor),
            AclKey::Policy(id) => self.policies.revision(id),
            AclKey::Role(id) => self.roles.revision(id),
            AclKey::Method(name) => self.methods.revision(name),
            AclKey::Rule(id) => self.rules.revision(id),
            AclKey::Bootstrap => self.bootstrapped,
            AclKey::Turn => self.turn,
        }
    }
}
