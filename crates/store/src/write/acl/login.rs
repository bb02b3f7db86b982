//! Ways to log in, and the rules for what a login gets. What stands in a configuration is checked by those who
//! understand it, before it comes here.

use std::time::Duration;

use model::acl::{AuthMethod, BindingRule, is_name, is_uuid};
use model::format_duration;

use super::{LONGEST_LIFE, NAME_LIMIT, SHORTEST_LIFE, new_id, refused, shared};
use crate::error::Error;
use crate::fact::{AclFact, AclKey};
use crate::state::{State, Stored};
use crate::store::Store;

impl Store {
    /// A new way to log in, or the new form of the one of this name.
    pub async fn put_auth_method(&self, method: AuthMethod) -> Result<Stored<AuthMethod>, Error> {
        check_auth_method(&method)?;
        let name = &method.name;
        let decide = |state: &State, changes: &mut super::Changes| {
            if state.auth_method(name).is_some_and(|old| old.kind != method.kind) {
                return refused("the Type field of an Auth Method is immutable");
            }
            changes.put(AclFact::Method(shared(method.clone())));
            Ok(())
        };
        self.acl_write(decide).await?;
        self.state().auth_method(name).cloned().ok_or(Error::AclNotFound)
    }

    /// Its rules and its tokens go with it. An unknown one is no error.
    pub async fn delete_auth_method(&self, name: &str) -> Result<(), Error> {
        let decide = |state: &State, changes: &mut super::Changes| {
            if state.auth_method(name).is_none() {
                return Ok(());
            }
            changes.delete(AclKey::Method(name.into()));
            for rule in state.binding_rules().filter(|rule| rule.auth_method == name) {
                changes.delete(AclKey::Rule(rule.id.as_str().into()));
            }
            for token in state.acl_tokens().filter(|token| token.auth_method == name) {
                changes.delete(AclKey::Token(token.accessor_id.as_str().into()));
            }
            Ok(())
        };
        self.acl_write(decide).await.map(|_| ())
    }

    /// A new rule when it has no id, else the new form of that one.
    pub async fn put_binding_rule(&self, rule: BindingRule) -> Result<Stored<BindingRule>, Error> {
        let decide = |state: &State, changes: &mut super::Changes| {
            let mut rule = rule.clone();
            match rule.id.as_str() {
                "" => rule.id = new_id(|id| state.binding_rule(id).is_some()),
                id if !is_uuid(id) => return refused("Binding Rule ID invalid UUID"),
                id => {
                    let old = state.binding_rule(id);
                    let old = old.ok_or_else(|| Error::Acl(format!("cannot find binding rule {id}")))?;
                    if rule.auth_method.is_empty() {
                        rule.auth_method.clone_from(&old.auth_method);
                    } else if rule.auth_method != old.auth_method {
                        return refused("the AuthMethod field of an Binding Rule is immutable");
                    }
                }
            }
            if state.auth_method(&rule.auth_method).is_none() {
                return refused(format!("cannot find auth method with name {:?}", rule.auth_method));
            }
            let id = rule.id.clone();
            changes.put(AclFact::Rule(shared(rule)));
            Ok(id)
        };
        let (_, id) = self.acl_write(decide).await?;
        self.state().binding_rule(&id).cloned().ok_or(Error::AclNotFound)
    }

    /// An unknown rule is no error.
    pub async fn delete_binding_rule(&self, id: &str) -> Result<(), Error> {
        let decide = |state: &State, changes: &mut super::Changes| {
            if state.binding_rule(id).is_some() {
                changes.delete(AclKey::Rule(id.into()));
            }
            Ok(())
        };
        self.acl_write(decide).await.map(|_| ())
    }
}

/// What can be said of a method without understanding its configuration.
pub fn check_auth_method(method: &AuthMethod) -> Result<(), Error> {
    let name = &method.name;
    if name.is_empty() {
        return refused("Invalid Auth Method: no Name is set");
    }
    if !is_name(name, NAME_LIMIT) {
        return refused("Invalid Auth Method: invalid Name. Only alphanumeric characters, '-' and '_' are allowed");
    }
    check_ttl(method.max_token_ttl)?;
    if !["", "local", "global"].contains(&method.token_locality.as_str()) {
        return refused("Invalid Auth Method: TokenLocality should be one of 'local' or 'global'");
    }
    Ok(())
}

fn check_ttl(ttl: Duration) -> Result<(), Error> {
    let (given, most, least) = (format_duration(ttl), format_duration(LONGEST_LIFE), format_duration(SHORTEST_LIFE));
    match ttl {
        ttl if ttl > LONGEST_LIFE => refused(format!("MaxTokenTTL {given} cannot be more than {most}")),
        ttl if !ttl.is_zero() && ttl < SHORTEST_LIFE => {
            refused(format!("MaxTokenTTL {given} cannot be less than {least}"))
        }
        _ => Ok(()),
    }
}
