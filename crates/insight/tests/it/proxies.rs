//! Proxies with a real registry and reporter behind them.

use std::sync::Arc;
use std::time::Duration;

use model::Protocol;
use telemetry::{Cell, CellKey, Direction, Outcome, Peer, ProxyLabels, Recorder, Registry, Report, Reporter};

pub struct Proxy {
    recorder: Recorder,
    pub reporter: Reporter,
}

impl Proxy {
    pub fn new(service: &str, instance: &str, node: &str) -> Self {
        let registry = Registry::new(ProxyLabels {
            proxy: format!("{instance}-sidecar-proxy"),
            service: service.into(),
            instance: instance.into(),
            node: node.into(),
            datacenter: "dc1".into(),
            ..ProxyLabels::default()
        });
        Self { recorder: registry.recorder(), reporter: Reporter::new(registry) }
    }

    pub fn cell(&self, direction: Direction, peer: [&str; 3], method: Option<&str>) -> Arc<Cell> {
        let [service, instance, node] = peer;
        let outbound = direction == Direction::Outbound;
        let key = CellKey {
            direction,
            listener: if outbound { service.into() } else { "public_listener".into() },
            protocol: if method.is_some() { Protocol::Grpc } else { Protocol::Http },
            target: if outbound { format!("{service}.default.dc1").into() } else { "local_app".into() },
            peer: Peer { service: service.into(), instance: instance.into(), node: node.into(), ..Peer::default() },
            route: "".into(),
            grpc_service: method.map_or("", |_| "emojify.Cache").into(),
            grpc_method: method.unwrap_or_default().into(),
        };
        self.recorder.cell(&key)
    }

    /// The next report, which the agent takes.
    pub fn report(&mut self) -> Report {
        let report = self.reporter.report(0);
        self.reporter.delivered(report.sequence);
        report
    }
}

pub fn answer(code: u16, ms: u64) -> Outcome {
    Outcome { code, duration: Duration::from_millis(ms), bytes_received: 1, bytes_sent: 2, ..Outcome::default() }
}
