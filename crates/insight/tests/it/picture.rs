//! Both ends' reports and the catalog's facts, joined.

use std::time::Duration;

use insight::{Insight, Instance, Service};
use model::{Protocol, Status};
use telemetry::{Direction, Flag, Outcome};

use crate::proxies::{Proxy, answer};

const WINDOW: Duration = Duration::from_secs(60);

fn service(name: &str, instances: &[(&str, Status)]) -> Service {
    let instance = |(id, status): &(&str, Status)| Instance {
        id: (*id).into(),
        node: "n".into(),
        sidecar: format!("{id}-sidecar-proxy"),
        status: *status,
        ..Instance::default()
    };
    Service { name: name.into(), kind: String::new(), instances: instances.iter().map(instance).collect() }
}

/// api calls two caches; cache-2 fails half of its Gets inside a 200 and refuses one caller.
fn mesh() -> Insight {
    let insight = Insight::new();
    let mut api = Proxy::new("api", "api-1", "n1");
    let mut one = Proxy::new("cache", "cache-1", "n2");
    let mut two = Proxy::new("cache", "cache-2", "n3");
    for second in 1..=60_u64 {
        for (id, node, server) in [("cache-1", "n2", &one), ("cache-2", "n3", &two)] {
            let client = api.cell(Direction::Outbound, ["cache", id, node], Some("Get"));
            let inbound = server.cell(Direction::Inbound, ["api", "api-1", "n1"], Some("Get"));
            for n in 0..10 {
                let status = if id == "cache-2" && n % 2 == 0 { 13 } else { 0 };
                let ms = if id == "cache-2" { 100 } else { 4 };
                let outcome = Outcome { grpc_status: Some(status), ..answer(200, ms) };
                client.record(&outcome);
                inbound.record(&outcome);
            }
        }
        for proxy in [&mut api, &mut one, &mut two] {
            insight.ingest(&proxy.report(), second * 1000);
        }
    }
    insight
}

#[test]
fn an_edge_joins_both_views_down_to_instance_and_method() {
    let catalog = [
        service("api", &[("api-1", Status::Passing)]),
        service("cache", &[("cache-1", Status::Passing), ("cache-2", Status::Critical)]),
        service("idle", &[]),
    ];
    let topology = mesh().topology(61_000, WINDOW, &catalog);
    assert_eq!((topology.datacenter.as_str(), topology.window_seconds), ("dc1", 60));
    assert_eq!(topology.edges.len(), 1);
    let edge = &topology.edges[0];
    assert_eq!((edge.source.as_str(), edge.destination.as_str(), edge.protocol), ("api", "cache", Protocol::Grpc));
    for side in [&edge.client, &edge.server] {
        assert_eq!((side.sums.requests, side.total_requests, side.total_errors), (1200, 1200, 300));
        assert_eq!(side.sums.classes[2], 1200);
        assert!((side.error_share - 0.25).abs() < 1e-9 && (side.rate - 20.0).abs() < 1e-9, "{side:?}");
        assert_eq!(side.sums.grpc_statuses[&13], 300);
    }
    let p99 = edge.client.p99_ms.unwrap();
    assert!((88.0..=100.5).contains(&p99), "{p99}");
    let bad = edge.pairs.iter().find(|pair| pair.destination_instance == "cache-2").unwrap();
    assert!((bad.client.error_share - 0.5).abs() < 1e-9);
    assert_eq!((bad.destination_node.as_str(), bad.source_instance.as_str()), ("n3", "api-1"));
    assert!(bad.client.p50_ms.unwrap() > 20.0 * edge.pairs[0].client.p50_ms.unwrap());
    assert_eq!(edge.methods.len(), 1);
    assert_eq!((edge.methods[0].service.as_str(), edge.methods[0].method.as_str()), ("emojify.Cache", "Get"));
    assert_eq!(edge.line.rate, [20.0; 60]);
    assert_eq!(edge.line.errors, [5.0; 60]);
    assert_eq!(edge.line.end_ms, 61_000);

    let names: Vec<(&str, Status)> = topology.services.iter().map(|s| (s.name.as_str(), s.status)).collect();
    assert_eq!(names, [("api", Status::Passing), ("cache", Status::Warning), ("idle", Status::Critical)]);
    let cache = &topology.services[1];
    assert_eq!(cache.inbound.sums.requests, 1200);
    assert_eq!(cache.instances[1].inbound.sums.errors, 300);
    assert_eq!(cache.instances[1].sidecar_seen_ms, Some(60_000));
}

