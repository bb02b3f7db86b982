//! Facts of every kind with anything in their fields.

use std::collections::BTreeMap;
use std::sync::Arc;

use fastrand::Rng;
use model::{
    Action, ConfigEntry, Connect, Coordinate, EntryKind, HealthCheck, Intention, KvEntry, Node, NodeCoordinate,
    OpaqueMap, ProxyConfig, ProxyDefaults, Service, ServiceAddress, ServiceDefaults, ServiceIntentions, ServiceKind,
    Session, SessionBehavior, Status, Upstream, UserEvent, Weights,
};
use serde_json::{Value, json};
use store::{AclFact, Autopilot, CheckFact, Fact};

const KINDS: usize = 15;

/// A new kind of fact needs an arm in [`some`]: without one this does not compile.
fn number(fact: &Fact) -> usize {
    match fact {
        Fact::Node(_) => 0,
        Fact::Service { .. } => 1,
        Fact::Check(_) => 2,
        Fact::Config(_) => 3,
        Fact::ConfigSerial(_) => 4,
        Fact::CaConfig(_) => 5,
        Fact::CaRoot(_) => 6,
        Fact::CaSerial(_) => 7,
        Fact::Kv(_) => 8,
        Fact::Session(_) => 9,
        Fact::Acl(_) => 10,
        Fact::Coordinate(_) => 11,
        Fact::Autopilot(_) => 12,
        Fact::Event(_) => 13,
        Fact::Query(_) => 14,
    }
}

/// Any fact. Names come from a few, so that batches meet.
pub fn any(rng: &mut Rng) -> Fact {
    let kind = rng.usize(..KINDS);
    let fact = some(kind, rng);
    assert_eq!(number(&fact), kind);
    fact
}

pub fn kv(key: &str, value: &[u8]) -> Fact {
    Fact::Kv(Arc::new(KvEntry { key: key.to_owned(), value: value.into(), ..KvEntry::default() }))
}

fn some(kind: usize, rng: &mut Rng) -> Fact {
    match kind {
        0 => Fact::Node(Arc::new(node(rng))),
        1 => Fact::Service { node: name(rng).into(), service: Arc::new(service(rng)) },
        2 => Fact::Check(Arc::new(CheckFact { check: check(rng), definition: map(rng) })),
        3 => Fact::Config(Arc::new(entry(rng))),
        4 => Fact::ConfigSerial(rng.u64(..)),
        5 => {
            let config = json!({ "cluster_id": text(rng), "provider": text(rng), "config": map(rng) });
            Fact::CaConfig(Arc::new(first_form(config)))
        }
        6 => {
            let root = json!({ "id": name(rng), "active": rng.bool(), "description": map(rng), "key": text(rng) });
            Fact::CaRoot(Arc::new(first_form(root)))
        }
        7 => Fact::CaSerial(rng.u64(..)),
        8 => Fact::Kv(Arc::new(entry_of_kv(rng))),
        9 => Fact::Session(Arc::new(session(rng))),
        10 => Fact::Acl(acl(rng)),
        11 => Fact::Coordinate(Arc::new(NodeCoordinate {
            node: name(rng),
            segment: text(rng),
            coordinate: Coordinate { error: rng.f64(), ..Coordinate::default() },
        })),
        12 => Fact::Autopilot(Arc::new(Autopilot { min_quorum: rng.u64(..), ..Autopilot::default() })),
        13 => Fact::Event(Arc::new(UserEvent { id: name(rng), name: text(rng), ..UserEvent::default() })),
        _ => {
            let service = json!({ "Service": text(rng), "Tags": texts(rng), "NodeMeta": meta(rng) });
            Fact::Query(Arc::new(first_form(json!({ "ID": name(rng), "Name": text(rng), "Service": service }))))
        }
    }
}

fn acl(rng: &mut Rng) -> AclFact {
    match rng.u8(..7) {
        0 => {
            let token = json!({ "accessor_id": name(rng), "secret_id": name(rng), "description": text(rng),
                "policies": [{ "ID": text(rng), "Name": text(rng) }],
                "service_identities": [{ "ServiceName": text(rng), "Datacenters": texts(rng) }],
                "expires": rng.u64(..) });
            AclFact::Token(Arc::new(first_form(token)))
        }
        1 => AclFact::Policy(Arc::new(first_form(json!({ "id": name(rng), "name": text(rng), "rules": text(rng) })))),
        2 => AclFact::Role(Arc::new(first_form(json!({ "id": name(rng), "name": text(rng) })))),
        3 => AclFact::Method(Arc::new(first_form(json!({ "name": name(rng), "config": map(rng) })))),
        4 => AclFact::Rule(Arc::new(first_form(json!({ "id": name(rng), "selector": text(rng) })))),
        5 => AclFact::Bootstrap,
        _ => AclFact::Turn,
    }
}

/// From the fields that a type had when it was stored for the first time: a later field needs a default.
fn first_form<T: serde::de::DeserializeOwned>(fields: Value) -> T {
    serde_json::from_value(fields).unwrap()
}

fn name(rng: &mut Rng) -> String {
    format!("N{}", rng.u8(..6))
}

