//! Question and view to answer, as Consul's DNS interface decides it. Pure: no socket, no clock.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::{Node, Status};

use crate::config::Config;
use crate::name::{self, Name};
use crate::reply::{Body, Data, Owner, Record, seconds};
use crate::request::{CLASS_ANY, CLASS_IN, Rcode, Request, kind};
use crate::service::{self, Wish};
use crate::target::{self, Target};
use crate::view::{Lookup, Subject, View};

/// A name that leads to a name is followed so often.
const CHASE_LIMIT: u32 = 3;
const NAME_SERVERS_LIMIT: usize = 3;
/// The service whose instances are the servers.
const SERVERS: &str = "consul";
/// A text that is longer stands in no record.
const TEXT_LIMIT: usize = 4096;
const RAW_TEXT: &str = "rfc1035-";

/// What the recursors said about names of others.
pub type Known = HashMap<Name, Vec<Record>>;

/// Everything an answer depends on beside the question.
pub struct Context<'a> {
    pub config: &'a Config,
    pub view: &'a dyn View,
    pub known: &'a Known,
    /// Seconds since 1970: the serial number of the zone.
    pub now: u32,
    /// Who asks, or the network it asks for.
    pub source: Option<IpAddr>,
}

pub enum Outcome {
    /// With what it depends on, when it may be kept.
    Body(Body, Option<Subject>),
    /// Not ours, and there are recursors.
    Forward,
}

/// `name` is the question's name in lower case.
pub fn answer(context: &Context<'_>, request: &Request<'_>, name: &[u8]) -> Outcome {
    let refused = |rcode| Outcome::Body(Body::new(rcode), None);
    if request.edns.as_ref().is_some_and(|edns| edns.version > 0) {
        return refused(Rcode::BadVers);
    }
    if ![CLASS_IN, CLASS_ANY].contains(&request.class) {
        return refused(Rcode::Refused);
    }
    if let Some(prefix) = context.config.domains().find_map(|domain| name::below(name, domain)) {
        let (body, subject) = ours(context, (name, prefix), request.kind, CHASE_LIMIT);
        let subject = subject.filter(|_| body.keep);
        return Outcome::Body(body, subject);
    }
    if [kind::PTR, kind::ANY].contains(&request.kind)
        && let Some(body) = reverse(name).and_then(|address| pointer(context, address))
    {
        return Outcome::Body(body, Some(Subject::Addresses));
    }
    let reversed = name.ends_with(b"\x04arpa\0");
    match context.config.recursors.is_empty() {
        false => Outcome::Forward,
        // As when all recursors had failed.
        true if reversed => refused(Rcode::ServFail),
        true => refused(Rcode::Refused),
    }
}

/// The answer below one of our domains; `prefix` is `name` without the domain.
fn ours(context: &Context<'_>, (name, prefix): (&[u8], &[u8]), asked: u16, depth: u32) -> (Body, Option<Subject>) {
    match asked {
        kind::SOA => return (zone(context), None),
        kind::NS => {
            let mut body = Body::new(Rcode::NoError);
            let (servers, glue) = name_servers(context);
            servers.into_iter().for_each(|server| body.push(server));
            body.additional = glue;
            return (body, None);
        }
        kind::AXFR | kind::IXFR => return (Body::new(Rcode::NotImp), None),
        _ => {}
    }
    match target::of(prefix, asked, context.config) {
        Target::Nothing => (missing(context), None),
        Target::Node(node) => (node_body(context, &node, asked, depth), None),
        Target::Address(digits) => (address_body(context, &digits), None),
        Target::Query(query) => (query_body(context, name, &query, (asked, depth)), None),
        Target::Instances { lookup, tag } => {
            let body = instances_body(context, name, &lookup, tag.as_deref(), (asked, depth));
            (body, Some(Subject::Lookup(lookup)))
        }
    }
}

/// NXDOMAIN.
fn missing(context: &Context<'_>) -> Body {
    Body { authority: vec![soa(context)], ..Body::new(Rcode::NxDomain) }
}

fn soa(context: &Context<'_>) -> Record {
    let times = context.config.soa;
    let domain = context.config.domain.clone();
    let data = Data::Soa { serial: context.now, domain: domain.clone(), times };
    Record { owner: Owner::Name(domain), ttl: times.min_ttl, data }
}

fn zone(context: &Context<'_>) -> Body {
    let mut body = Body::new(Rcode::NoError);
    body.push(soa(context));
    (body.authority, body.additional) = name_servers(context);
    body
}

