//! From a compiled discovery chain to the routes and targets of an upstream's listener.

use std::sync::Arc;
use std::time::Duration;

use model::{HeaderChanges, HttpMatch, Protocol, RouteDestination, SpiffeId, Upstream, UpstreamSettings, ValueMatch};

use crate::chain::{self, Chain, ChainResolver, ChainTarget, Question, Work};
use crate::compile::{CONNECT_TIMEOUT, Draft, or, request_timeout};
use crate::{
    Ejection, FieldMatch, HeaderEdits, Match, PathMatch, Retry, RetryOn, Route, Target, TargetId, TextMatch,
    WeightedTarget, balance,
};

/// Envoy's numbers for what a passive health check does not say.
const FAILURES_IN_A_ROW: u32 = 5;
const EJECTION_INTERVAL: Duration = Duration::from_secs(10);
const EJECTION_TIME: Duration = Duration::from_secs(30);
const EJECTED_PERCENT: u32 = 10;

/// Where calls to the upstream go, and what it is called in warnings.
pub(crate) struct Way<'a> {
    pub name: &'a str,
    pub settings: &'a UpstreamSettings,
    pub chain: &'a Chain,
}

impl Draft<'_> {
    /// The chain of an upstream. One that cannot be compiled (the servers refuse to write such entries) is taken as if
    /// nobody had written any.
    pub fn chain(&mut self, upstream: &Upstream, settings: &UpstreamSettings, name: &str) -> Chain {
        let given = |key: &str| upstream.config.keys().any(|known| known.eq_ignore_ascii_case(key));
        let question = Question {
            service: upstream.destination_name.clone(),
            datacenter: or(&upstream.datacenter, &self.inputs.datacenter).to_owned(),
            trust_domain: self.inputs.trust_domain.clone(),
            mesh_gateway: upstream.mesh_gateway_mode.clone(),
            protocol: if given("protocol") { settings.protocol.as_str().to_owned() } else { String::new() },
            connect_timeout: settings.connect_timeout.unwrap_or_default(),
        };
        let entries = self.inputs.entries();
        chain::compile(&entries, &question).unwrap_or_else(|error| {
            self.warn(format!("upstream {name:?}: {error}: routers, splitters and resolvers are left out"));
            let nothing = chain::Entries::default();
            chain::compile(&nothing, &question).unwrap_or_else(|_| Chain::empty(&question))
        })
    }

    /// The routes of the chain; their targets become targets of the plan.
    pub fn routes(&mut self, way: &Way<'_>) -> Vec<Route> {
        let Some(start) = way.chain.nodes.get(&way.chain.start_node) else { return Vec::new() };
        let Work::Routes(routes) = &start.work else {
            return self.route(way, way.name.to_owned(), &way.chain.start_node).into_iter().collect();
        };
        let last = routes.len().saturating_sub(1);
        let mut out = Vec::with_capacity(routes.len());
        for (index, route) in routes.iter().enumerate() {
            let http = route.definition.r#match.as_ref().and_then(|when| when.http.as_ref());
            let name = if index == last { way.name.to_owned() } else { route_name(way.name, http, index) };
            let Some(mut done) = self.route(way, name, &route.next_node) else { continue };
            if let Some(http) = http {
                done.when = self.condition(way, http);
            }
            if let Some(destination) = &route.definition.destination {
                self.send(way, &mut done, destination);
            }
            // What begins with `/` is everything, but for what is put in the place of the `/`.
            if done.when.path == PathMatch::Prefix("/".to_owned()) && done.prefix_rewrite.is_none() {
                done.when.path = PathMatch::Any;
            }
            out.push(done);
        }
        out
    }

    /// A route that takes everything, to the targets that a node leads to.
    fn route(&mut self, way: &Way<'_>, name: String, node: &str) -> Option<Route> {
        let mut timeout = None;
        let mut targets = Vec::new();
        match &way.chain.nodes.get(node)?.work {
            Work::Splits(splits) => {
                for split in splits {
                    let Some(Work::Resolver(resolver)) = way.chain.nodes.get(&split.next_node).map(|n| &n.work) else {
                        continue;
                    };
                    timeout = timeout.or(self.inputs.request_timeout(way.chain, &resolver.target));
                    let target = self.resolved(way, resolver)?;
                    let weight = (split.weight * 100.0).round() as u32;
                    targets.push(WeightedTarget { weight, ..WeightedTarget::only(target) });
                }
            }
            Work::Resolver(resolver) => {
                timeout = self.inputs.request_timeout(way.chain, &resolver.target);
                targets.push(WeightedTarget::only(self.resolved(way, resolver)?));
            }
            Work::Routes(_) => return None,
        }
        let protocol = Protocol::parse(&way.chain.protocol).unwrap_or_default();
        Some(Route {
            name,
            when: Match::default(),
            targets,
            prefix_rewrite: None,
            timeout: timeout.unwrap_or_else(|| request_timeout(protocol)),
            retry: Retry { attempts: 1, on_connect_failure: true, ..Retry::default() },
            request_headers: HeaderEdits::default(),
            response_headers: HeaderEdits::default(),
        })
    }

    /// Puts the target and those that stand in for it into the plan.
    fn resolved(&mut self, way: &Way<'_>, resolver: &ChainResolver) -> Option<TargetId> {
        let stand_ins = resolver.failover.iter().flat_map(|failover| &failover.targets);
        for id in stand_ins.clone() {
            let target = self.target(way, way.chain.targets.get(id)?, resolver);
            self.add(target);
        }
        let mut target = self.target(way, way.chain.targets.get(&resolver.target)?, resolver);
        target.failover = stand_ins.map(|id| TargetId(id.clone())).collect();
        let id = target.id.clone();
        self.add(target);
        Some(id)
    }

    fn target(&mut self, way: &Way<'_>, target: &ChainTarget, resolver: &ChainResolver) -> Target {
        let settings = way.settings;
        let lower = target.service.to_lowercase();
        let entry = self.inputs.service_resolvers.get(&lower).and_then(|entry| entry.load_balancer.as_ref());
        let (balance, hash) = entry.map(balance::read).unwrap_or_default();
        if target.external {
            self.warn(format!(
                "upstream {:?}: {} is outside of the mesh and cannot be reached yet",
                way.name, target.id
            ));
        }
        Target {
            id: TargetId(target.id.clone()),
            service: target.service.clone(),
            namespace: target.namespace.clone(),
            datacenter: target.datacenter.clone(),
            subset: target.service_subset.clone(),
            protocol: Protocol::parse(&way.chain.protocol).unwrap_or_default(),
            identity: SpiffeId::service(&self.inputs.trust_domain, &target.datacenter, &target.service),
            sni: target.sni.clone(),
            connect_timeout: or_default(resolver.connect_timeout),
            max_connections: settings.max_connections.unwrap_or(0),
            max_pending_requests: settings.max_pending_requests.unwrap_or(0),
            max_concurrent_requests: settings.max_concurrent_requests.unwrap_or(0),
            filter: target.subset.filter.clone(),
            only_passing: target.subset.only_passing,
            failover: Vec::new(),
            balance,
            hash,
            ejection: ejection(settings),
        }
    }

    /// Two upstreams may lead to one destination with different settings: the first decides, the second is told so. A
    /// target that only stands in for another is completed when it is met as itself.
    fn add(&mut self, target: Target) {
        match self.targets.get_mut(&target.id) {
            None => {
                self.targets.insert(target.id.clone(), Arc::new(target));
            }
            Some(known) => {
                let mut plain = Target::clone(known);
                plain.failover.clone_from(&target.failover);
                if plain != target {
                    let id = target.id.0;
                    return self
                        .warn(format!("two upstreams lead to {id:?} with different settings: the first decides"));
                }
                if known.failover.is_empty() {
                    *known = Arc::new(target);
                }
            }
        }
    }

    fn condition(&mut self, way: &Way<'_>, http: &HttpMatch) -> Match {
        let path = match () {
            () if !http.path_exact.is_empty() => PathMatch::Exact(http.path_exact.clone()),
            () if !http.path_prefix.is_empty() => PathMatch::Prefix(http.path_prefix.clone()),
            () if !http.path_regex.is_empty() => PathMatch::Regex(http.path_regex.clone()),
            () => PathMatch::Any,
        };
        let when = Match {
            path,
            ignore_case: http.case_insensitive,
            methods: http.methods.clone(),
            headers: http.header.iter().map(field).collect(),
            query: http.query_param.iter().map(field).collect(),
        };
        let fields = when.headers.iter().chain(&when.query).filter_map(|field| match &field.is {
            TextMatch::Regex(pattern) => Some(pattern),
            _ => None,
        });
        let path = match &when.path {
            PathMatch::Regex(pattern) => Some(pattern),
            _ => None,
        };
        for pattern in fields.chain(path).filter(|pattern| regex_lite::Regex::new(pattern).is_err()) {
            self.warnings
                .push(format!("upstream {:?}: {pattern:?} is no regular expression: it matches nothing", way.name));
        }
        when
    }

    /// What the route says of the requests that it takes.
    fn send(&mut self, way: &Way<'_>, route: &mut Route, destination: &RouteDestination) {
        if !destination.prefix_rewrite.is_empty() {
            route.prefix_rewrite = Some(destination.prefix_rewrite.clone());
        }
        if !destination.request_timeout.is_zero() {
            route.timeout = destination.request_timeout;
        }
        if !destination.idle_timeout.is_zero() {
            self.warn(format!("upstream {:?}: idle_timeout of a route has no effect on this proxy yet", way.name));
        }
        route.retry = self.retry(way, destination);
        route.request_headers = edits(destination.request_headers.as_ref());
        route.response_headers = edits(destination.response_headers.as_ref());
    }

    fn retry(&mut self, way: &Way<'_>, destination: &RouteDestination) -> Retry {
        let mut on = Vec::new();
        for name in &destination.retry_on {
            match RetryOn::parse(name) {
                Some(known) => on.push(known),
                None => self.warn(format!("upstream {:?}: retry_on {name:?} has no effect on this proxy", way.name)),
            }
        }
        let codes = destination.retry_on_status_codes.iter().filter_map(|code| u16::try_from(*code).ok());
        Retry {
            attempts: destination.num_retries.max(1),
            // Nothing was sent, so nothing is done twice: tried again whatever the route says.
            on_connect_failure: true,
            on,
            on_statuses: codes.collect(),
        }
    }
}

