//! Addresses and ports: where the agent listens, and what it tells others.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use api::listen::{Endpoint, SocketAccess};

use super::node;
use super::reading::{Reading, ip};

/// The node's own addresses.
pub(super) struct Addresses {
    pub bind: IpAddr,
    pub advertise: IpAddr,
    pub advertise_wan: IpAddr,
}

/// What one of `client_addr` and `addresses` names.
enum Named {
    Ip(IpAddr),
    Unix(PathBuf),
}

impl Reading {
    /// Where to listen for the mesh, and the address others are told.
    pub fn addresses(&mut self, dev: bool) -> Addresses {
        let default = if dev { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED };
        let bind = self.address("bind_addr").unwrap_or(IpAddr::V4(default));
        let own = |bind: IpAddr| if bind.is_unspecified() { node::own_address() } else { bind };
        let advertise = self.advertised("advertise_addr", "Advertise").unwrap_or_else(|| own(bind));
        let advertise_wan = self.advertised("advertise_addr_wan", "Advertise WAN").unwrap_or(advertise);
        Addresses { bind, advertise, advertise_wan }
    }

    /// The general address, else the one of a family.
    fn advertised(&mut self, path: &str, what: &str) -> Option<IpAddr> {
        let mut found = None;
        for (suffix, family) in [("", None), ("_ipv4", Some(true)), ("_ipv6", Some(false))] {
            let path = format!("{path}{suffix}");
            let Some(address) = self.address(&path) else { continue };
            if family.is_some_and(|v4| v4 != address.is_ipv4()) {
                let family = suffix.trim_start_matches('_');
                self.complain(&path, format!("{path} must be an {family} address"));
            }
            if address.is_unspecified() {
                self.complain(&path, format!("{what} address cannot be 0.0.0.0, :: or [::]"));
            }
            found = found.or(Some(address));
        }
        found
    }

    /// Exactly one address.
    fn address(&mut self, path: &str) -> Option<IpAddr> {
        let text = self.full_text(path)?;
        let text = self.expanded(path, &text)?;
        if text.split_whitespace().count() > 1 {
            let text = format!("{path} cannot contain multiple addresses. Use 'addresses.{{dns,http,https}}' instead.");
            self.complain(path, text);
            return None;
        }
        let address = ip(&text);
        if address.is_none() {
            self.complain(path, format!("{path}: expected an IP address, got {text:?}"));
        }
        address
    }

    pub fn client_addresses(&mut self) -> Vec<IpAddr> {
        let named = self.named("client_addr");
        if named.iter().any(|one| matches!(one, Named::Unix(_))) {
            self.complain("client_addr", "client_addr cannot be a unix socket");
        }
        let found: Vec<IpAddr> = named.into_iter().filter_map(Named::ip).collect();
        if found.is_empty() { vec![Ipv4Addr::LOCALHOST.into()] } else { found }
    }

    /// One or several addresses, parted by blanks.
    fn named(&mut self, path: &str) -> Vec<Named> {
        let Some(text) = self.full_text(path) else { return Vec::new() };
        let Some(text) = self.expanded(path, &text) else { return Vec::new() };
        let mut out = Vec::new();
        for word in text.split_whitespace() {
            match (word.strip_prefix("unix://"), ip(word)) {
                (Some(""), _) => self.complain(path, format!("{path}: expected unix:// and a path")),
                (Some(file), _) => out.push(Named::Unix(PathBuf::from(file))),
                (None, Some(address)) => out.push(Named::Ip(address)),
                (None, None) => self.complain(path, format!("{path}: expected an IP address, got {word:?}")),
            }
        }
        out
    }

