//! Reading a query: the header, one question, EDNS. Everything else is skipped, and what is broken is refused.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::name;

pub const HEADER: usize = 12;
const QUERY: u8 = 0;

/// Record types, also as questions.
pub mod kind {
    pub const A: u16 = 1;
    pub const NS: u16 = 2;
    pub const CNAME: u16 = 5;
    pub const SOA: u16 = 6;
    pub const PTR: u16 = 12;
    pub const TXT: u16 = 16;
    pub const AAAA: u16 = 28;
    pub const SRV: u16 = 33;
    pub const OPT: u16 = 41;
    pub const IXFR: u16 = 251;
    pub const AXFR: u16 = 252;
    pub const ANY: u16 = 255;
}

pub const CLASS_IN: u16 = 1;
pub const CLASS_ANY: u16 = 255;
const OPTION_CLIENT_SUBNET: u16 = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum Rcode {
    NoError = 0,
    FormErr = 1,
    ServFail = 2,
    NxDomain = 3,
    NotImp = 4,
    Refused = 5,
    /// Needs EDNS: its upper bits stand in the OPT record.
    BadVers = 16,
}

/// One question with what matters around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request<'a> {
    pub id: u16,
    pub recursion_desired: bool,
    pub checking_disabled: bool,
    /// As asked, in the form of the wire.
    pub name: &'a [u8],
    pub kind: u16,
    pub class: u16,
    pub edns: Option<Edns<'a>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edns<'a> {
    pub size: u16,
    pub version: u8,
    pub subnet: Option<Subnet<'a>>,
}

/// The network for which a resolver asks (RFC 7871).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subnet<'a> {
    pub family: u16,
    pub prefix: u8,
    pub address: &'a [u8],
}

/// Why there is no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// An answer, or less than a header: answering could go on for ever.
    Silence,
    /// A header says it all.
    Header(Rcode),
}

pub fn parse(message: &[u8]) -> Result<Request<'_>, Refusal> {
    let header = message.get(..HEADER).ok_or(Refusal::Silence)?;
    let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    if header[2] & 0x80 != 0 {
        return Err(Refusal::Silence);
    }
    if header[2] >> 3 & 0xF != QUERY {
        return Err(Refusal::Header(Rcode::NotImp));
    }
    let broken = Refusal::Header(Rcode::FormErr);
    if word(4) != 1 {
        return Err(broken);
    }
    let end = name::end(message, HEADER).ok_or(broken)?;
    let fixed = message.get(end..end + 4).ok_or(broken)?;
    let records = usize::from(word(6)) + usize::from(word(8)) + usize::from(word(10));
    Ok(Request {
        id: word(0),
        recursion_desired: header[2] & 1 != 0,
        checking_disabled: header[3] & 0x10 != 0,
        name: &message[HEADER..end],
        kind: u16::from_be_bytes([fixed[0], fixed[1]]),
        class: u16::from_be_bytes([fixed[2], fixed[3]]),
        edns: edns(message, end + 4, records).ok_or(broken)?,
    })
}

/// Goes over the records behind the question. `None` when they are broken or there are two OPT records (RFC 6891).
fn edns(message: &[u8], mut at: usize, records: usize) -> Option<Option<Edns<'_>>> {
    let mut found = None;
    for _ in 0..records {
        let start = at;
        at = name::skip(message, at)?;
        let fixed = message.get(at..at + 10)?;
        let word = |at: usize| u16::from_be_bytes([fixed[at], fixed[at + 1]]);
        let data = message.get(at + 10..at + 10 + usize::from(word(8)))?;
        at += 10 + data.len();
        if word(0) != kind::OPT {
            continue;
        }
        if found.is_some() || message[start] != 0 {
            return None;
        }
        found = Some(Edns { size: word(2), version: fixed[5], subnet: subnet(data)? });
    }
    Some(found)
}

/// `Some(None)`: no such option. `None`: a broken one.
fn subnet(mut options: &[u8]) -> Option<Option<Subnet<'_>>> {
    let mut found = None;
    while !options.is_empty() {
        let (fixed, rest) = options.split_at_checked(4)?;
        let length = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
        let (data, rest) = rest.split_at_checked(length)?;
        options = rest;
        if u16::from_be_bytes([fixed[0], fixed[1]]) != OPTION_CLIENT_SUBNET {
            continue;
        }
        let (fixed, address) = data.split_at_checked(4)?;
        let subnet = Subnet { family: u16::from_be_bytes([fixed[0], fixed[1]]), prefix: fixed[2], address };
        let bits = match subnet.family {
            1 => 32,
            2 => 128,
            // No family and no address: the client only wants nobody's network to be told.
            0 if subnet.prefix == 0 && address.is_empty() => continue,
            _ => return None,
        };
        if subnet.prefix > bits || address.len() != usize::from(subnet.prefix).div_ceil(8) {
            return None;
        }
        found = Some(subnet);
    }
    Some(found)
}

impl Subnet<'_> {
    /// The first address of the network.
    pub fn first(&self) -> Option<IpAddr> {
        let mut bytes = [0; 16];
        bytes.get_mut(..self.address.len())?.copy_from_slice(self.address);
        match self.family {
            1 => Some(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]).into()),
            2 => Some(Ipv6Addr::from(bytes).into()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const QUESTION: &[u8] = b"\x12\x34\x01\x10\0\x01\0\0\0\0\0\x01\x02Db\x06consul\0\0\x01\0\x01";
    const OPT: &[u8] = b"\0\0\x29\x04\xD0\0\0\0\0\0\x0B\0\x08\0\x07\0\x01\x18\0\xC0\0\x02";

    fn query() -> Vec<u8> {
        [QUESTION, OPT].concat()
    }

    #[test]
    fn a_whole_query() {
        let message = query();
        let request = parse(&message).unwrap();
        assert_eq!((request.id, request.kind, request.class), (0x1234, kind::A, CLASS_IN));
        assert!(request.recursion_desired && request.checking_disabled);
        assert_eq!(request.name, b"\x02Db\x06consul\0");
        let edns = request.edns.unwrap();
        assert_eq!((edns.size, edns.version), (1232, 0));
        assert_eq!(edns.subnet.unwrap().first().unwrap().to_string(), "192.0.2.0");
    }

    #[test]
    fn what_is_broken_is_refused() {
        let changed = |at: usize, byte: u8| {
            let mut message = query();
            message[at] = byte;
            parse(&message).map(|_| ()).unwrap_err()
        };
        assert_eq!(changed(2, 0x81), Refusal::Silence);
        assert_eq!(changed(2, 0x28), Refusal::Header(Rcode::NotImp));
        assert_eq!(changed(5, 2), Refusal::Header(Rcode::FormErr));
        assert_eq!(changed(12, 0xC0), Refusal::Header(Rcode::FormErr));
        assert_eq!(changed(11, 2), Refusal::Header(Rcode::FormErr));
        assert_eq!(parse(&query()[..5]).unwrap_err(), Refusal::Silence);
        for cut in HEADER..query().len() {
            assert!(parse(&query()[..cut]).is_err(), "{cut}");
        }
        let twice = [QUESTION, OPT, OPT].concat();
        let mut twice = twice;
        twice[11] = 2;
        assert!(parse(&twice).is_err());
    }
}
