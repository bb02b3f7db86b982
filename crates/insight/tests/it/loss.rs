//! Whatever happens to reports on their way, the totals come out right.

use std::time::Duration;

use insight::Insight;
use proptest::prelude::*;
use telemetry::{Direction, Report};

use crate::proxies::{Proxy, answer};

const WINDOW: Duration = Duration::from_secs(60);

fn totals(insight: &Insight) -> (u64, u64) {
    let topology = insight.topology(100_000, WINDOW, &[]);
    topology.edges.iter().fold((0, 0), |(requests, errors), edge| {
        (requests + edge.client.total_requests, errors + edge.client.total_errors)
    })
}

proptest! {
    #[test]
    fn lost_repeated_and_reordered_reports_change_no_total(
        loads in prop::collection::vec((0_u8..6, 0_u8..3, any::<bool>()), 1..20),
        fate in prop::collection::vec((0_usize..4, any::<u16>()), 20),
    ) {
        let mut proxy = Proxy::new("web", "web-1", "n1");
        let mut sent: Vec<Report> = Vec::new();
        let (mut requests, mut errors) = (0, 0);
        for (count, instance, fails) in &loads {
            let cell = proxy.cell(Direction::Outbound, ["db", &format!("db-{instance}"), "n2"], None);
            for _ in 0..*count {
                cell.record(&answer(if *fails { 503 } else { 200 }, 3));
                requests += 1;
                errors += u64::from(*fails);
            }
            sent.push(proxy.reporter.report(0));
        }
        let last = proxy.reporter.last(0);
        // Each report comes 0 to 3 times, and at a place of its own.
        let mut arriving: Vec<(u16, &Report)> = Vec::new();
        for (report, (copies, place)) in sent.iter().zip(&fate) {
            arriving.extend((0..*copies).map(|copy| (place.wrapping_mul(copy as u16 + 1), report)));
        }
        arriving.sort_by_key(|(place, _)| *place);
        let insight = Insight::new();
        for (second, (_, report)) in arriving.iter().enumerate() {
            insight.ingest(report, 1000 * second as u64);
        }
        insight.ingest(&last, 90_000);
        // Late ones, after the last word, and that again.
        sent.iter().chain([&last]).for_each(|report| insight.ingest(report, 91_000));
        prop_assert_eq!(totals(&insight), (requests, errors));
    }
}

#[test]
fn a_proxy_that_starts_again_adds_to_what_it_was() {
    let insight = Insight::new();
    let mut old = Proxy::new("web", "web-1", "n1");
    old.cell(Direction::Outbound, ["db", "db-1", "n2"], None).record(&answer(200, 1));
    let old_report = old.report();
    insight.ingest(&old_report, 1000);
    let mut new = Proxy::new("web", "web-1", "n1");
    let cell = new.cell(Direction::Outbound, ["db", "db-1", "n2"], None);
    (0..2).for_each(|_| cell.record(&answer(200, 1)));
    insight.ingest(&new.report(), 2000);
    insight.ingest(&old_report, 3000);
    assert_eq!(totals(&insight), (3, 0));
}

#[test]
fn an_agent_that_starts_again_learns_the_totals_without_a_spike() {
    let mut proxy = Proxy::new("web", "web-1", "n1");
    let quiet = proxy.cell(Direction::Outbound, ["db", "db-1", "n2"], None);
    let busy = proxy.cell(Direction::Outbound, ["db", "db-2", "n2"], None);
    (0..1000).for_each(|_| quiet.record(&answer(200, 1)));
    let before = Insight::new();
    for second in 0..20 {
        busy.record(&answer(200, 1));
        before.ingest(&proxy.report(), second * 1000);
    }
    let after = Insight::new();
    for second in 20..120 {
        busy.record(&answer(200, 1));
        after.ingest(&proxy.report(), second * 1000);
    }
    let topology = after.topology(120_000, WINDOW, &[]);
    let client = &topology.edges[0].client;
    assert_eq!(client.total_requests, 1120);
    assert_eq!(client.sums.requests, 60, "{:?}", topology.edges[0].line.rate);
    let quiet = topology.edges[0].pairs.iter().find(|pair| pair.destination_instance == "db-1").unwrap();
    assert_eq!((quiet.client.total_requests, quiet.client.sums.requests), (1000, 0));
}