    /// Where a port is served. A socket in the file system has no port, and is there whatever the port is, unless the
    /// port is switched off.
    pub fn endpoints(&mut self, name: &str, client: &[IpAddr], default: i64) -> Vec<Endpoint> {
        let port = self.port(&format!("ports.{name}"), default);
        let mut named = self.named(&format!("addresses.{name}"));
        if named.is_empty() {
            named = client.iter().map(|ip| Named::Ip(*ip)).collect();
        }
        let Some(port) = port else { return Vec::new() };
        let endpoint = |one| match one {
            Named::Ip(ip) => Endpoint::Tcp(SocketAddr::new(ip, port)),
            Named::Unix(path) => Endpoint::Unix(path),
        };
        named.into_iter().map(endpoint).collect()
    }

    /// The same for ports that are served over the network only.
    pub fn sockets(&mut self, address: &str, port: &str, client: &[IpAddr], default: i64) -> Vec<SocketAddr> {
        let port = self.port(&format!("ports.{port}"), default);
        let path = format!("addresses.{address}");
        let named = self.named(&path);
        if named.iter().any(|one| matches!(one, Named::Unix(_))) {
            self.complain(&path, format!("{} address cannot be a unix socket", address.to_ascii_uppercase()));
        }
        let mut addresses: Vec<IpAddr> = named.into_iter().filter_map(Named::ip).collect();
        if addresses.is_empty() {
            addresses = client.to_vec();
        }
        port.map(|port| addresses.into_iter().map(|ip| SocketAddr::new(ip, port)).collect()).unwrap_or_default()
    }

    /// Zero and less switch a port off, as in Consul.
    pub fn port(&mut self, path: &str, default: i64) -> Option<u16> {
        let number = self.number(path).unwrap_or(default);
        let port = u16::try_from(number).ok().filter(|port| *port > 0);
        if port.is_none() && number > 0 {
            self.complain(path, format!("{path}: invalid port: {number}, expected a whole number up to 65535"));
        }
        port
    }

    pub fn port_range(&mut self, name: &str, default: (i64, i64)) -> RangeInclusive<u16> {
        let low = self.port(&format!("ports.{name}_min_port"), default.0).unwrap_or_default();
        let high = self.port(&format!("ports.{name}_max_port"), default.1).unwrap_or_default();
        if high < low || (low == 0) != (high == 0) {
            let text = format!("{name}_min_port must be less than {name}_max_port. To disable, set both to zero.");
            self.complain(&format!("ports.{name}_min_port"), text);
        }
        // Both zero: a range that holds nothing.
        let (low, high) = if high == 0 { (1, 0) } else { (low, high) };
        low..=high
    }

    /// `unix_sockets`: a mode in octal, a user and a group by name or number.
    pub fn socket_access(&mut self) -> SocketAccess {
        let mode = self.full_text("unix_sockets.mode").and_then(|text| {
            let mode = u32::from_str_radix(&text, 8).ok().filter(|mode| *mode <= 0o7777);
            if mode.is_none() {
                let path = "unix_sockets.mode";
                self.complain(path, format!("{path}: expected an octal number such as \"0660\", got {text:?}"));
            }
            mode
        });
        let user = self.id("unix_sockets.user", "/etc/passwd");
        let group = self.id("unix_sockets.group", "/etc/group");
        SocketAccess { mode, user, group }
    }

    fn id(&mut self, path: &str, table: &str) -> Option<u32> {
        let name = self.full_text(path)?;
        let id = name.parse().ok().or_else(|| listed(&std::fs::read_to_string(table).ok()?, &name));
        if id.is_none() {
            self.complain(path, format!("{path}: {name:?} is in no line of {table}"));
        }
        id
    }
}

impl Named {
    fn ip(self) -> Option<IpAddr> {
        match self {
            Self::Ip(ip) => Some(ip),
            Self::Unix(_) => None,
        }
    }
}

/// `name:password:id:…`
fn listed(table: &str, name: &str) -> Option<u32> {
    let mut rows = table.lines().map(|line| line.split(':').collect::<Vec<_>>());
    rows.find(|row| row.first() == Some(&name))?.get(2)?.parse().ok()
}
