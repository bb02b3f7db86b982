//! From the agent's configuration to DNS being served.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use api::Access;
use dns::{Name, ServiceTtl, Soa, Strategy};
use store::Store;

use crate::config::{Config, Dns};
use crate::dns_view::{Catalog, Site};

const DNS_PORT: u16 = 53;

/// Serves DNS wherever the configuration says; nowhere when its port is switched off.
pub fn serve(config: &Config, store: &Store, access: &Access) -> Result<dns::Server, dns::Error> {
    let site = Site { datacenter: config.datacenter.clone(), node: config.node_name.clone() };
    let catalog = Catalog::new(store.clone(), access.clone(), site);
    dns::Server::start(&config.dns, settings(config), Arc::new(catalog))
}

pub fn settings(config: &Config) -> dns::Config {
    let given = &config.dns_config;
    let name = |text: &str| Name::parse(&text.to_lowercase());
    let ttl = given.service_ttl.iter().map(|(service, ttl)| (service.to_lowercase(), *ttl));
    dns::Config {
        alt_domain: Some(given.alt_domain.as_str()).filter(|text| !text.is_empty()).and_then(name),
        node_ttl: given.node_ttl,
        service_ttl: ServiceTtl::new(ttl),
        only_passing: given.only_passing,
        node_meta_txt: given.node_meta_txt,
        enable_truncate: given.enable_truncate,
        disable_compression: given.disable_compression,
        udp_answer_limit: given.udp_answer_limit,
        a_record_limit: given.a_record_limit,
        recursors: recursors(given),
        recursor_timeout: given.recursor_timeout,
        recursor_strategy: match given.recursor_strategy.as_str() {
            "random" => Strategy::Random,
            _ => Strategy::Sequential,
        },
        soa: Soa {
            refresh: given.soa.refresh,
            retry: given.soa.retry,
            expire: given.soa.expire,
            min_ttl: given.soa.min_ttl,
        },
        ..dns::Config::new(name(&given.domain).unwrap_or_else(Name::root), &config.datacenter)
    }
}

/// An address, with a port or without. What is neither is told and passed over, as Consul does.
fn recursors(given: &Dns) -> Vec<SocketAddr> {
    let mut found = Vec::new();
    for text in &given.recursors {
        let bare = text.trim_start_matches("udp://").trim_start_matches("tcp://");
        let address = bare.trim_matches(['[', ']']).parse::<IpAddr>().map(|ip| SocketAddr::new(ip, DNS_PORT));
        match bare.parse::<SocketAddr>().or(address) {
            Ok(address) => found.push(address),
            Err(_) => tracing::warn!("recursors: {text:?} is no address, it is not asked"),
        }
    }
    found
}
