//! The addresses of this machine's network interfaces, asked of the kernel by netlink (rtnetlink(7)).

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use socket2::{Domain, Protocol, Socket, Type};

const GET_LINK: u16 = 18;
const NEW_LINK: u16 = 16;
const GET_ADDRESS: u16 = 22;
const NEW_ADDRESS: u16 = 20;
const DONE: u16 = 3;
const ERROR: u16 = 2;
/// NLM_F_REQUEST and NLM_F_DUMP.
const DUMP: u16 = 0x301;
const MESSAGE_HEADER: usize = 16;
const LINK_HEADER: usize = 16;
const ADDRESS_HEADER: usize = 8;
const LINK_NAME: u16 = 3;
const ADDRESS: u16 = 1;
const LOCAL_ADDRESS: u16 = 2;
/// The kernel sends datagrams of at most this size.
const BUFFER: usize = 64 << 10;

/// One address of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InterfaceAddress {
    pub name: String,
    pub address: IpAddr,
    /// Bits of the network's prefix.
    pub bits: u8,
    pub up: bool,
    pub loopback: bool,
    /// The default route leads over this interface.
    pub default: bool,
}

/// By interface, in the kernel's order.
pub(super) fn all() -> io::Result<Vec<InterfaceAddress>> {
    let mut links = BTreeMap::new();
    dump(GET_LINK, |kind, body| {
        if let Some((index, link)) = (kind == NEW_LINK).then(|| link(body)).flatten() {
            links.insert(index, link);
        }
    })?;
    let default = std::fs::read_to_string("/proc/net/route").ok().as_deref().and_then(default_route);
    let mut found = Vec::new();
    dump(GET_ADDRESS, |kind, body| {
        let Some((index, address, bits)) = (kind == NEW_ADDRESS).then(|| address(body)).flatten() else { return };
        let Some((name, flags)) = links.get(&index) else { return };
        found.push((
            index,
            InterfaceAddress {
                name: name.clone(),
                address,
                bits,
                up: flags & 1 != 0,
                loopback: flags & 8 != 0,
                default: default.as_deref() == Some(name),
            },
        ));
    })?;
    found.sort_by_key(|(index, _)| *index);
    Ok(found.into_iter().map(|(_, address)| address).collect())
}

/// The interface of the route to everywhere: destination and mask are zero.
fn default_route(table: &str) -> Option<String> {
    let fields = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let everywhere = |row: &Vec<String>| row.len() > 7 && row[1] == "00000000" && row[7] == "00000000";
    table.lines().skip(1).map(fields).find(everywhere).map(|row| row[0].clone())
}

/// Asks for a whole table and hands over each message's kind and body.
fn dump(kind: u16, mut take: impl FnMut(u16, &[u8])) -> io::Result<()> {
    let mut socket = Socket::new(Domain::from(libc::AF_NETLINK), Type::RAW, Some(Protocol::from(libc::NETLINK_ROUTE)))?;
    socket.set_read_timeout(Some(std::time::Duration::from_secs(1)))?;
    // The headers of links and addresses are both at most 16 bytes, and zero asks for everything.
    let length = MESSAGE_HEADER + LINK_HEADER;
    let mut request = Vec::with_capacity(length);
    request.extend_from_slice(&u32::try_from(length).unwrap_or_default().to_ne_bytes());
    request.extend_from_slice(&kind.to_ne_bytes());
    request.extend_from_slice(&DUMP.to_ne_bytes());
    request.resize(length, 0);
    socket.send(&request)?;
    let mut buffer = vec![0; BUFFER];
    loop {
        let size = socket.read(&mut buffer)?;
        let mut rest = &buffer[..size];
        while let Some((kind, body, next)) = message(rest) {
            match kind {
                DONE => return Ok(()),
                ERROR => return Err(io::Error::other("the kernel refused to list its interfaces")),
                kind => take(kind, body),
            }
            rest = next;
        }
        if size == 0 {
            return Ok(());
        }
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Messages and attributes are padded to four bytes.
fn padded(length: usize) -> usize {
    length.next_multiple_of(4)
}

fn message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = u32_at(bytes, 0)? as usize;
    let body = bytes.get(MESSAGE_HEADER..length)?;
    Some((u16_at(bytes, 4)?, body, bytes.get(padded(length)..).unwrap_or_default()))
}

/// The value of an attribute in a list of them.
fn attribute(mut bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(u16_at(bytes, 0)?);
        let value = bytes.get(4..length)?;
        if u16_at(bytes, 2)? == wanted {
            return Some(value);
        }
        bytes = bytes.get(padded(length)..)?;
    }
}

fn link(body: &[u8]) -> Option<(u32, (String, u32))> {
    let name = attribute(body.get(LINK_HEADER..)?, LINK_NAME)?;
    let name = String::from_utf8_lossy(name.strip_suffix(&[0]).unwrap_or(name)).into_owned();
    Some((u32_at(body, 4)?, (name, u32_at(body, 8)?)))
}

/// The index of its interface, the address, and its prefix. On a point-to-point link the address is the other end's,
/// and the local one is told apart.
fn address(body: &[u8]) -> Option<(u32, IpAddr, u8)> {
    let attributes = body.get(ADDRESS_HEADER..)?;
    let bytes = attribute(attributes, LOCAL_ADDRESS).or_else(|| attribute(attributes, ADDRESS))?;
    let address = match bytes.len() {
        4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        _ => return None,
    };
    Some((u32_at(body, 4)?, address, *body.get(1)?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn loopback_is_always_there() {
        let all = all().unwrap();
        let loopback = all.iter().find(|one| one.address == IpAddr::V4(Ipv4Addr::LOCALHOST)).unwrap();
        assert_eq!((loopback.name.as_str(), loopback.bits, loopback.loopback), ("lo", 8, true));
    }

    #[test]
    fn cut_messages_are_no_message() {
        assert!(message(&[1, 2, 3]).is_none() && message(&[200, 0, 0, 0, 1, 0, 0, 0]).is_none());
        assert!(attribute(&[0, 0, 0, 0], 1).is_none() && attribute(&[255, 0, 1, 0, 9], 1).is_none());
        assert!(address(&[]).is_none() && link(&[0; 16]).is_none());
    }

    #[test]
    fn the_default_route_is_found() {
        let table = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU\n\
                     eth1 0000A8C0 00000000 0001 0 0 0 00FFFFFF 0\neth0 00000000 0100A8C0 0003 0 0 0 00000000 0\n";
        assert_eq!(default_route(table).as_deref(), Some("eth0"));
        assert_eq!(default_route(""), None);
    }
}