fn or_default(timeout: Duration) -> Duration {
    if timeout.is_zero() { CONNECT_TIMEOUT } else { timeout }
}

/// `db/admin`: what the route takes, as far as a path says it.
fn route_name(upstream: &str, http: Option<&HttpMatch>, index: usize) -> String {
    let path = http.map(|http| [&http.path_exact, &http.path_prefix, &http.path_regex]);
    match path.into_iter().flatten().find(|path| !path.is_empty() && *path != "/") {
        Some(path) => format!("{upstream}{path}"),
        None => format!("{upstream}#{index}"),
    }
}

fn field(from: &ValueMatch) -> FieldMatch {
    let (name, invert) = (from.name.clone(), from.invert);
    let is = match () {
        () if !from.exact.is_empty() => TextMatch::Exact(from.exact.clone()),
        () if !from.prefix.is_empty() => TextMatch::Prefix(from.prefix.clone()),
        () if !from.suffix.is_empty() => TextMatch::Suffix(from.suffix.clone()),
        () if !from.contains.is_empty() => TextMatch::Contains(from.contains.clone()),
        () if !from.regex.is_empty() => TextMatch::Regex(from.regex.clone()),
        () => TextMatch::Present,
    };
    FieldMatch { name, is, invert }
}

fn edits(changes: Option<&HeaderChanges>) -> HeaderEdits {
    changes.map_or_else(HeaderEdits::default, |changes| HeaderEdits {
        remove: changes.remove.clone(),
        set: changes.set.clone(),
        add: changes.add.clone(),
    })
}

fn ejection(settings: &UpstreamSettings) -> Option<Ejection> {
    let (interval, failures) = (settings.passive_health_check_interval, settings.passive_health_check_max_failures);
    (interval.is_some() || failures.is_some()).then(|| Ejection {
        consecutive_failures: failures.filter(|n| *n > 0).unwrap_or(FAILURES_IN_A_ROW),
        interval: interval.unwrap_or(EJECTION_INTERVAL),
        base_time: settings.passive_health_check_base_ejection_time.unwrap_or(EJECTION_TIME),
        max_percent: settings.passive_health_check_max_ejection_percent.unwrap_or(EJECTED_PERCENT),
        enforcing: settings.passive_health_check_enforcing.unwrap_or(100),
    })
}
