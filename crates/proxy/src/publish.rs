//! Makes snapshots: TLS material, listening sockets, sinks. What did not change is taken over.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use plan::{LogSink, Plan, TargetId};
use socket2::{Domain, Socket, Type};
use telemetry::{
    AccessLog, AccessLogConfig, Direction, ListenerInfo, LogTarget, Membership, ProxyLabels, Registry, SinkConfig,
    Sinks,
};

use crate::Error;
use crate::control::Leaf;
use crate::limits::BACKLOG;
use crate::snapshot::{Instance, Snapshot, SocketKey, Sockets};
use crate::tls::Material;
use crate::worker::socket_keys;

/// How long a stop waits for the last lines of the access log to be written.
const LOG_PATIENCE: Duration = Duration::from_secs(1);

pub(crate) struct Publisher {
    registry: Arc<Registry>,
    workers: usize,
    sequence: u64,
    tls: Option<(Leaf, Vec<String>, Arc<Material>)>,
    sockets: BTreeMap<SocketKey, Arc<Sockets>>,
    /// Listeners that could not be bound, with what was said of it.
    pub unbound: BTreeMap<SocketKey, String>,
    sinks: Option<Sinks>,
    sink_config: Option<SinkConfig>,
    access_log: Option<(AccessLogConfig, AccessLog)>,
}

impl Publisher {
    pub fn new(registry: Arc<Registry>, workers: usize) -> Self {
        Self {
            registry,
            workers,
            sequence: 0,
            tls: None,
            sockets: BTreeMap::new(),
            unbound: BTreeMap::new(),
            sinks: None,
            sink_config: None,
            access_log: None,
        }
    }

    /// `unknown`: targets without endpoints so far; an upstream's listener that is not open yet waits for them.
    pub async fn snapshot(
        &mut self,
        plan: &Arc<Plan>,
        leaf: &Leaf,
        roots: &[String],
        endpoints: BTreeMap<TargetId, Arc<Vec<Instance>>>,
        unknown: &BTreeSet<TargetId>,
    ) -> Result<Snapshot, Error> {
        let tls = self.material(leaf, roots)?;
        self.registry.set_labels(labels(plan));
        self.start_sinks(plan).await;
        self.open_access_log(plan);
        for (id, instances) in &endpoints {
            let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
            let healthy = count(instances.iter().filter(|instance| instance.endpoint.healthy).count());
            self.registry.membership(&id.0, Membership { total: count(instances.len()), healthy });
        }
        self.bind(plan, unknown);
        self.sequence += 1;
        Ok(Snapshot {
            sequence: self.sequence,
            plan: plan.clone(),
            endpoints,
            tls,
            sockets: self.sockets.clone(),
            access_log: self.access_log.as_ref().map(|(_, log)| log.clone()),
        })
    }

    /// Sends what sinks have not sent yet.
    pub async fn flush(&mut self) {
        if let Some(sinks) = &mut self.sinks {
            sinks.flush().await;
        }
        if let Some((_, log)) = &self.access_log {
            log.flush(LOG_PATIENCE);
        }
    }

    fn material(&mut self, leaf: &Leaf, roots: &[String]) -> Result<Arc<Material>, Error> {
        let generation = match &self.tls {
            Some((was, were, material)) if was == leaf && were == roots => return Ok(material.clone()),
            Some((_, _, material)) => material.generation + 1,
            None => 1,
        };
        match Material::new(generation, &leaf.certificates, leaf.key.der()?, roots) {
            Ok(material) => {
                let material = Arc::new(material);
                self.tls = Some((leaf.clone(), roots.to_vec(), material.clone()));
                Ok(material)
            }
            // A leaf that is not usable must not take the plan (its intentions!) down with it.
            Err(error) => match &self.tls {
                Some((_, _, material)) => {
                    tracing::error!(%error, "the new certificates cannot be used; going on with the old ones");
                    Ok(material.clone())
                }
                None => Err(error),
            },
        }
    }

