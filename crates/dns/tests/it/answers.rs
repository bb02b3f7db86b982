use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use dns::answer::Known;
use dns::reply::{Data, Owner, Record};
use dns::request::kind;
use dns::{Config, Name, Received, Responder, ServiceTtl, Transport, Verdict};
use model::Status;

use crate::catalog::Catalog;
use crate::message::{query, seen, ttl, with_edns};

struct Asking {
    responder: Responder,
    catalog: Catalog,
    known: Known,
}

impl Asking {
    fn new(catalog: Catalog, change: impl Fn(&mut Config)) -> Self {
        let mut config = Config::new(Name::parse("consul").unwrap(), "dc1");
        change(&mut config);
        Self { responder: Responder::new(Arc::new(config)), catalog, known: Known::new() }
    }

    fn ask(&mut self, message: &[u8], transport: Transport) -> (Verdict, Vec<u8>) {
        let source = Some(IpAddr::from([127, 0, 0, 1]));
        let received = Received { message, transport, source, now: 7, known: &self.known };
        let mut out = Vec::new();
        let verdict = self.responder.respond(&received, &self.catalog, &mut out);
        (verdict, out)
    }

    fn udp(&mut self, name: &str, kind: u16) -> Vec<u8> {
        self.ask(&query(name, kind), Transport::Udp).1
    }
}

#[test]
fn a_kept_answer_goes_when_the_catalog_changes() {
    let mut asking = Asking::new(Catalog::many(1), |_| {});
    for count in 1..=3 {
        for _ in 0..2 {
            assert_eq!(seen(&asking.udp("many.service.consul", kind::A)).answers, count);
        }
        asking.catalog.add("many", &format!("10.1.0.{count}"), "", Status::Passing);
    }
}

#[test]
fn limits_and_what_is_told_of_them() {
    let counts = |change: fn(&mut Config), message: &[u8], transport| {
        let (_, out) = Asking::new(Catalog::many(300), change).ask(message, transport);
        let seen = seen(&out);
        (seen.answers, seen.truncated)
    };
    let plain = query("many.service.consul", kind::A);
    assert_eq!(counts(|_| {}, &plain, Transport::Udp), (3, false));
    assert_eq!(counts(|c| c.enable_truncate = true, &plain, Transport::Udp), (3, true));
    assert_eq!(counts(|c| c.udp_answer_limit = 100, &plain, Transport::Udp), (8, false));
    assert_eq!(counts(|c| c.a_record_limit = 2, &plain, Transport::Tcp), (2, false));
    assert_eq!(counts(|c| (c.a_record_limit, c.enable_truncate) = (2, true), &plain, Transport::Udp), (2, false));
    assert_eq!(counts(|_| {}, &plain, Transport::Tcp), (300, false));
    // 12 header, 25 question, 11 OPT: (1232 - 48) / 16.
    assert_eq!(counts(|_| {}, &with_edns(plain.clone(), 1232), Transport::Udp), (74, false));
    // Names written in full take 31 bytes each.
    assert_eq!(counts(|c| c.disable_compression = true, &with_edns(plain, 1232), Transport::Udp), (33, false));
    let srv = query("many.service.consul", kind::SRV);
    assert_eq!(counts(|c| c.a_record_limit = 2, &srv, Transport::Udp), (3, false));
}

#[test]
fn health_decides() {
    let mut asking = Asking::new(Catalog::default(), |_| {});
    asking.catalog.add("db", "192.0.2.1", "", Status::Critical);
    assert_eq!(seen(&asking.udp("db.service.consul", kind::A)).rcode, 3);
    asking.catalog.add("db", "192.0.2.2", "", Status::Warning);
    assert_eq!(seen(&asking.udp("db.service.consul", kind::A)).answers, 1);
    let mut strict = Asking::new(Catalog::default(), |config| config.only_passing = true);
    strict.catalog.add("db", "192.0.2.2", "", Status::Warning);
    assert_eq!(seen(&strict.udp("db.service.consul", kind::A)).rcode, 3);
}

#[test]
fn times_to_live() {
    let seconds = Duration::from_secs;
    let mut asking = Asking::new(Catalog::many(1), |config| {
        config.node_ttl = seconds(11);
        config.service_ttl = ServiceTtl::new([("ma*".to_owned(), seconds(12))]);
        config.soa.min_ttl = 13;
    });
    assert_eq!(ttl(&asking.udp("n0.node.consul", kind::A)), 11);
    assert_eq!(ttl(&asking.udp("many.service.consul", kind::A)), 12);
    let missing = asking.udp("other.service.consul", kind::A);
    assert_eq!((seen(&missing).authority, &missing[missing.len() - 4..]), (1, &[0, 0, 0, 13][..]));
}

#[test]
fn names_of_others_are_asked_for_once() {
    let mut asking = Asking::new(Catalog::default(), |config| config.recursors = vec![([127, 0, 0, 1], 53).into()]);
    asking.catalog.add("out", "192.0.2.1", "www.example.com", Status::Passing);
    let message = query("out.service.consul", kind::A);
    let host = Name::parse("www.example.com").unwrap();
    let (verdict, out) = asking.ask(&message, Transport::Udp);
    assert_eq!(verdict, Verdict::Resolve(vec![host.clone()]));
    assert_eq!(seen(&out).answers, 1);
    let address = Record { owner: Owner::Name(host.clone()), ttl: 5, data: Data::A([192, 0, 2, 9].into()) };
    asking.known.insert(host, vec![address]);
    let (verdict, out) = asking.ask(&message, Transport::Udp);
    assert_eq!((verdict, seen(&out).answers), (Verdict::Answer, 2));
    assert_eq!(asking.ask(&query("www.example.com", kind::A), Transport::Udp).0, Verdict::Forward);
}

#[test]
fn a_query_knows_who_asks() {
    let mut asking = Asking::new(Catalog::many(1), |config| {
        config.service_ttl = ServiceTtl::new([("198.51.100.0".to_owned(), Duration::from_secs(9))]);
    });
    let mut message = query("any.query.consul", kind::A);
    assert_eq!(ttl(&asking.ask(&message, Transport::Udp).1), 0);
    message[11] = 1;
    message.extend_from_slice(b"\0\0\x29\x04\xD0\0\0\0\0\0\x0B\0\x08\0\x07\0\x01\x18\0\xC6\x33\x64");
    let (_, out) = asking.ask(&message, Transport::Udp);
    assert_eq!(ttl(&out), 9);
    // The answer is good for this network only.
    assert_eq!(out[out.len() - 5..], [24, 24, 0xC6, 0x33, 0x64]);
}
