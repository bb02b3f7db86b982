//! The server half: everything that reads or writes the store.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::Router;
use model::{ConfigEntry, EntryKind, HealthCheck, Node, OpaqueMap, Service, Status};
use store::{CheckFact, Proposal, Registration, SESSION_TTL_MIN, State, Store, Topic};

use crate::access::{Access, AclConfig};
use crate::answers::{Answers, Asked};
use crate::authorizer::Authorizer;
use crate::chains;
use crate::error::Error;
use crate::query_options::QueryOptions;
use crate::request::BODY_LIMIT_BYTES;
use crate::v1;

/// What this server is called and where it is.
#[derive(Clone)]
pub struct Identity {
    pub datacenter: String,
    pub node_name: String,
    pub node_id: String,
    /// The address others reach this node at.
    pub address: String,
    /// The port that `status/leader` names (8300 in Consul).
    pub server_port: u16,
    /// Without access control lists everything is allowed that no intention denies.
    pub default_allow: bool,
    /// `connect.ca_config` of the agent's files: what the first root of a new cluster is made by.
    pub ca_config: OpaqueMap,
    pub limits: Limits,
    /// None: no access control.
    pub acl: Option<AclConfig>,
}

impl Default for Identity {
    fn default() -> Self {
        Self {
            datacenter: "dc1".to_owned(),
            node_name: "localhost".to_owned(),
            node_id: String::new(),
            address: "127.0.0.1".to_owned(),
            server_port: 8300,
            default_allow: true,
            ca_config: OpaqueMap::new(),
            limits: Limits::default(),
            acl: None,
        }
    }
}

/// What an operator may set about keys and sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// `limits.kv_max_value_size`
    pub kv_value_bytes: usize,
    /// `limits.txn_max_req_len`
    pub txn_bytes: usize,
    pub session_ttl_min: Duration,
    /// `acl.enable_key_list_policy`: listing keys takes a right of its own.
    pub key_list_policy: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            kv_value_bytes: BODY_LIMIT_BYTES,
            txn_bytes: BODY_LIMIT_BYTES,
            session_ttl_min: SESSION_TTL_MIN,
            key_list_policy: false,
        }
    }
}

/// The signer of the active root, kept with the root's id.
type Signer = (String, Arc<ca::Authority>);

/// What the server routes need.
#[derive(Clone)]
pub struct ServerState {
    pub store: Store,
    pub datacenter: Arc<str>,
    pub(crate) answers: Arc<Answers>,
    pub access: Access,
    pub(crate) default_allow: bool,
    pub(crate) limits: Limits,
    node_name: Arc<str>,
    node_id: Arc<str>,
    started: SystemTime,
    peer: Arc<str>,
    pub(crate) signer: Arc<Mutex<Option<Signer>>>,
}

impl ServerState {
    /// Makes what a cluster needs before it can serve: the certificate authority, and this node in the catalog. Finds
    /// it made when the store is not new.
    pub async fn start(store: Store, identity: &Identity) -> Result<Self, Error> {
        let access = match &identity.acl {
            Some(config) => Access::start(&store, config.clone(), &identity.datacenter, &identity.node_name).await?,
            None => Access::default(),
        };
        let server = Self {
            store,
            answers: Arc::default(),
            access,
            datacenter: identity.datacenter.as_str().into(),
            default_allow: identity.default_allow,
            limits: identity.limits,
            node_name: identity.node_name.as_str().into(),
            node_id: identity.node_id.as_str().into(),
            started: SystemTime::now(),
            peer: format!("{}:{}", identity.address, identity.server_port).into(),
            signer: Arc::default(),
        };
        server.start_authority(&identity.ca_config).await?;
        server.store.register(own_registration(identity)).await?;
        Ok(server)
    }

    pub(crate) fn node_name(&self) -> &str {
        &self.node_name
    }

    pub(crate) fn started(&self) -> SystemTime {
        self.started
    }

    pub(crate) fn node_id(&self) -> &str {
        &self.node_id
    }

    /// `host:port`, as `status/leader` names it.
    pub(crate) fn peer(&self) -> &str {
        &self.peer
    }

    /// What the sender of a request may do; an error when its token is not known.
    pub(crate) fn authorizer(&self, options: &QueryOptions) -> Result<Authorizer, Error> {
        self.access.authorizer(options)
    }

    /// Writes an entry unless it breaks a chain. False: it is not as `cas` says.
    pub async fn put_config(&self, entry: ConfigEntry, cas: Option<u64>) -> Result<bool, Error> {
        let judge = |proposal: &Proposal<'_>| chains::judge(proposal, &self.datacenter);
        Ok(self.store.put_config(entry, cas, judge).await?)
    }

    /// The state now and with the entry written, which it is not.
    pub(crate) fn rehearse_config(&self, entry: ConfigEntry) -> Result<(Arc<State>, State), Error> {
        let judge = |proposal: &Proposal<'_>| chains::judge(proposal, &self.datacenter);
        Ok(self.store.rehearse_config(entry, judge)?)
    }

    /// Removes an entry unless a chain needs it.
    pub(crate) async fn delete_config(&self, kind: EntryKind, name: &str, cas: Option<u64>) -> Result<bool, Error> {
        let judge = |proposal: &Proposal<'_>| chains::judge(proposal, &self.datacenter);
        Ok(self.store.delete_config(kind, name, cas, judge).await?)
    }

