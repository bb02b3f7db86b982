//! Whose token it is and what it may do: from the secret of a request to its rights.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use agent::{TokenKind, Tokens};
use model::Token;
use model::acl::{
    ANONYMOUS, AclToken, AuthMethod, Link, NodeIdentity, Rights, Rules, ServiceIdentity, UnixNanos,
    node_identity_rules, service_identity_rules,
};
use store::{Index, State, Store, Stored, Topic};

use crate::authorizer::Authorizer;
use crate::error::Error;
use crate::query_options::QueryOptions;

/// Compiled rights that are kept; when there are more all are made anew.
const CACHE_LIMIT: usize = 8192;
/// How often tokens are looked through for those whose time is over. They are refused on the spot anyhow.
const REAP_INTERVAL: Duration = Duration::from_secs(30);
/// Operators write the reset index into this file of the data directory.
const RESET_FILE: &str = "acl-bootstrap-reset";

/// How access control is to be; there is none without.
#[derive(Clone)]
pub struct AclConfig {
    /// What no rule speaks of is allowed.
    pub default_allow: bool,
    pub tokens: Arc<Tokens>,
    /// The secret of an administrator's token that the configuration names; empty: none.
    pub initial_management: Token,
    pub data_dir: Option<PathBuf>,
}

/// Access control of one server; cheap to clone.
#[derive(Clone, Default)]
pub struct Access(Option<Arc<On>>);

struct On {
    store: Store,
    config: AclConfig,
    datacenter: Arc<str>,
    node: Arc<str>,
    cache: Mutex<HashMap<String, Compiled>>,
    /// Ways to log in, as they were when they were last changed: they keep fetched keys.
    judges: Mutex<HashMap<String, (Index, Arc<auth::Method>)>>,
}

/// Rights, and of which token, policies and roles they were made.
#[derive(Clone)]
struct Compiled {
    versions: [Index; 3],
    rights: Arc<Rights>,
}

pub(crate) fn now() -> UnixNanos {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

impl Access {
    /// Makes what every cluster with access control has, and begins to remove tokens whose time is over.
    pub(crate) async fn start(store: &Store, config: AclConfig, datacenter: &str, node: &str) -> Result<Self, Error> {
        store.initialise_acl(now()).await?;
        if !config.initial_management.0.is_empty() {
            store.ensure_management_token(&config.initial_management, now()).await?;
        }
        tokio::spawn(reap(store.clone()));
        Ok(Self(Some(Arc::new(On {
            store: store.clone(),
            config,
            datacenter: datacenter.into(),
            node: node.into(),
            cache: Mutex::default(),
            judges: Mutex::default(),
        }))))
    }

    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Access control itself is asked for: 401 without.
    pub(crate) fn demand(&self) -> Result<(), Error> {
        if self.is_on() { Ok(()) } else { Err(Error::AclDisabled) }
    }

    /// What the sender of a request may do.
    pub(crate) fn authorizer(&self, options: &QueryOptions) -> Result<Authorizer, Error> {
        let Some(on) = &self.0 else { return Ok(Authorizer::everything()) };
        on.authorizer(&on.secret(&options.token)).map(|authorizer| authorizer.noting(&options.filtered))
    }

    /// What the holder of a secret may do; the empty one is that of whoever brings none.
    pub fn of_secret(&self, secret: &Token) -> Result<Authorizer, Error> {
        let Some(on) = &self.0 else { return Ok(Authorizer::everything()) };
        on.authorizer(&on.secret(secret))
    }

    /// What a DNS question may see.
    pub fn of_dns(&self) -> Result<Authorizer, Error> {
        let Some(on) = &self.0 else { return Ok(Authorizer::everything()) };
        on.authorizer(&on.secret(&on.config.tokens.of_dns()))
    }

    /// Another number whenever what a DNS question may see may have become something else.
    pub fn dns_revision(&self) -> u64 {
        use std::hash::{Hash as _, Hasher as _};
        let Some(on) = &self.0 else { return 0 };
        let mut hasher = std::hash::DefaultHasher::new();
        on.config.tokens.of_dns().0.hash(&mut hasher);
        on.store.state().index_of(&[Topic::AclTokens, Topic::AclPolicies, Topic::AclRoles]).hash(&mut hasher);
        hasher.finish()
    }

    /// The token itself.
    pub(crate) fn token(&self, options: &QueryOptions) -> Result<Stored<AclToken>, Error> {
        let on = self.0.as_ref().ok_or(Error::AclDisabled)?;
        on.token(&on.store.state(), &on.secret(&options.token).0).ok_or(Error::AclNotFound)
    }

    /// Whether there is a token at all, the default one included.
    pub(crate) fn brings_token(&self, options: &QueryOptions) -> bool {
        self.0.as_ref().is_some_and(|on| on.secret(&options.token).0 != ANONYMOUS)
    }

    /// Who judges the bearer tokens of a method.
    pub(crate) fn judge(&self, method: &Stored<AuthMethod>) -> Result<Arc<auth::Method>, Error> {
        let on = self.0.as_ref().ok_or(Error::AclDisabled)?;
        let mut judges = on.judges.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, judge)) = judges.get(&method.name).filter(|(index, _)| *index == method.modify_index) {
            return Ok(judge.clone());
        }
        let judge = auth::Method::new(method).map_err(|error| Error::Refused(error.to_string()))?;
        let judge = Arc::new(judge);
        judges.insert(method.name.clone(), (method.modify_index, judge.clone()));
        Ok(judge)
    }

    /// The reset index an operator has written down, which is good once.
    pub(crate) fn take_reset_index(&self) -> Index {
        let directory = self.0.as_ref().and_then(|on| on.config.data_dir.as_ref());
        let Some(file) = directory.map(|directory| directory.join(RESET_FILE)) else { return 0 };
        let Ok(text) = std::fs::read_to_string(&file) else { return 0 };
        if let Err(error) = std::fs::remove_file(&file) {
            tracing::warn!(file = %file.display(), %error, "the reset file cannot be removed: it is not taken");
            return 0;
        }
        text.trim().parse().unwrap_or_else(|_| {
            tracing::warn!(file = %file.display(), "the reset file holds no index");
            0
        })
    }
}