/// Some of the servers and their addresses.
fn name_servers(context: &Context<'_>) -> (Vec<Record>, Vec<Record>) {
    let Context { config, view, .. } = context;
    let mut servers = view.instances(&Lookup::Service(SERVERS.to_owned()));
    servers.retain(|server| is_up(server.status, config));
    fastrand::shuffle(&mut servers);
    let (mut names, mut glue) = (Vec::new(), Vec::new());
    for server in servers {
        let node = &server.node;
        let Some(name) = Name::join(&[&node.node, "node", &config.datacenter], &config.domain) else { continue };
        let (name, ttl) = (name.to_lowercase(), seconds(config.node_ttl));
        names.push(Record { owner: Owner::Name(config.domain.clone()), ttl, data: Data::Ns(name.clone()) });
        let address = service::node_address(node, kind::ANY).parse::<IpAddr>().ok().map(Data::address);
        glue.extend(address.map(|data| Record { owner: Owner::Name(name), ttl, data }));
        if names.len() == NAME_SERVERS_LIMIT {
            break;
        }
    }
    (names, glue)
}

fn is_up(status: Status, config: &Config) -> bool {
    status == Status::Passing || status == Status::Warning && !config.only_passing
}

fn instances_body(
    context: &Context<'_>,
    name: &[u8],
    lookup: &Lookup,
    tag: Option<&str>,
    (asked, depth): (u16, u32),
) -> Body {
    let mut instances = context.view.instances(lookup);
    let tagged = |tags: &[String]| tag.is_none_or(|tag| tags.iter().any(|t| t.eq_ignore_ascii_case(tag)));
    instances.retain(|instance| is_up(instance.status, context.config) && tagged(&instance.service.tags));
    let (Lookup::Service(service) | Lookup::Connect(service) | Lookup::Ingress(service)) = lookup;
    let ttl = seconds(context.config.service_ttl.of(service));
    let datacenter = &context.config.datacenter;
    let wish = Wish { question: name, kind: asked, ttl, datacenter, depth, shuffled: true };
    found(context, instances, &wish)
}

fn query_body(context: &Context<'_>, name: &[u8], query: &str, (asked, depth): (u16, u32)) -> Body {
    let Some(prepared) = context.view.query(query, context.source) else { return missing(context) };
    let ttl = prepared.ttl.unwrap_or_else(|| context.config.service_ttl.of(&prepared.service.to_lowercase()));
    let datacenter = &prepared.datacenter;
    // The query has put its instances in order.
    let wish = Wish { question: name, kind: asked, ttl: seconds(ttl), datacenter, depth, shuffled: false };
    let mut body = found(context, prepared.instances, &wish);
    body.by_subnet = true;
    body
}

fn found(context: &Context<'_>, instances: Vec<crate::Instance>, wish: &Wish<'_>) -> Body {
    if instances.is_empty() {
        return missing(context);
    }
    let mut body = service::body(context, instances, wish);
    if body.answers.is_empty() {
        body.authority.push(soa(context));
        // The serial number is a time.
        body.keep = false;
    }
    body
}

fn node_body(context: &Context<'_>, name: &str, asked: u16, depth: u32) -> Body {
    let Context { config, view, .. } = context;
    let mut body = Body::new(Rcode::NoError);
    if ![kind::ANY, kind::A, kind::AAAA, kind::TXT].contains(&asked) {
        return body;
    }
    let Some(node) = view.node(name) else { return missing(context) };
    let ttl = seconds(config.node_ttl);
    let record = |data| Record { owner: Owner::Question, ttl, data };
    if asked != kind::TXT {
        let address = service::node_address(&node, asked);
        match address.parse::<IpAddr>() {
            Ok(address) if service::answers(address, asked) => body.push(record(Data::address(address))),
            Ok(_) => {}
            Err(_) => {
                if let Some(host) = Name::parse(&node.address) {
                    body.push(record(Data::Cname(host.clone())));
                    let chased = chase(context, &host, asked, depth, &mut body.wanted);
                    chased.into_iter().for_each(|record| body.push(record));
                }
            }
        }
    }
    let texts = texts(&node).map(|text| record(Data::Txt(text)));
    if asked == kind::ANY || asked == kind::TXT {
        texts.for_each(|record| body.push(record));
    } else if config.node_meta_txt {
        body.additional.extend(texts);
    }
    body
}

