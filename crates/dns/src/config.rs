//! How DNS is to answer: `dns_config`, `domain`, `alt_domain` and `recursors`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::name::Name;

/// No setting gives more than this to a client that does not say how much it can take.
const UDP_ANSWERS: usize = 8;

#[derive(Debug, Clone)]
pub struct Config {
    /// Lower case, like `alt_domain`.
    pub domain: Name,
    pub alt_domain: Option<Name>,
    pub datacenter: String,
    pub node_ttl: Duration,
    pub service_ttl: ServiceTtl,
    /// Leaves out instances with a warning, too.
    pub only_passing: bool,
    /// A node's metadata beside its address, unasked.
    pub node_meta_txt: bool,
    /// Says `tc` when answers were left out for want of room.
    pub enable_truncate: bool,
    pub disable_compression: bool,
    /// Answers over UDP to clients without EDNS.
    pub udp_answer_limit: usize,
    /// Addresses in any answer; zero: all.
    pub a_record_limit: usize,
    pub recursors: Vec<SocketAddr>,
    pub recursor_timeout: Duration,
    pub recursor_strategy: Strategy,
    pub soa: Soa,
}

/// Which recursor is asked first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Strategy {
    #[default]
    Sequential,
    Random,
}

/// Seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Soa {
    pub refresh: u32,
    pub retry: u32,
    pub expire: u32,
    pub min_ttl: u32,
}

impl Default for Soa {
    fn default() -> Self {
        Self { refresh: 3600, retry: 600, expire: 86400, min_ttl: 0 }
    }
}

/// Times to live by service: whole names, and beginnings of names that end in `*`.
#[derive(Debug, Clone, Default)]
pub struct ServiceTtl {
    exact: BTreeMap<String, Duration>,
    /// Longest first.
    prefixes: Vec<(String, Duration)>,
}

impl ServiceTtl {
    pub fn new(given: impl IntoIterator<Item = (String, Duration)>) -> Self {
        let mut ttl = Self::default();
        for (name, duration) in given {
            match name.strip_suffix('*') {
                Some(prefix) => ttl.prefixes.push((prefix.to_owned(), duration)),
                None => drop(ttl.exact.insert(name, duration)),
            }
        }
        ttl.prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        ttl
    }

    /// Zero when nothing was said about this service.
    pub fn of(&self, service: &str) -> Duration {
        let prefixed = || self.prefixes.iter().find(|(prefix, _)| service.starts_with(prefix)).map(|(_, ttl)| *ttl);
        self.exact.get(service).copied().or_else(prefixed).unwrap_or_default()
    }
}

impl Config {
    /// Consul's defaults below `domain`, which must be lower case.
    pub fn new(domain: Name, datacenter: &str) -> Self {
        Self {
            domain,
            alt_domain: None,
            datacenter: datacenter.to_owned(),
            node_ttl: Duration::ZERO,
            service_ttl: ServiceTtl::default(),
            only_passing: false,
            node_meta_txt: true,
            enable_truncate: false,
            disable_compression: false,
            udp_answer_limit: 3,
            a_record_limit: 0,
            recursors: Vec::new(),
            recursor_timeout: Duration::from_secs(2),
            recursor_strategy: Strategy::Sequential,
            soa: Soa::default(),
        }
    }

    pub(crate) fn udp_answers(&self) -> usize {
        self.udp_answer_limit.min(UDP_ANSWERS)
    }

    pub(crate) fn domains(&self) -> impl Iterator<Item = &Name> {
        std::iter::once(&self.domain).chain(&self.alt_domain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_beginning_decides_and_a_whole_name_over_it() {
        let seconds = Duration::from_secs;
        let given = [("*", 1), ("db*", 2), ("db-main*", 3), ("db-main-1", 4)];
        let ttl = ServiceTtl::new(given.map(|(name, n)| (name.to_owned(), seconds(n))));
        for (name, wanted) in [("web", 1), ("db", 2), ("db-x", 2), ("db-main-2", 3), ("db-main-1", 4)] {
            assert_eq!(ttl.of(name), seconds(wanted), "{name}");
        }
        assert_eq!(ServiceTtl::default().of("web"), Duration::ZERO);
    }
}
