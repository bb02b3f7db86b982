//! Tokens: made, changed, copied, taken back, and the first one of all.

use std::time::Duration;

use model::acl::{
    ANONYMOUS, ANONYMOUS_TOKEN_ID, AclPolicy, AclToken, Link, MANAGEMENT_POLICY, MANAGEMENT_POLICY_ID,
    MANAGEMENT_RULES, RESERVED_ID_PREFIX, UnixNanos, is_uuid,
};
use model::{Token, format_duration};

use super::{
    LONGEST_LIFE, SHORTEST_LIFE, nanos, new_id, node_identities, policies, refused, resolve, service_identities, shared,
};
use crate::error::Error;
use crate::fact::{AclFact, AclKey, Index};
use crate::state::{State, Stored};
use crate::store::Store;

/// A token as somebody wants it; what is empty is chosen here.
#[derive(Debug, Clone, Default)]
pub struct TokenRequest {
    pub token: AclToken,
    /// How long it is to live, in nanoseconds; negative is a mistake, 0 is not said.
    pub ttl: i64,
    /// Made by logging in.
    pub login: bool,
}

impl Store {
    /// What every cluster with access control has: the built-in policy and the token of those who bring none.
    pub async fn initialise_acl(&self, now: UnixNanos) -> Result<(), Error> {
        let decide = |state: &State, changes: &mut super::Changes| {
            let policy = AclPolicy {
                id: MANAGEMENT_POLICY_ID.to_owned(),
                name: MANAGEMENT_POLICY.to_owned(),
                description: "Builtin Policy that grants unlimited access".to_owned(),
                rules: MANAGEMENT_RULES.to_owned(),
                datacenters: Vec::new(),
            };
            if state.acl_policy(MANAGEMENT_POLICY_ID).is_none() {
                changes.put(AclFact::Policy(shared(policy)));
            }
            if state.acl_token(ANONYMOUS_TOKEN_ID).is_none() {
                changes.put(AclFact::Token(shared(AclToken {
                    accessor_id: ANONYMOUS_TOKEN_ID.to_owned(),
                    secret_id: Token(ANONYMOUS.to_owned()),
                    description: "Anonymous Token".to_owned(),
                    created: now,
                    ..AclToken::default()
                })));
            }
            Ok(())
        };
        self.acl_write(decide).await.map(|_| ())
    }

    /// The token of an administrator that the configuration names, unless it is there.
    pub async fn ensure_management_token(&self, secret: &Token, now: UnixNanos) -> Result<(), Error> {
        let decide = |state: &State, changes: &mut super::Changes| {
            if state.acl_token_by_secret(&secret.0).is_none() {
                let token = management(state, "Master Token", secret.clone(), now);
                changes.put(AclFact::Token(shared(token)));
                if state.acl_bootstrapped() == 0 {
                    changes.put(AclFact::Bootstrap);
                }
            }
            Ok(())
        };
        self.acl_write(decide).await.map(|_| ())
    }

    /// The first token of an administrator, once; again when `reset` names the index at which that was.
    pub async fn bootstrap_acl(
        &self,
        secret: Option<Token>,
        reset: Index,
        now: UnixNanos,
    ) -> Result<Stored<AclToken>, Error> {
        let decide = |state: &State, changes: &mut super::Changes| {
            let done = state.acl_bootstrapped();
            if done != 0 && done != reset {
                return Err(Error::AclBootstrapped(done));
            }
            let secret = secret.clone().unwrap_or_else(|| new_secret(state));
            if state.acl_token_by_secret(&secret.0).is_some() {
                return refused("Invalid Token: SecretID is already in use");
            }
            let token = management(state, "Bootstrap Token (Global Management)", secret, now);
            let accessor = token.accessor_id.clone();
            changes.put(AclFact::Token(shared(token)));
            changes.put(AclFact::Bootstrap);
            Ok(accessor)
        };
        let (_, accessor) = self.acl_write(decide).await?;
        self.written_token(&accessor)
    }

