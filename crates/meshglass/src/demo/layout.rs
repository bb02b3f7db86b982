//! Who runs where: nodes, instances, upstreams and ports, and how all that is registered.

use std::net::{Ipv4Addr, TcpListener};

use serde_json::{Value, json};

use super::error::DemoError;

/// Two agents on one machine, each in a zone of its own, so that the picture shows nodes and zones.
pub const NODES: [(&str, &str); 2] = [("node-1", "a"), ("node-2", "b")];

/// A service of the demo: its protocol, the nodes its instances run on, and its upstreams.
struct Service {
    name: &'static str,
    protocol: &'static str,
    /// Indexes into [`NODES`].
    nodes: &'static [usize],
    upstreams: &'static [&'static str],
}

const SERVICES: [Service; 6] = [
    Service { name: "emojify-website", protocol: "http", nodes: &[0], upstreams: &[] },
    Service { name: "emojify-api", protocol: "http", nodes: &[0, 1], upstreams: &["emojify-facebox", "emojify-cache"] },
    Service { name: "emojify-facebox", protocol: "http", nodes: &[0, 1], upstreams: &[] },
    Service { name: "emojify-cache", protocol: "grpc", nodes: &[0, 1], upstreams: &[] },
    Service { name: "emojify-ingress", protocol: "http", nodes: &[0], upstreams: &["emojify-website", "emojify-api"] },
    Service { name: "traffic", protocol: "http", nodes: &[1], upstreams: &["emojify-ingress"] },
];

/// Nobody may call anybody, but for these: the four of the talk, and what the users need.
pub const ALLOWED: [(&str, &str); 5] = [
    ("emojify-ingress", "emojify-website"),
    ("emojify-ingress", "emojify-api"),
    ("emojify-api", "emojify-cache"),
    ("emojify-api", "emojify-facebox"),
    ("traffic", "emojify-ingress"),
];

/// Where the HTTP API listens unless told otherwise; Consul's port.
const API_PORT: u16 = 8500;
/// The start of everything else.
const OTHER_PORTS: u16 = 20000;

/// One instance, with its ports.
#[derive(Debug, Clone)]
pub struct Placed {
    pub service: &'static str,
    pub number: usize,
    /// Index into [`NODES`].
    pub node: usize,
    pub port: u16,
    pub sidecar_port: u16,
    pub metrics_port: u16,
    /// Destination and local port.
    pub upstreams: Vec<(&'static str, u16)>,
}

/// Every port of the demo.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The HTTP API of the first node, and the page.
    pub api: u16,
    pub instances: Vec<Placed>,
}

impl Layout {
    /// The usual ports, or all of them from `from` on, the HTTP API first.
    pub fn new(from: Option<u16>) -> Result<Self, DemoError> {
        let mut next = usize::from(from.unwrap_or(OTHER_PORTS));
        let mut take = || {
            next += 1;
            // Past the end it is caught below; until then any number will do.
            u16::try_from(next - 1).unwrap_or(0)
        };
        let api = if from.is_some() { take() } else { API_PORT };
        let mut instances: Vec<Placed> = Vec::new();
        for service in &SERVICES {
            for (at, node) in service.nodes.iter().enumerate() {
                instances.push(Placed {
                    service: service.name,
                    number: at + 1,
                    node: *node,
                    port: 0,
                    sidecar_port: take(),
                    metrics_port: 0,
                    upstreams: service.upstreams.iter().map(|name| (*name, 0)).collect(),
                });
            }
        }
        for instance in &mut instances {
            instance.port = take();
            instance.metrics_port = take();
            instance.upstreams.iter_mut().for_each(|(_, port)| *port = take());
        }
        match from {
            Some(from) if next > usize::from(u16::MAX) + 1 || from == 0 => {
                Err(DemoError::PortRange { from, needed: next - usize::from(from) })
            }
            _ => Ok(Self { api, instances }),
        }
    }

    /// The first instance of a service.
    pub fn find(&self, service: &str) -> Option<&Placed> {
        self.instances.iter().find(|instance| instance.service == service)
    }

    pub fn count(&self, service: &str) -> usize {
        self.instances.iter().filter(|instance| instance.service == service).count()
    }

    /// Every port with what it is for.
    fn ports(&self) -> Vec<(u16, String)> {
        let mut ports = vec![(self.api, "HTTP API".to_owned())];
        for instance in &self.instances {
            let name = instance.name();
            ports.push((instance.port, name.clone()));
            ports.push((instance.sidecar_port, format!("sidecar of {name}")));
            ports.push((instance.metrics_port, format!("metrics of {name}'s sidecar")));
            ports.extend(instance.upstreams.iter().map(|(to, port)| (*port, format!("{name}'s way to {to}"))));
        }
        ports
    }

    /// Looks whether every port is free, before anything is started.
    pub fn check_free(&self) -> Result<(), DemoError> {
        for (port, what) in self.ports() {
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|source| DemoError::Port { port, what, source })?;
        }
        Ok(())
    }
}