    /// A question whose answer may be kept: unless it is sorted by coordinates, which have an index of their own, or
    /// shows each sender something else.
    pub(crate) fn asked<'a>(
        &self,
        route: &'static str,
        name: &'a str,
        options: &QueryOptions,
        index: u64,
    ) -> Result<Asked<'a>, Error> {
        let shared = options.near.is_empty() && self.authorizer(options)?.is_off();
        Ok(Asked { route, name, index, shared })
    }

    /// Refuses what is meant for another datacenter.
    pub(crate) fn admit(&self, options: &QueryOptions) -> Result<(), Error> {
        match options.dc.as_str() {
            "" => Ok(()),
            dc if *dc == *self.datacenter => Ok(()),
            _ => Err(Error::NoPath { read: true }),
        }
    }

    /// The same for writes, whose body may name a datacenter too.
    pub(crate) fn admit_write(&self, options: &QueryOptions, in_body: &str) -> Result<(), Error> {
        let ours = |dc: &str| dc.is_empty() || *dc == *self.datacenter;
        if ours(&options.dc) && ours(in_body) { Ok(()) } else { Err(Error::NoPath { read: false }) }
    }

    /// The state to answer from and the index to answer with, once they are newer than what the client knows.
    pub(crate) async fn read(&self, options: &QueryOptions, topics: &[Topic]) -> Result<(Arc<State>, u64), Error> {
        self.admit(options)?;
        // A token that nobody knows is told so at once.
        self.authorizer(options)?;
        let state = self.store.block(topics, options.index, options.wait).await;
        let index = state.index_of(topics);
        Ok((state, index))
    }
}

/// This node as a server registers itself: with the check of its being there, and the service `consul`.
fn own_registration(identity: &Identity) -> Registration {
    let address = identity.address.as_str();
    let tagged = ["lan", "lan_ipv4", "wan", "wan_ipv4"];
    let node = Node {
        id: identity.node_id.clone(),
        node: identity.node_name.clone(),
        address: address.to_owned(),
        datacenter: identity.datacenter.clone(),
        tagged_addresses: tagged.iter().map(|tag| ((*tag).to_owned(), address.to_owned())).collect(),
        meta: BTreeMap::from([("consul-network-segment".to_owned(), String::new())]),
    };
    let service = Service {
        id: "consul".to_owned(),
        service: "consul".to_owned(),
        port: identity.server_port,
        meta: BTreeMap::from([("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned())]),
        ..Service::default()
    };
    let check = HealthCheck {
        node: identity.node_name.clone(),
        check_id: "serfHealth".to_owned(),
        name: "Serf Health Status".to_owned(),
        status: Status::Passing,
        output: "Agent alive and reachable".to_owned(),
        ..HealthCheck::default()
    };
    let checks = vec![CheckFact { check, ..CheckFact::default() }];
    Registration { node, service: Some(service), checks, skip_node_update: false }
}

/// All routes that read or write the store.
pub fn router(state: ServerState) -> Router {
    Router::new()
        .merge(v1::acl::router())
        .merge(v1::catalog::router())
        .merge(v1::health::router())
        .merge(v1::config::router())
        .merge(v1::discovery_chain::router())
        .merge(v1::intention::router())
        .merge(v1::query::router())
        .merge(v1::connect::router())
        .merge(v1::kv::router())
        .merge(v1::session::router())
        .merge(v1::txn::router())
        .merge(v1::event::router())
        .merge(v1::snapshot::router())
        .merge(v1::status::router())
        .merge(v1::coordinate::router())
        .merge(v1::operator::router())
        .merge(v1::internal::router())
        .with_state(state)
}

/// What must be in the path.
pub(crate) fn required(value: &str, missing: &str) -> Result<(), Error> {
    if value.is_empty() { Err(Error::Invalid(missing.to_owned())) } else { Ok(()) }
}

/// Every `?node-meta` must be there.
pub(crate) fn has_meta(node: &Node, options: &QueryOptions) -> bool {
    options.node_meta.iter().all(|(key, value)| node.meta.get(key) == Some(value))
}

/// Every `?tag` must be there, in any case.
pub(crate) fn has_tags(service: &Service, options: &QueryOptions) -> bool {
    let mut wanted = options.params.all("tag").filter(|tag| !tag.is_empty());
    wanted.all(|tag| service.tags.iter().any(|has| has.to_lowercase() == tag.to_lowercase()))
}

/// `?near`: by the estimated round trip from the named node, which comes first itself. Nodes without a coordinate come
/// last; without one of the named node, the others stay as they are.
pub(crate) fn near<T>(
    items: &mut [T],
    options: &QueryOptions,
    server: &ServerState,
    state: &State,
    node: impl Fn(&T) -> &str,
) {
    let from = match options.near.as_str() {
        "" => return,
        "_agent" => &*server.node_name,
        name => name,
    };
    sort_by_distance(items, state, from, node);
}

/// By the estimated round trip from one node.
pub(crate) fn sort_by_distance<T>(items: &mut [T], state: &State, from: &str, node: impl Fn(&T) -> &str) {
    let distance = |name: &str| {
        if name.eq_ignore_ascii_case(from) {
            return -1.0;
        }
        let all = state.coordinates_of(from).flat_map(|a| {
            let others = state.coordinates_of(name).filter(move |b| a.segment == b.segment);
            others.map(move |b| a.coordinate.distance_to(&b.coordinate))
        });
        all.fold(f64::INFINITY, f64::min)
    };
    items.sort_by(|a, b| distance(node(a)).total_cmp(&distance(node(b))));
}