    pub async fn create_token(&self, request: TokenRequest, now: UnixNanos) -> Result<Stored<AclToken>, Error> {
        let decide = |state: &State, changes: &mut super::Changes| {
            let token = created(&request, state, now)?;
            let accessor = token.accessor_id.clone();
            changes.put(AclFact::Token(shared(token)));
            Ok(accessor)
        };
        let (_, accessor) = self.acl_write(decide).await?;
        self.written_token(&accessor)
    }

    /// Replaces what may change of the token with this accessor.
    pub async fn update_token(&self, request: TokenRequest, now: UnixNanos) -> Result<Stored<AclToken>, Error> {
        let decide = |state: &State, changes: &mut super::Changes| {
            changes.put(AclFact::Token(shared(updated(&request, state, now)?)));
            Ok(())
        };
        self.acl_write(decide).await?;
        self.written_token(&request.token.accessor_id)
    }

    /// Another token with the rights of this one.
    pub async fn clone_token(
        &self,
        accessor: &str,
        description: Option<String>,
        now: UnixNanos,
    ) -> Result<Stored<AclToken>, Error> {
        let decide = |state: &State, changes: &mut super::Changes| {
            let original = state.acl_token(accessor).filter(|token| !token.is_expired(now));
            let original = original.ok_or(Error::AclNotFound)?;
            if !original.auth_method.is_empty() {
                return refused("Cannot clone a token created from an auth method");
            }
            let token = AclToken {
                accessor_id: new_accessor(state),
                secret_id: new_secret(state),
                description: description.clone().unwrap_or_else(|| original.description.clone()),
                created: now,
                ..AclToken::clone(&original)
            };
            let accessor = token.accessor_id.clone();
            changes.put(AclFact::Token(shared(token)));
            Ok(accessor)
        };
        let (_, accessor) = self.acl_write(decide).await?;
        self.written_token(&accessor)
    }

    /// An unknown token is no error.
    pub async fn delete_token(&self, accessor: &str) -> Result<(), Error> {
        if !is_uuid(accessor) {
            return refused("Accessor ID is missing or an invalid UUID");
        }
        if accessor == ANONYMOUS_TOKEN_ID {
            return refused("Delete operation not permitted on the anonymous token");
        }
        let decide = |state: &State, changes: &mut super::Changes| {
            if state.acl_token(accessor).is_some() {
                changes.delete(AclKey::Token(accessor.into()));
            }
            Ok(())
        };
        self.acl_write(decide).await.map(|_| ())
    }

    /// Removes tokens whose time is over; gives how many.
    pub async fn reap_tokens(&self, now: UnixNanos) -> Result<usize, Error> {
        let decide = |state: &State, changes: &mut super::Changes| {
            let over = state.acl_tokens().filter(|token| token.is_expired(now));
            let over: Vec<String> = over.map(|token| token.accessor_id.clone()).collect();
            over.iter().for_each(|accessor| changes.delete(AclKey::Token(accessor.as_str().into())));
            Ok(over.len())
        };
        self.acl_write(decide).await.map(|(_, count)| count)
    }

    fn written_token(&self, accessor: &str) -> Result<Stored<AclToken>, Error> {
        self.state().acl_token(accessor).ok_or(Error::AclNotFound)
    }
}

fn new_accessor(state: &State) -> String {
    new_id(|id| state.acl_token(id).is_some())
}

fn new_secret(state: &State) -> Token {
    Token(new_id(|id| state.acl_token_by_secret(id).is_some()))
}

fn management(state: &State, description: &str, secret_id: Token, created: UnixNanos) -> AclToken {
    let policy = Link { id: MANAGEMENT_POLICY_ID.to_owned(), name: MANAGEMENT_POLICY.to_owned() };
    AclToken {
        accessor_id: new_accessor(state),
        secret_id,
        description: description.to_owned(),
        policies: vec![policy],
        created,
        ..AclToken::default()
    }
}

