//! Queries over UDP and TCP, and the answers of recursors. Another reader of DNS judges what we write.

use std::net::IpAddr;
use std::process::ExitCode;
use std::sync::Arc;

use dns::answer::Known;
use dns::recursor;
use dns::request::{self, kind};
use dns::{Config, Instance, Lookup, Name, Prepared, Received, Responder, Subject, Transport, Verdict, View};
use hickory_proto::op::Message;
use meshglass_fuzz::run;
use model::{Node, Service, Status};

const HEADER: usize = 12;
const WORDS: &[&str] = &[
    "\x06consul\0",
    "\x07service",
    "\x07connect",
    "\x07ingress",
    "\x04node",
    "\x05query",
    "\x04addr",
    "\x03alt\0",
    "\x03dc1",
    "\x03dc1\x02dc",
    "\x07default\x02ns",
    "\x03_db\x04_tcp",
    "\x02DB",
    "\x04many",
    "\x04host",
    "\x080a000001",
    "\x011\x012\x010\x03192\x07in-addr\x04arpa\0",
    "\x016\x010\x010",
    "\x03ip6\x04arpa\0",
    "\0\x01\0\x01",
    "\0\x21\0\x01",
    "\0\x1c\0\x01",
    "\0\u{7f}\0\x01",
    "\0\0\x29\x04\0\0\0\0\0\0\0",
    "\0\0\x29\x02\0\0\x01\0\0\0\0",
    "\0\x08\0\x07\0\x01\x18\0\x01\x02\x03",
    "\0\0\0\0\0\x01",
];
const NAMES: &[&str] = &[
    "db.service.consul",
    "primary.db.service.dc1.consul",
    "_db._tcp.service.consul",
    "many.service.consul",
    "host.service.consul",
    "six.service.alt",
    "n1.node.consul",
    "long.node.consul",
    "db.connect.consul",
    "db.ingress.consul",
    "pq.query.consul",
    "0a000001.addr.dc1.consul",
    "consul",
    "nobody.service.consul",
    "1.2.0.192.in-addr.arpa",
    "www.example.com",
];
const KINDS: &[u16] =
    &[kind::A, kind::AAAA, kind::SRV, kind::ANY, kind::TXT, kind::CNAME, kind::NS, kind::SOA, kind::PTR];

fn main() -> ExitCode {
    let mut seeds = vec![recursed()];
    for name in NAMES {
        for kind in KINDS {
            seeds.push(query(name, *kind, &[]));
            seeds.push(query(name, *kind, b"\0\0\x29\x04\xD0\0\0\0\0\0\x0B\0\x08\0\x07\0\x01\x18\0\xC0\0\x02"));
        }
    }
    run("dns", &seeds, WORDS, check)
}

fn query(name: &str, kind: u16, additional: &[u8]) -> Vec<u8> {
    let mut out = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(!additional.is_empty())];
    out.extend_from_slice(Name::parse(name).expect("a name").wire());
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&[0, 1]);
    out.extend_from_slice(additional);
    out
}

/// What a recursor may say: `a CNAME b`, `b A 192.0.2.1`.
fn recursed() -> Vec<u8> {
    let pieces: [&[u8]; 4] = [
        b"\0\x01\x81\x80\0\x01\0\x02\0\0\0\0",
        b"\x01a\0\0\x01\0\x01",
        b"\xC0\x0C\0\x05\0\x01\0\0\0\x3C\0\x03\x01b\0",
        b"\xC0\x1F\0\x01\0\x01\0\0\0\x3C\0\x04\xC0\0\x02\x01",
    ];
    pieces.concat()
}

fn check(input: &[u8]) -> Result<(), String> {
    let records = recursor::records(input);
    if records.len() > input.len() / 11 {
        return Err(format!("{} records from {} bytes", records.len(), input.len()));
    }
    for (config, transport) in [(0, Transport::Udp), (1, Transport::Udp), (0, Transport::Tcp), (1, Transport::Tcp)] {
        let mut responder = Responder::new(Arc::new(configured(config == 1)));
        let known = Known::new();
        let source = Some(IpAddr::from([127, 0, 0, 1]));
        let received = Received { message: input, transport, source, now: 1, known: &known };
        let mut out = Vec::new();
        // The second time the answer may come from what was kept.
        for _ in 0..2 {
            match responder.respond(&received, &Catalog, &mut out) {
                Verdict::Answer | Verdict::Resolve(_) => judge(input, &out, transport)?,
                Verdict::Silence if input.len() >= HEADER && input[2] & 0x80 == 0 => {
                    return Err("silence on a query".to_owned());
                }
                Verdict::Silence | Verdict::Forward => {}
            }
        }
    }
    Ok(())
}

