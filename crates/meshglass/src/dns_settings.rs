//! From the agent's configuration to DNS being served.

use std::sync::Arc;

use api::Access;
use dns::Name;
use store::Store;

use crate::config::Config;
use crate::dns_view::{Catalog, Site};

/// Serves DNS wherever the configuration says; nowhere when its port is switched off.
pub fn serve(config: &Config, store: &Store, access: &Access) -> Result<dns::Server, dns::Error> {
    let site = Site { datacenter: config.datacenter.clone(), node: config.node_name.clone() };
    let catalog = Catalog::new(store.clone(), access.clone(), site);
    dns::Server::start(&config.dns, settings(config), Arc::new(catalog))
}

pub fn settings(config: &Config) -> dns::Config {
    let domain = Name::parse(&config.dns_config.domain.to_lowercase()).unwrap_or_else(Name::root);
    dns::Config::new(domain, &config.datacenter)
}