fn created(request: &TokenRequest, state: &State, now: UnixNanos) -> Result<AclToken, Error> {
    let given = &request.token;
    let mut token = with_rights(given, state)?;
    token.accessor_id = match given.accessor_id.as_str() {
        "" => new_accessor(state),
        id => fresh("AccessorID", id, state.acl_token(id).is_some())?,
    };
    token.secret_id = match given.secret_id.0.as_str() {
        "" => new_secret(state),
        id => Token(fresh("SecretID", id, state.acl_token_by_secret(id).is_some())?),
    };
    token.created = now;
    if !request.login && !given.auth_method.is_empty() {
        return refused("AuthMethod field is disallowed outside of Login");
    }
    token.expires = expiry(request, now)?;
    Ok(token)
}

fn fresh(what: &str, id: &str, taken: bool) -> Result<String, Error> {
    if !is_uuid(id) {
        return refused(format!("Invalid Token: {what} is not a valid UUID"));
    }
    if taken {
        return refused(format!("Invalid Token: {what} is already in use"));
    }
    if id.starts_with(RESERVED_ID_PREFIX) {
        return refused(format!("Invalid Token: UUIDs with the prefix {RESERVED_ID_PREFIX:?} are reserved"));
    }
    Ok(id.to_owned())
}

fn expiry(request: &TokenRequest, now: UnixNanos) -> Result<Option<UnixNanos>, Error> {
    if request.ttl < 0 {
        let ttl = format_duration(Duration::from_nanos(request.ttl.unsigned_abs()));
        return refused(format!("Token Expiration TTL '-{ttl}' should be > 0"));
    }
    let expires = match (request.ttl, request.token.expires) {
        (0, expires) => expires,
        (ttl, None) => Some(now.saturating_add(ttl.unsigned_abs())),
        (_, Some(_)) => return refused("Token Expiration TTL and Expiration Time cannot both be set"),
    };
    let Some(at) = expires else { return Ok(None) };
    if at < now {
        return refused("ExpirationTime cannot be before CreateTime");
    }
    let life = at - now;
    let bound = |word: &str, limit: Duration| {
        let (limit, was) = (format_duration(limit), format_duration(Duration::from_nanos(life)));
        refused(format!("ExpirationTime cannot be {word} than {limit} in the future (was {was})"))
    };
    if life > nanos(LONGEST_LIFE) {
        return bound("more", LONGEST_LIFE);
    }
    if life < nanos(SHORTEST_LIFE) {
        return bound("less", SHORTEST_LIFE);
    }
    Ok(expires)
}

fn updated(request: &TokenRequest, state: &State, now: UnixNanos) -> Result<AclToken, Error> {
    let given = &request.token;
    let accessor = &given.accessor_id;
    if !is_uuid(accessor) {
        return refused("AccessorID is not a valid UUID");
    }
    let old = state.acl_token(accessor).filter(|token| !token.is_expired(now));
    let old = old.ok_or_else(|| Error::Acl(format!("Cannot find token {accessor:?}")))?;
    if !given.secret_id.0.is_empty() && given.secret_id != old.secret_id {
        return refused("Changing a tokens SecretID is not permitted");
    }
    if given.local != old.local {
        return refused(format!("cannot toggle local mode of {accessor}"));
    }
    if !given.auth_method.is_empty() && given.auth_method != old.auth_method {
        return refused(format!("Cannot change AuthMethod of {accessor}"));
    }
    if request.ttl != 0 || given.expires.is_some_and(|at| Some(at) != old.expires) {
        return refused(format!("Cannot change expiration time of {accessor}"));
    }
    Ok(AclToken {
        accessor_id: old.accessor_id.clone(),
        secret_id: old.secret_id.clone(),
        auth_method: old.auth_method.clone(),
        created: old.created,
        expires: old.expires,
        ..with_rights(given, state)?
    })
}

/// With links and identities checked.
fn with_rights(given: &AclToken, state: &State) -> Result<AclToken, Error> {
    let role = |role: Stored<model::acl::AclRole>| Link { id: role.id.clone(), name: role.name.clone() };
    let roles =
        resolve("role", &given.roles, |name| state.acl_role_by_name(name).map(role), |id| state.acl_role(id).map(role));
    Ok(AclToken {
        policies: policies(&given.policies, state)?,
        roles: roles?,
        service_identities: service_identities(&given.service_identities, "token", given.local)?,
        node_identities: node_identities(&given.node_identities, "token")?,
        ..given.clone()
    })
}