#[test]
fn what_happened_long_ago_is_only_in_the_totals() {
    let topology = mesh().topology(61_000 + 14 * 60_000, WINDOW, &[]);
    let client = &topology.edges[0].client;
    assert_eq!((client.sums.requests, client.p99_ms, client.total_requests), (0, None, 1200));
    let long = mesh().topology(61_000 + 60_000, Duration::from_secs(900), &[]);
    assert_eq!(long.edges[0].client.sums.requests, 1200);
    assert_eq!((long.edges[0].line.step_seconds, long.edges[0].line.rate.len()), (15, 60));
    assert!((long.edges[0].line.rate.iter().sum::<f64>() * 15.0 - 1200.0).abs() < 1e-6);
}

#[test]
fn a_mesh_younger_than_the_window_has_its_true_rate() {
    let insight = Insight::new();
    let mut web = Proxy::new("web", "web-1", "n1");
    for second in 10..15 {
        let cell = web.cell(Direction::Outbound, ["db", "db-1", "n2"], None);
        (0..7).for_each(|_| cell.record(&answer(200, 1)));
        insight.ingest(&web.report(), second * 1000);
    }
    let topology = insight.topology(15_000, WINDOW, &[]);
    assert!((topology.edges[0].client.rate - 7.0).abs() < 1e-9, "{:?}", topology.edges[0].client.rate);
}

#[test]
fn a_report_that_was_held_up_belongs_where_it_was_made() {
    let insight = Insight::new();
    let mut web = Proxy::new("web", "web-1", "n1");
    for (made, came) in [(10_500, 10_600), (11_500, 12_300), (12_500, 12_600)] {
        web.cell(Direction::Outbound, ["db", "db-1", "n2"], None).record(&answer(200, 1));
        let report = telemetry::Report { at_ms: made, ..web.report() };
        insight.ingest(&report, came);
    }
    let rate = insight.topology(13_000, WINDOW, &[]).edges[0].line.rate.clone();
    assert_eq!(rate[rate.len() - 4..], [0.0, 1.0, 1.0, 1.0]);
}

#[test]
fn a_call_that_reached_no_instance_counts_for_its_service() {
    let insight = Insight::new();
    let mut web = Proxy::new("web", "web-1", "n1");
    let nobody = Outcome { flags: vec![Flag::UH], ..answer(503, 1) };
    web.cell(Direction::Outbound, ["", "", ""], None).record(&nobody);
    web.cell(Direction::Outbound, ["db", "", ""], None).record(&nobody);
    let refused = Outcome { flags: vec![Flag::RBAC], ..answer(403, 1) };
    let mut db = Proxy::new("db", "db-1", "n2");
    db.cell(Direction::Inbound, ["web", "web-1", "n1"], None).record(&refused);
    insight.ingest(&web.report(), 1000);
    insight.ingest(&db.report(), 1000);
    let topology = insight.topology(2000, WINDOW, &[service("web", &[("web-1", Status::Passing)])]);
    let edge = topology.edges.iter().find(|edge| edge.destination == "db").unwrap();
    assert_eq!((edge.client.sums.requests, edge.client.sums.errors), (1, 1));
    assert_eq!((edge.server.sums.refused, edge.server.sums.errors), (1, 0));
    let db = topology.services.iter().find(|service| service.name == "db").unwrap();
    assert_eq!(db.status, Status::Critical, "nobody registered it");
}