impl Placed {
    /// `emojify-cache#1`, as faults name it.
    pub fn name(&self) -> String {
        format!("{}#{}", self.service, self.number)
    }

    /// `emojify-cache-1`, the service id.
    pub fn id(&self) -> String {
        format!("{}-{}", self.service, self.number)
    }

    /// The users themselves are not broken on purpose.
    pub fn has_faults(&self) -> bool {
        self.service != "traffic"
    }

    pub fn sidecar_id(&self) -> String {
        agent::sidecar_id(&self.id())
    }

    /// The body of `PUT /v1/agent/service/register`.
    pub fn registration(&self) -> Value {
        let check = if protocol(self.service) == "grpc" {
            json!({"Name": "gRPC health", "GRPC": format!("127.0.0.1:{}", self.port), "Interval": "5s"})
        } else {
            json!({"Name": "HTTP health", "HTTP": format!("http://127.0.0.1:{}/health", self.port), "Interval": "5s"})
        };
        let upstreams: Vec<Value> =
            self.upstreams.iter().map(|(name, port)| json!({"DestinationName": name, "LocalBindPort": port})).collect();
        json!({
            "ID": self.id(), "Name": self.service, "Address": "127.0.0.1", "Port": self.port,
            "Meta": {"version": "v1", "metrics_port": self.metrics_port.to_string()},
            "Check": check,
            "Connect": {"SidecarService": {
                "Port": self.sidecar_port,
                // Without the metrics port, so that a scraper that follows it finds each proxy once.
                "Meta": {"version": "v1"},
                "Proxy": {
                    "Config": {
                        "bind_address": "127.0.0.1",
                        "envoy_prometheus_bind_addr": format!("127.0.0.1:{}", self.metrics_port),
                    },
                    "Upstreams": upstreams,
                },
            }},
        })
    }
}

fn protocol(service: &str) -> &'static str {
    SERVICES.iter().find(|known| known.name == service).map_or("tcp", |known| known.protocol)
}

/// The central configuration: which service speaks what.
pub fn config_entries() -> Vec<Value> {
    SERVICES
        .iter()
        .map(|service| json!({"Kind": "service-defaults", "Name": service.name, "Protocol": service.protocol}))
        .collect()
}

fn rule(source: &str, destination: &str, action: &str) -> Value {
    json!({"SourceName": source, "DestinationName": destination, "SourceType": "consul", "Action": action})
}

/// Deny everything, allow a few.
pub fn intentions() -> Vec<Value> {
    let allows = ALLOWED.iter().map(|(source, destination)| rule(source, destination, "allow"));
    std::iter::once(rule("*", "*", "deny")).chain(allows).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_port_is_there_once_and_in_its_range() {
        let usual = Layout::new(None).unwrap();
        assert_eq!(usual.api, 8500);
        assert_eq!(usual.find("emojify-website").unwrap().sidecar_port, 20000);
        let moved = Layout::new(Some(9500)).unwrap();
        assert_eq!(moved.api, 9500);
        for layout in [usual, moved.clone()] {
            let mut ports: Vec<u16> = layout.ports().into_iter().map(|(port, _)| port).collect();
            let count = ports.len();
            ports.sort_unstable();
            ports.dedup();
            assert_eq!(ports.len(), count);
            assert!(!ports.contains(&0));
        }
        let ports: Vec<u16> = moved.ports().into_iter().map(|(port, _)| port).collect();
        assert!(ports.iter().all(|port| (9500..9600).contains(port)), "{ports:?}");
        for bad in [0, 65530] {
            assert!(matches!(Layout::new(Some(bad)), Err(DemoError::PortRange { .. })), "{bad}");
        }
        let last = 65535 - (ports.len() as u16 - 1);
        assert!(Layout::new(Some(last)).is_ok());
        assert!(Layout::new(Some(last + 1)).is_err());
    }

    #[test]
    fn every_call_of_the_demo_is_allowed_and_nothing_else() {
        let calls: Vec<(&str, &str)> =
            SERVICES.iter().flat_map(|s| s.upstreams.iter().map(|to| (s.name, *to))).collect();
        assert_eq!(calls.len(), ALLOWED.len());
        assert!(calls.iter().all(|call| ALLOWED.contains(call)));
        assert_eq!(intentions().len(), ALLOWED.len() + 1);
    }

    #[test]
    fn a_taken_port_is_named_with_its_purpose_and_the_way_out() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut layout = Layout::new(Some(20000)).unwrap();
        layout.api = taken.local_addr().unwrap().port();
        let text = layout.check_free().unwrap_err().to_string();
        let expected = format!("port {} (HTTP API) cannot be used: ", layout.api);
        assert!(text.starts_with(&expected) && text.ends_with("; choose other ports with --ports-from N"), "{text}");
    }
}