fn judge(input: &[u8], out: &[u8], transport: Transport) -> Result<(), String> {
    let message = Message::from_vec(out).map_err(|error| format!("no message: {error}: {out:02x?}"))?;
    if out[..2] != input[..2] || out[2] & 0x80 == 0 {
        return Err("another id, or no answer".to_owned());
    }
    let Ok(request) = request::parse(input) else {
        return if out.len() == HEADER { Ok(()) } else { Err("a refusal with a body".to_owned()) };
    };
    let question = HEADER..HEADER + request.name.len() + 4;
    if out.get(question.clone()) != input.get(question) || message.queries.len() != 1 {
        return Err("another question".to_owned());
    }
    if message.edns.is_some() != request.edns.is_some() {
        return Err("EDNS comes and goes".to_owned());
    }
    let room = match (transport, &request.edns) {
        (Transport::Tcp, _) => 65_535,
        (Transport::Udp, edns) => edns.as_ref().map_or(512, |edns| usize::from(edns.size).max(512)),
    };
    if out.len() > room {
        return Err(format!("{} bytes where {room} fit", out.len()));
    }
    Ok(())
}

fn configured(tuned: bool) -> Config {
    let mut config = Config::new(Name::parse("consul").expect("a name"), "dc1");
    if tuned {
        config.alt_domain = Name::parse("alt");
        config.enable_truncate = true;
        config.disable_compression = true;
        config.a_record_limit = 2;
        config.udp_answer_limit = 8;
        config.only_passing = true;
        config.recursors = vec![([127, 0, 0, 1], 9).into()];
    }
    config
}

/// A few services of every sort.
struct Catalog;

impl View for Catalog {
    fn revision(&self, _: &Subject) -> u64 {
        1
    }

    fn instances(&self, lookup: &Lookup) -> Vec<Instance> {
        let (Lookup::Service(name) | Lookup::Connect(name) | Lookup::Ingress(name)) = lookup;
        let one = |node: &str, address: &str, service: &str| Instance {
            node: Arc::new(self::node(node, address)),
            service: Arc::new(Service {
                service: name.clone(),
                address: service.to_owned(),
                port: 5432,
                tags: vec!["primary".to_owned()],
                ..Service::default()
            }),
            status: Status::Passing,
        };
        match name.as_str() {
            "db" => {
                vec![one("n1", "192.0.2.1", ""), one("n2", "192.0.2.2", "192.0.2.22"), one("a..b", "192.0.2.3", "")]
            }
            "six" => vec![one("n6", "2001:db8::6", ""), one("long", "192.0.2.4", "2001:db8::66")],
            "host" => vec![one("n7", "192.0.2.7", "db.service.consul"), one("n8", "www.example.com", "")],
            "many" => (0..200_u8).map(|i| one(&format!("m{i}"), &format!("10.0.0.{i}"), "")).collect(),
            _ => Vec::new(),
        }
    }

    fn node(&self, name: &str) -> Option<Arc<Node>> {
        let address = match name {
            "n1" => "192.0.2.1",
            "long" => "host.service.consul",
            _ => return None,
        };
        Some(Arc::new(node(name, address)))
    }

    fn node_at(&self, address: IpAddr) -> Option<Arc<Node>> {
        (address == IpAddr::from([192, 0, 2, 1])).then(|| Arc::new(node("n1", "192.0.2.1")))
    }

    fn service_at(&self, address: IpAddr) -> Option<String> {
        address.is_ipv6().then(|| "six".to_owned())
    }

    fn query(&self, name: &str, _: Option<IpAddr>) -> Option<Prepared> {
        let instances = self.instances(&Lookup::Service("db".to_owned()));
        (name == "pq").then(|| Prepared {
            service: "db".to_owned(),
            datacenter: "dc1".to_owned(),
            ttl: None,
            instances,
        })
    }
}

fn node(name: &str, address: &str) -> Node {
    let length = if name == "long" { 1000 } else { 3 };
    let meta = [("k".to_owned(), "v".repeat(length))].into();
    Node { node: name.to_owned(), address: address.to_owned(), meta, ..Node::default() }
}