fn text(rng: &mut Rng) -> String {
    let length = rng.usize(..12);
    (0..length).map(|_| *rng.choice(&['a', 'Z', '"', '\\', '\0', '\n', 'é', '界', '🦀', '<', '&']).unwrap()).collect()
}

fn texts(rng: &mut Rng) -> Vec<String> {
    (0..rng.usize(..3)).map(|_| text(rng)).collect()
}

fn meta(rng: &mut Rng) -> BTreeMap<String, String> {
    (0..rng.usize(..3)).map(|_| (text(rng), text(rng))).collect()
}

fn value(rng: &mut Rng, depth: usize) -> Value {
    match rng.u8(..if depth == 0 { 7 } else { 9 }) {
        0 => Value::Null,
        1 => rng.bool().into(),
        2 => rng.i64(..).into(),
        3 => rng.u64(..).into(),
        4 => (rng.f64() * 1e6).into(),
        5 => rng.choice([0.0, -0.5, 1e300, 5e-324]).into(),
        6 => text(rng).into(),
        7 => (0..rng.usize(..3)).map(|_| value(rng, depth - 1)).collect::<Vec<_>>().into(),
        _ => (0..rng.usize(..3)).map(|_| (text(rng), value(rng, depth - 1))).collect::<OpaqueMap>().into(),
    }
}

fn map(rng: &mut Rng) -> OpaqueMap {
    (0..rng.usize(..4)).map(|_| (text(rng), value(rng, 2))).collect()
}

fn node(rng: &mut Rng) -> Node {
    Node {
        id: text(rng),
        node: name(rng),
        address: text(rng),
        tagged_addresses: meta(rng),
        meta: meta(rng),
        ..Node::default()
    }
}

fn service(rng: &mut Rng) -> Service {
    let kinds = [
        ServiceKind::Typical,
        ServiceKind::ConnectProxy,
        ServiceKind::MeshGateway,
        ServiceKind::TerminatingGateway,
        ServiceKind::IngressGateway,
        ServiceKind::Other("nope".to_owned()),
    ];
    let upstream = |rng: &mut Rng| Upstream {
        destination_name: text(rng),
        local_bind_port: rng.u16(..),
        config: map(rng),
        ..Upstream::default()
    };
    let upstreams = (0..rng.usize(..3)).map(|_| upstream(rng)).collect();
    let proxy = ProxyConfig { destination_service_name: text(rng), config: map(rng), upstreams, ..Default::default() };
    Service {
        kind: rng.choice(kinds).unwrap(),
        id: name(rng),
        service: text(rng),
        tags: texts(rng),
        meta: meta(rng),
        port: rng.u16(..),
        address: text(rng),
        tagged_addresses: [(text(rng), ServiceAddress { address: text(rng), port: rng.u16(..) })].into(),
        weights: Weights { passing: rng.u32(..), warning: rng.u32(..) },
        proxy: rng.bool().then_some(proxy),
        connect: Connect { native: rng.bool() },
        ..Service::default()
    }
}

fn check(rng: &mut Rng) -> HealthCheck {
    HealthCheck {
        node: name(rng),
        check_id: name(rng),
        name: text(rng),
        status: rng.choice([Status::Passing, Status::Warning, Status::Critical]).unwrap(),
        notes: text(rng),
        output: text(rng),
        service_id: text(rng),
        service_tags: texts(rng),
        kind: text(rng),
        ..HealthCheck::default()
    }
}

fn entry(rng: &mut Rng) -> ConfigEntry {
    match rng.u8(..4) {
        0 => ConfigEntry::ProxyDefaults(ProxyDefaults {
            config: map(rng),
            mesh_gateway_mode: text(rng),
            access_logs: map(rng),
            meta: meta(rng),
            ..ProxyDefaults::default()
        }),
        1 => ConfigEntry::ServiceDefaults(ServiceDefaults {
            name: name(rng),
            protocol: text(rng),
            more: map(rng),
            ..ServiceDefaults::default()
        }),
        2 => {
            let mut rules = ServiceIntentions::of(&name(rng));
            rules.set(&intention(rng));
            rules.into_entry()
        }
        _ => ConfigEntry::Other { kind: rng.choice(EntryKind::ALL).unwrap(), name: name(rng), body: map(rng) },
    }
}

fn intention(rng: &mut Rng) -> Intention {
    let action = if rng.bool() { Action::Allow } else { Action::Deny };
    let (source, destination) = (name(rng), name(rng));
    Intention {
        id: text(rng),
        description: text(rng),
        meta: meta(rng),
        ..Intention::new(&source, &destination, action)
    }
}

fn entry_of_kv(rng: &mut Rng) -> KvEntry {
    let value: Vec<u8> = (0..rng.usize(..40)).map(|_| rng.u8(..)).collect();
    KvEntry {
        key: format!("{}/{}", name(rng), name(rng)),
        value: value.as_slice().into(),
        flags: rng.u64(..),
        session: text(rng),
        ..KvEntry::default()
    }
}

fn session(rng: &mut Rng) -> Session {
    Session {
        id: name(rng),
        name: text(rng),
        node: name(rng),
        node_checks: texts(rng),
        lock_delay: std::time::Duration::from_nanos(rng.u64(..)),
        behavior: if rng.bool() { SessionBehavior::Delete } else { SessionBehavior::Release },
        ttl: text(rng),
        ..Session::default()
    }
}
