//! Queries, and what a test looks at in an answer.

use dns::Name;

pub fn query(name: &str, kind: u16) -> Vec<u8> {
    let mut out = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    out.extend_from_slice(Name::parse(name).unwrap().wire());
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&[0, 1]);
    out
}

pub fn with_edns(mut query: Vec<u8>, size: u16) -> Vec<u8> {
    query[11] = 1;
    query.extend_from_slice(&[0, 0, 41]);
    query.extend_from_slice(&size.to_be_bytes());
    query.extend_from_slice(&[0; 6]);
    query
}

#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    pub rcode: u8,
    pub truncated: bool,
    pub answers: usize,
    pub authority: usize,
    pub additional: usize,
}

pub fn seen(message: &[u8]) -> Seen {
    let word = |at: usize| usize::from(u16::from_be_bytes([message[at], message[at + 1]]));
    Seen {
        rcode: message[3] & 0xF,
        truncated: message[2] & 2 != 0,
        answers: word(6),
        authority: word(8),
        additional: word(10),
    }
}

/// The time to live of the first answer, whose name must be compressed.
pub fn ttl(message: &[u8]) -> u32 {
    let question = message[12..].iter().position(|byte| *byte == 0).unwrap() + 12 + 5;
    assert_eq!(message[question..question + 2], [0xC0, 12]);
    u32::from_be_bytes(message[question + 6..question + 10].try_into().unwrap())
}
