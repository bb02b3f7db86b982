//! The records of a service's instances.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::ops::Range;

use model::{Node, Service, Status};

use crate::answer::{Context, chase, texts};
use crate::name::Name;
use crate::reply::{Answer, Body, Data, Owner, Record};
use crate::request::{Rcode, kind};
use crate::view::Instance;

/// What is asked of the instances.
pub struct Wish<'a> {
    /// The question's name in lower case.
    pub question: &'a [u8],
    pub kind: u16,
    pub ttl: u32,
    pub datacenter: &'a str,
    /// How often a name may still lead to a name.
    pub depth: u32,
    pub shuffled: bool,
}

/// Where an instance is.
enum Place<'a> {
    /// At its node's address, so the node's name says it.
    Node(IpAddr),
    Address(IpAddr),
    Host(&'a str),
}

/// No answer at all when there is none of the kind.
pub fn body(context: &Context<'_>, instances: Vec<Instance>, wish: &Wish<'_>) -> Body {
    let mut body = Body { udp_limited: true, shuffled: wish.shuffled, ..Body::new(Rcode::NoError) };
    match wish.kind {
        kind::SRV => Targets { context, wish, body: &mut body, ranges: HashMap::new() }.all(&instances),
        _ => addresses(context, instances, wish, &mut body),
    }
    body
}

fn addresses(context: &Context<'_>, mut instances: Vec<Instance>, wish: &Wish<'_>, body: &mut Body) {
    let record = |data| Record { owner: Owner::Question, ttl: wish.ttl, data };
    let mut seen = HashSet::new();
    let mut named = false;
    for instance in &instances {
        match place(instance, wish) {
            Some(Place::Node(address) | Place::Address(address))
                if answers(address, wish.kind) && seen.insert(address) =>
            {
                body.push(record(Data::address(address)));
            }
            Some(Place::Host(_)) => named = true,
            _ => {}
        }
    }
    let limit = context.config.a_record_limit;
    body.most = if limit == 0 { usize::MAX } else { limit };
    if !named || !body.answers.is_empty() {
        return;
    }
    // A name may have one CNAME: one of the instances, another next time.
    if wish.shuffled {
        fastrand::shuffle(&mut instances);
    }
    (body.keep, body.shuffled, body.most) = (false, false, usize::MAX);
    let host = instances.iter().find_map(|instance| match place(instance, wish)? {
        Place::Host(host) => Name::parse(host),
        _ => None,
    });
    let Some(host) = host else { return };
    body.push(record(Data::Cname(host.clone())));
    for chased in chase(context, &host, wish.kind, wish.depth, &mut body.wanted) {
        body.push(Record { ttl: wish.ttl, ..chased });
    }
}

/// Builds SRV records and what explains them.
struct Targets<'a> {
    context: &'a Context<'a>,
    wish: &'a Wish<'a>,
    body: &'a mut Body,
    /// The linked records of a target: several instances may share it.
    ranges: HashMap<Name, Range<u32>>,
}