    fn bind(&mut self, plan: &Plan, unknown: &BTreeSet<TargetId>) {
        let wanted = socket_keys(plan);
        self.sockets.retain(|key, _| wanted.contains_key(key));
        self.unbound.retain(|key, _| wanted.contains_key(key));
        let waits: BTreeSet<SocketKey> = plan
            .outbound
            .iter()
            .filter(|outbound| outbound.routes.iter().flat_map(|r| &r.targets).any(|t| unknown.contains(&t.target)))
            .map(|outbound| SocketKey {
                direction: Direction::Outbound,
                bind: outbound.bind.clone(),
                port: outbound.port,
            })
            .collect();
        for (key, (name, protocol)) in wanted {
            if self.sockets.contains_key(&key) || waits.contains(&key) {
                continue;
            }
            match bind(&key, &name, self.workers) {
                Ok(sockets) => {
                    let address = sockets.local.to_string();
                    tracing::info!(%address, protocol = protocol.as_str(), "listener {name}");
                    self.registry.listener_info(key.direction, &name, ListenerInfo { address, protocol });
                    self.unbound.remove(&key);
                    self.sockets.insert(key, Arc::new(sockets));
                }
                Err(error) => {
                    // Said once, and again when it changes; it is tried every second.
                    let said = error.to_string();
                    if self.unbound.get(&key) != Some(&said) {
                        tracing::error!("{said}");
                    }
                    self.unbound.insert(key, said);
                }
            }
        }
    }

    async fn start_sinks(&mut self, plan: &Plan) {
        let recording = &plan.recording;
        let config = SinkConfig {
            statsd_url: recording.statsd_url.clone(),
            dogstatsd_url: recording.dogstatsd_url.clone(),
            prometheus_bind_addr: recording.prometheus_bind_addr.clone(),
            stats_bind_addr: recording.stats_bind_addr.clone(),
            flush_interval: recording.flush_interval,
            ..SinkConfig::default()
        };
        if self.sink_config.as_ref() == Some(&config) {
            return;
        }
        self.sink_config = Some(config.clone());
        let warnings = match &mut self.sinks {
            Some(sinks) => sinks.apply(config).await,
            None => {
                let (sinks, warnings) = Sinks::start(self.registry.clone(), config).await;
                self.sinks = Some(sinks);
                warnings
            }
        };
        warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    }

    fn open_access_log(&mut self, plan: &Plan) {
        let Some(wanted) = &plan.recording.access_log else {
            self.access_log = None;
            return;
        };
        let config = AccessLogConfig {
            target: match &wanted.sink {
                LogSink::Stdout => LogTarget::Stdout,
                LogSink::Stderr => LogTarget::Stderr,
                LogSink::File(path) => LogTarget::File(path.into()),
            },
            json_format: wanted.json_format.clone(),
            text_format: wanted.text_format.clone(),
            disable_listener_logs: wanted.disable_listener_logs,
        };
        if self.access_log.as_ref().is_some_and(|(was, _)| *was == config) {
            return;
        }
        match AccessLog::start(&self.registry, &config) {
            Ok(log) => self.access_log = Some((config, log)),
            Err(error) => tracing::error!(%error, "access log"),
        }
    }
}

fn labels(plan: &Plan) -> ProxyLabels {
    let proxy = &plan.proxy;
    ProxyLabels {
        proxy: proxy.id.clone(),
        service: proxy.service.clone(),
        instance: proxy.service_id.clone(),
        node: proxy.node.clone(),
        zone: proxy.zone.clone(),
        version: proxy.version.clone(),
        namespace: plan.identity.namespace.clone(),
        datacenter: proxy.datacenter.clone(),
        trust_domain: plan.identity.trust_domain.clone(),
        stats_tags: plan.recording.stats_tags.clone(),
        ..ProxyLabels::default()
    }
}

/// One listening socket per worker on one address.
fn bind(key: &SocketKey, name: &str, workers: usize) -> Result<Sockets, Error> {
    let any = match key.direction {
        Direction::Inbound => "0.0.0.0",
        Direction::Outbound => "127.0.0.1",
    };
    let text = if key.bind.is_empty() { any } else { key.bind.as_str() };
    let bad = || Error::BindAddress { name: name.to_owned(), address: format!("{text}:{}", key.port) };
    let ip: IpAddr = text.trim_matches(['[', ']']).parse().map_err(|_| bad())?;
    let mut address = SocketAddr::new(ip, key.port);
    let wanted = address;
    let fail = |source| Error::Bind { name: name.to_owned(), address: wanted.to_string(), source };
    let many = workers > 1;
    if many {
        // With SO_REUSEPORT two proxies could share a port in silence: make sure that it is free first.
        drop(listen(address, false).map_err(fail)?);
    }
    let mut per_worker = Vec::with_capacity(workers);
    for _ in 0..workers {
        let socket = listen(address, many).map_err(fail)?;
        // With port 0 the kernel chooses for the first worker, and the others join it.
        address = socket.local_addr().map_err(fail)?;
        per_worker.push(Some(socket).into());
    }
    Ok(Sockets { direction: key.direction, name: name.to_owned(), local: address, per_worker })
}

fn listen(address: SocketAddr, shared: bool) -> std::io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
