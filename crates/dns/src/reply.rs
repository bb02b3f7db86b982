//! What is to be answered, before it is cut to size and written.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::time::Duration;

use crate::config::Soa;
use crate::name::Name;
use crate::request::{Rcode, kind};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// The name as asked, byte by byte.
    Question,
    Name(Name),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub owner: Owner,
    pub ttl: u32,
    pub data: Data,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    A(Ipv4Addr),
    Aaaa(Ipv6Addr),
    Cname(Name),
    Ns(Name),
    Ptr(Name),
    Txt(String),
    Srv { weight: u16, port: u16, target: Name },
    Soa { serial: u32, domain: Name, times: Soa },
}

impl Data {
    pub fn kind(&self) -> u16 {
        match self {
            Self::A(_) => kind::A,
            Self::Aaaa(_) => kind::AAAA,
            Self::Cname(_) => kind::CNAME,
            Self::Ns(_) => kind::NS,
            Self::Ptr(_) => kind::PTR,
            Self::Txt(_) => kind::TXT,
            Self::Srv { .. } => kind::SRV,
            Self::Soa { .. } => kind::SOA,
        }
    }

    pub fn address(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::A(address),
            IpAddr::V6(address) => Self::Aaaa(address),
        }
    }
}

/// A record of the answer and the records that explain it (the address of an SRV's target): the one never goes without
/// the others.
#[derive(Debug, Clone)]
pub struct Answer {
    pub record: Record,
    /// Into [`Body::linked`]. Several answers may share a range.
    pub linked: Range<u32>,
}

/// Everything that could be answered. A body is good for many queries: each gets other answers, in another order.
#[derive(Debug, Clone)]
pub struct Body {
    pub rcode: Rcode,
    pub answers: Vec<Answer>,
    pub linked: Vec<Record>,
    pub authority: Vec<Record>,
    /// Additional records that do not depend on an answer.
    pub additional: Vec<Record>,
    pub shuffled: bool,
    /// At most so many answers, over whatever transport; saying so is not truncation.
    pub most: usize,
    /// Whether there is a limit for clients without EDNS.
    pub udp_limited: bool,
    /// What the network of the client decided about.
    pub by_subnet: bool,
    /// Names of others that must be asked for before this answer is whole.
    pub wanted: Vec<Name>,
    /// False when the same question would get another body next time.
    pub keep: bool,
}

impl Body {
    pub fn new(rcode: Rcode) -> Self {
        Self {
            rcode,
            answers: Vec::new(),
            linked: Vec::new(),
            authority: Vec::new(),
            additional: Vec::new(),
            shuffled: false,
            most: usize::MAX,
            udp_limited: false,
            by_subnet: false,
            wanted: Vec::new(),
            keep: true,
        }
    }

    pub fn push(&mut self, record: Record) {
        self.answers.push(Answer { record, linked: 0..0 });
    }

    pub fn records(&self) -> usize {
        self.answers.len() + self.linked.len() + self.authority.len() + self.additional.len()
    }
}

/// Whole seconds, as far as a record can say.
pub fn seconds(ttl: Duration) -> u32 {
    // RFC 2181: a TTL is 31 bits wide.
    u32::try_from(ttl.as_secs()).unwrap_or(u32::MAX).min(i32::MAX as u32)
}