impl On {
    /// Whoever brings no token has the default one, or none at all.
    fn secret(&self, given: &Token) -> Token {
        let given = if given.0.is_empty() { self.config.tokens.get(TokenKind::Default) } else { given.clone() };
        if given.0.is_empty() { Token(ANONYMOUS.to_owned()) } else { given }
    }

    fn token(&self, state: &State, secret: &str) -> Option<Stored<AclToken>> {
        state.acl_token_by_secret(secret).filter(|token| !token.is_expired(now()))
    }

    fn authorizer(&self, secret: &Token) -> Result<Authorizer, Error> {
        if self.config.tokens.is_recovery(secret) {
            let rights = Arc::new(recovery_rights(&self.node));
            return Ok(Authorizer::new(rights, false));
        }
        let state = self.store.state();
        let token = self.token(&state, &secret.0).ok_or(Error::AclNotFound)?;
        let rights = self.rights(&state, secret, &token);
        Ok(Authorizer::new(rights, self.config.default_allow))
    }

    fn rights(&self, state: &State, secret: &Token, token: &Stored<AclToken>) -> Arc<Rights> {
        let of = |topic: Topic| state.index_of(&[topic]);
        let versions = [token.modify_index, of(Topic::AclPolicies), of(Topic::AclRoles)];
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = cache.get(&secret.0).filter(|known| known.versions == versions) {
            return known.rights.clone();
        }
        if cache.len() >= CACHE_LIMIT {
            cache.clear();
        }
        let rights = Arc::new(self.compile(state, token));
        cache.insert(secret.0.clone(), Compiled { versions, rights: rights.clone() });
        rights
    }

    fn compile(&self, state: &State, token: &AclToken) -> Rights {
        let mut rules = self.policies(state, &token.policies);
        rules.extend(self.identities(&token.service_identities, &token.node_identities));
        for link in &token.roles {
            let Some(role) = state.acl_role(&link.id) else { continue };
            rules.extend(self.policies(state, &role.policies));
            rules.extend(self.identities(&role.service_identities, &role.node_identities));
        }
        Rights::merge(&rules)
    }

    fn policies(&self, state: &State, links: &[Link]) -> Vec<Rules> {
        let policies = links.iter().filter_map(|link| state.acl_policy(&link.id));
        let here = policies.filter(|policy| self.is_here(&policy.datacenters));
        let parse = |policy: &Stored<model::acl::AclPolicy>| match Rules::parse(&policy.rules) {
            Ok(rules) => Some(rules),
            Err(error) => {
                tracing::warn!(policy = policy.name, %error, "a stored policy cannot be read; it grants nothing");
                None
            }
        };
        here.filter_map(parse).collect()
    }

    fn identities(&self, services: &[ServiceIdentity], nodes: &[NodeIdentity]) -> Vec<Rules> {
        let services = services.iter().filter(|identity| self.is_here(&identity.datacenters));
        let nodes = nodes.iter().filter(|identity| *identity.datacenter == *self.datacenter);
        let services = services.map(|identity| service_identity_rules(&identity.service_name));
        services.chain(nodes.map(|identity| node_identity_rules(&identity.node_name))).collect()
    }

    fn is_here(&self, datacenters: &[String]) -> bool {
        datacenters.is_empty() || datacenters.iter().any(|datacenter| **datacenter == *self.datacenter)
    }
}

/// For the operator of a node that is cut off from its servers.
fn recovery_rights(node: &str) -> Rights {
    use model::acl::{Access, Family, Rule};
    let rule =
        |family, prefix, name: &str, access| Rule { family, prefix, name: name.to_owned(), access, intentions: None };
    let rules = vec![rule(Family::Agent, false, node, Access::Write), rule(Family::Node, true, "", Access::Read)];
    Rights::merge([&Rules { whole: Vec::new(), rules }])
}

async fn reap(store: Store) {
    loop {
        tokio::time::sleep(REAP_INTERVAL).await;
        match store.reap_tokens(now()).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "removed tokens whose time was over"),
            Err(error) => tracing::warn!(%error, "removing tokens whose time is over"),
        }
    }
}
