//! A proxy `web` as in the captures of a real Envoy: HTTP, gRPC and TCP upstreams, and its own public listener.

use std::sync::Arc;
use std::time::Duration;

use model::Protocol;
use telemetry::{CellKey, Direction, Flag, ListenerInfo, Membership, Outcome, Peer, ProxyLabels, Recorder, Registry};

pub const TRUST_DOMAIN: &str = "11111111-2222-3333-4444-555555555555";

pub fn key(direction: Direction, listener: &str, protocol: Protocol, target: &str, peer: &str) -> CellKey {
    CellKey {
        direction,
        listener: listener.into(),
        protocol,
        target: target.into(),
        peer: Peer {
            service: peer.into(),
            instance: format!("{peer}-1").into(),
            node: "node-a".into(),
            zone: "z1".into(),
            version: "".into(),
            address: "127.0.0.1:21000".into(),
        },
        route: "".into(),
        grpc_service: "".into(),
        grpc_method: "".into(),
    }
}

pub fn ok(ms: u64) -> Outcome {
    Outcome { code: 200, duration: Duration::from_millis(ms), bytes_sent: 10, ..Outcome::default() }
}

pub fn web() -> (Arc<Registry>, Recorder) {
    let registry = Registry::new(ProxyLabels {
        proxy: "web-sidecar-proxy".into(),
        service: "web".into(),
        instance: "web-1".into(),
        node: "node-a".into(),
        datacenter: "dc1".into(),
        trust_domain: TRUST_DOMAIN.into(),
        ..ProxyLabels::default()
    });
    let recorder = registry.recorder();
    for (direction, name, port, protocol) in [
        (Direction::Outbound, "api", 8003, Protocol::Http),
        (Direction::Outbound, "grpcsvc", 8004, Protocol::Grpc),
        (Direction::Outbound, "db", 8005, Protocol::Tcp),
        (Direction::Inbound, "public_listener", 20000, Protocol::Http),
    ] {
        let address = format!("127.0.0.1:{port}");
        registry.listener_info(direction, name, ListenerInfo { address, protocol });
        recorder.listener(direction, name).cx_total.inc();
    }
    for (target, total) in [
        ("api.default.dc1", 2),
        ("v2.api.default.dc1", 1),
        ("db.default.dc1", 1),
        ("grpcsvc.default.dc1", 1),
        ("local_app", 1),
    ] {
        registry.membership(target, Membership { total, healthy: total });
        recorder.target(target).rq_total.inc();
    }
    let api = recorder.cell(&key(Direction::Outbound, "api", Protocol::Http, "api.default.dc1", "api"));
    (1..=9).for_each(|ms| api.record(&ok(ms)));
    api.record(&Outcome { code: 503, flags: vec![Flag::UF], ..ok(1) });
    let v2 = recorder.cell(&key(Direction::Outbound, "api", Protocol::Http, "v2.api.default.dc1", "api"));
    v2.record(&ok(1));
    let mut hello = key(Direction::Outbound, "grpcsvc", Protocol::Grpc, "grpcsvc.default.dc1", "grpcsvc");
    hello.grpc_service = "helloworld.Greeter".into();
    hello.grpc_method = "SayHello".into();
    recorder.cell(&hello).record(&Outcome { grpc_status: Some(0), ..ok(2) });
    hello.grpc_method = "Fail".into();
    recorder.cell(&hello).record(&Outcome { grpc_status: Some(14), ..ok(2) });
    let db = recorder.cell(&key(Direction::Outbound, "db", Protocol::Tcp, "db.default.dc1", "db"));
    db.record(&Outcome { code: 0, ..ok(30) });
    let local = recorder.cell(&key(Direction::Inbound, "public_listener", Protocol::Http, "local_app", "traffic"));
    (0..8).for_each(|_| local.record(&ok(2)));
    local.record(&Outcome { code: 404, ..ok(1) });
    (registry, recorder)
}
