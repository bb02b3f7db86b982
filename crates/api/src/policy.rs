//! What the configuration says about every request: headers to add, endpoints that are closed, who may write.

use std::net::IpAddr;
use std::time::Duration;

use axum::response::Response;
use http::{HeaderName, HeaderValue, Method, StatusCode};

use crate::response::text;

/// Where a request came from. `None`: a socket in the file system, or this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub Option<IpAddr>);

/// A range of addresses, `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Reads CIDR notation; an address without a length is none.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.trim().split_once('/')?;
        let (address, bits) = (address.parse::<IpAddr>().ok()?, bits.parse().ok()?);
        let longest = if address.is_ipv4() { 32 } else { 128 };
        (bits <= longest).then_some(Self { address, bits })
    }

    /// An IPv4 address that comes in IPv6 clothes is the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                (network.to_bits() ^ address.to_bits()) & mask == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                (network.to_bits() ^ address.to_bits()) & mask == 0
            }
            _ => false,
        }
    }
}

/// How long blocking queries wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waits {
    /// When a query does not say.
    pub default: Duration,
    pub longest: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        Self { default: store::DEFAULT_WAIT, longest: store::MAX_WAIT }
    }
}

impl Waits {
    pub(crate) fn bound(self, asked: Duration) -> Duration {
        let wait = if asked.is_zero() { self.default } else { asked };
        wait.min(self.longest)
    }
}

/// Consul's `http_config`, and what else holds for every request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// On every answer of a route.
    pub response_headers: Vec<(HeaderName, HeaderValue)>,
    /// Prefixes of paths that answer 403.
    pub block_endpoints: Vec<String>,
    /// Who may do more than read; empty: everybody.
    pub allow_write_from: Vec<Network>,
    pub waits: Waits,
}

impl Policy {
    /// The answer to a request that may not be made. A socket in the file system has its own permissions.
    pub(crate) fn refuse(&self, method: &Method, path: &str, peer: Option<Peer>) -> Option<Response> {
        let forbidden = |words: &str| Some(text(StatusCode::FORBIDDEN, words.to_owned()));
        if self.block_endpoints.iter().any(|prefix| path.starts_with(prefix.as_str())) {
            return forbidden("Endpoint is blocked by agent configuration");
        }
        let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(method);
        if reads || self.allow_write_from.is_empty() {
            return None;
        }
        let address = peer.and_then(|Peer(address)| address)?;
        let allowed = self.allow_write_from.iter().any(|network| network.contains(address));
        if allowed { None } else { forbidden("Access is restricted") }
    }

    pub(crate) fn mark(&self, response: &mut Response) {
        for (name, value) in &self.response_headers {
            response.headers_mut().insert(name.clone(), value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn networks_contain_their_addresses() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("127.0.0.1/32", "::ffff:127.0.0.1", "127.0.0.2"),
            ("0.0.0.0/0", "8.8.8.8", "::1"),
            ("fd00::/8", "fdff::1", "fe80::1"),
            ("::/0", "::1", "127.0.0.1"),
        ] {
            let network = Network::parse(network).unwrap();
            assert!(network.contains(inside.parse().unwrap()), "{network:?} {inside}");
            assert!(!network.contains(outside.parse().unwrap()), "{network:?} {outside}");
        }
        for bad in ["127.0.0.1", "x", "10.0.0.0/33", "10.0.0.0/x", "::/129"] {
            assert!(Network::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn writes_come_only_from_where_they_may() {
        let policy = Policy {
            allow_write_from: vec![Network::parse("10.0.0.0/8").unwrap()],
            block_endpoints: vec!["/v1/acl".to_owned()],
            ..Policy::default()
        };
        let peer = |text: &str| Some(Peer(Some(text.parse().unwrap())));
        let status = |method, path, peer| policy.refuse(&method, path, peer).map(|answer| answer.status().as_u16());
        assert_eq!(status(Method::PUT, "/v1/kv/a", peer("127.0.0.1")), Some(403));
        assert_eq!(status(Method::PUT, "/v1/kv/a", peer("10.1.2.3")), None);
        assert_eq!(status(Method::PUT, "/v1/kv/a", Some(Peer(None))), None);
        assert_eq!(status(Method::GET, "/v1/kv/a", peer("127.0.0.1")), None);
        assert_eq!(status(Method::GET, "/v1/acl/tokens", peer("10.1.2.3")), Some(403));
    }
}