impl Targets<'_> {
    fn all(mut self, instances: &[Instance]) {
        let mut seen = HashSet::new();
        for instance in instances {
            let service = &instance.service;
            if seen.insert((&instance.node.node, &service.address, service.port)) {
                self.one(instance);
            }
        }
    }

    fn one(&mut self, instance: &Instance) {
        let Some(place) = place(instance, self.wish) else { return };
        let below = |parts: &[&str]| Name::join(parts, &self.context.config.domain);
        let datacenter = self.wish.datacenter;
        let node = below(&[&instance.node.node, "node", datacenter]);
        let digits = |address| below(&[&digits(address), "addr", datacenter]);
        let (target, address) = match place {
            // A node whose name DNS cannot hold still has an address.
            Place::Node(address) => (node.clone().or_else(|| digits(address)), Some(address)),
            Place::Address(address) => (digits(address), Some(address)),
            Place::Host(host) => (Name::parse(host), None),
        };
        let Some(target) = target else { return };
        let linked = match self.ranges.get(&target) {
            Some(range) => range.clone(),
            None => {
                let range = self.explain(instance, &target, address, node.as_ref());
                self.ranges.insert(target.clone(), range.clone());
                range
            }
        };
        let data = Data::Srv { weight: weight(instance), port: instance.service.port, target };
        let record = Record { owner: Owner::Question, ttl: self.wish.ttl, data };
        self.body.answers.push(Answer { record, linked });
    }

    /// The target's address, or where its name leads, and the node's metadata.
    fn explain(
        &mut self,
        instance: &Instance,
        target: &Name,
        address: Option<IpAddr>,
        node: Option<&Name>,
    ) -> Range<u32> {
        let Wish { ttl, depth, .. } = *self.wish;
        let start = self.body.linked.len() as u32;
        let record = |owner: &Name, data| Record { owner: Owner::Name(owner.clone()), ttl, data };
        match address {
            Some(address) => self.body.linked.push(record(target, Data::address(address))),
            None => {
                self.body.keep = false;
                let chased = chase(self.context, target, kind::SRV, depth, &mut self.body.wanted);
                self.body.linked.extend(chased.into_iter().map(|chased| Record { ttl, ..chased }));
            }
        }
        if let Some(node) = node.filter(|_| self.context.config.node_meta_txt) {
            self.body.linked.extend(texts(&instance.node).map(|text| record(node, Data::Txt(text))));
        }
        start..self.body.linked.len() as u32
    }
}

fn place<'a>(instance: &'a Instance, wish: &Wish<'_>) -> Option<Place<'a>> {
    let node = node_address(&instance.node, wish.kind);
    let service = service_address(&instance.service, wish.kind);
    let node_ip = node.parse::<IpAddr>();
    if service.is_empty() {
        return match node_ip {
            _ if node.is_empty() => None,
            // The name of the node leads to its plain address, not to one of a family.
            Ok(address) if node == instance.node.address => Some(Place::Node(address)),
            Ok(address) => Some(Place::Address(address)),
            Err(_) => Some(Place::Host(node)),
        };
    }
    if let Ok(address) = service.parse() {
        return Some(Place::Address(address));
    }
    // A service that is registered under its own name in DNS would lead to itself.
    let own = Name::parse(service).is_some_and(|name| name.to_lowercase().wire() == wish.question);
    match node_ip {
        Ok(address) if own => Some(Place::Node(address)),
        _ => Some(Place::Host(service)),
    }
}

/// The address of the family that is asked for, or the plain one.
pub fn node_address(node: &Node, asked: u16) -> &str {
    let tagged = |tag: &str| node.tagged_addresses.get(tag).map_or("", String::as_str);
    of_family(asked, &node.address, tagged("lan_ipv4"), tagged("lan_ipv6"))
}

fn service_address(service: &Service, asked: u16) -> &str {
    let tagged = |tag: &str| service.tagged_addresses.get(tag).map_or("", |tagged| tagged.address.as_str());
    of_family(asked, &service.address, tagged("lan_ipv4"), tagged("lan_ipv6"))
}

/// Who takes any address gets the newer family's, as from Consul.
fn of_family<'a>(asked: u16, plain: &'a str, v4: &'a str, v6: &'a str) -> &'a str {
    let (takes_v4, takes_v6) = (asked != kind::AAAA, asked != kind::A);
    match () {
        () if takes_v6 && !v6.is_empty() => v6,
        () if takes_v4 && !v4.is_empty() => v4,
        () => plain,
    }
}

/// Whether an address is an answer to this kind of question. Asked for a text, Consul tells the address.
pub fn answers(address: IpAddr, asked: u16) -> bool {
    match asked {
        kind::A => address.is_ipv4(),
        kind::AAAA => address.is_ipv6(),
        kind::ANY | kind::TXT => true,
        _ => false,
    }
}

fn digits(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("{:08x}", address.to_bits()),
        IpAddr::V6(address) => format!("{:032x}", address.to_bits()),
    }
}

fn weight(instance: &Instance) -> u16 {
    let weights = instance.service.weights;
    let weight = match instance.status {
        Status::Passing => weights.passing,
        Status::Warning => weights.warning,
        Status::Critical => 0,
    };
    u16::try_from(weight).unwrap_or(u16::MAX)
}