/// A node's metadata in the form of RFC 1464, or as it is when the key says so.
pub fn texts(node: &Node) -> impl Iterator<Item = String> {
    let text = |(key, value): (&String, &String)| {
        let raw = key.get(..RAW_TEXT.len()).is_some_and(|start| start.eq_ignore_ascii_case(RAW_TEXT));
        if raw {
            return value.clone();
        }
        let key = key.replace('`', "``").replace('=', "`=");
        let (inner, blanks) = (key.trim_matches(' '), |n: usize| "` ".repeat(n));
        let leading = key.len() - key.trim_start_matches(' ').len();
        let trailing = if inner.is_empty() { 0 } else { key.len() - key.trim_end_matches(' ').len() };
        format!("{}{inner}{}={}", blanks(leading), blanks(trailing), value.replace('`', "``"))
    };
    node.meta.iter().map(text).filter(|text| text.len() <= TEXT_LIMIT)
}

/// `0a000001.addr`: the address in digits is its own answer.
fn address_body(context: &Context<'_>, digits: &str) -> Body {
    let mut body = Body::new(Rcode::NoError);
    let hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let address: IpAddr = match digits.len() {
        8 | 32 if !hex => return missing(context),
        8 => Ipv4Addr::from(u32::from_str_radix(digits, 16).unwrap_or_default()).into(),
        32 => Ipv6Addr::from(u128::from_str_radix(digits, 16).unwrap_or_default()).into(),
        _ => return body,
    };
    let ttl = seconds(context.config.node_ttl);
    body.push(Record { owner: Owner::Question, ttl, data: Data::address(address) });
    body
}

/// Where a name leads: further records of ours, or what recursors have said. Names they have yet to be asked for are
/// added to `wanted`.
pub fn chase(context: &Context<'_>, host: &Name, asked: u16, depth: u32, wanted: &mut Vec<Name>) -> Vec<Record> {
    let lower = host.to_lowercase();
    let ours_below = context.config.domains().find_map(|domain| name::below(lower.wire(), domain));
    if asked == kind::CNAME {
        return Vec::new();
    }
    let Some(prefix) = ours_below else {
        return match context.known.get(&lower) {
            Some(records) => records.clone(),
            None => {
                if !context.config.recursors.is_empty() {
                    wanted.push(lower);
                }
                Vec::new()
            }
        };
    };
    if depth == 0 {
        tracing::debug!(name = %host, "names lead to names too often");
        return Vec::new();
    }
    // Only addresses explain an SRV record.
    let asked = if asked == kind::SRV { kind::ANY } else { asked };
    let (mut body, _) = ours(context, (lower.wire(), prefix), asked, depth - 1);
    if body.shuffled {
        fastrand::shuffle(&mut body.answers);
    }
    wanted.append(&mut body.wanted);
    let named = |record: Record| match record.owner {
        Owner::Question => Record { owner: Owner::Name(host.clone()), ..record },
        Owner::Name(_) => record,
    };
    body.answers.into_iter().map(|answer| named(answer.record)).collect()
}

/// The node, or else the service, at an address.
fn pointer(context: &Context<'_>, address: IpAddr) -> Option<Body> {
    let Context { config, view, .. } = context;
    let join = |parts: &[&str]| Name::join(parts, &config.domain);
    let node = || join(&[&view.node_at(address)?.node, "node", &config.datacenter]);
    let service = || join(&[&view.service_at(address)?, "service", &config.datacenter]);
    let target = node().or_else(service)?;
    let mut body = Body::new(Rcode::NoError);
    body.push(Record { owner: Owner::Question, ttl: 0, data: Data::Ptr(target) });
    Some(body)
}

/// The address whose name below `in-addr.arpa` or `ip6.arpa` this is.
fn reverse(name: &[u8]) -> Option<IpAddr> {
    let labels: Vec<&str> = name::labels(name).map(|label| std::str::from_utf8(label).ok()).collect::<Option<_>>()?;
    let digits = |label: &&str| label.bytes().all(|c| c.is_ascii_hexdigit());
    match labels.as_slice() {
        [a, b, c, d, "in-addr", "arpa"] => format!("{d}.{c}.{b}.{a}").parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        [nibbles @ .., "ip6", "arpa"] if nibbles.len() == 32 && nibbles.iter().all(|n| n.len() == 1 && digits(n)) => {
            let text: String = nibbles.iter().rev().copied().collect();
            u128::from_str_radix(&text, 16).ok().map(|bits| Ipv6Addr::from(bits).into())
        }
        _ => None,
    }
}
