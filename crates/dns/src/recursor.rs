//! Asking the DNS servers that know the rest of the world.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::config::{Config, Strategy};
use crate::name::{self, Name};
use crate::reply::{Data, Owner, Record};
use crate::request::{CLASS_IN, HEADER, Rcode, kind};
use crate::respond::Transport;

/// No client of ours is told more than this over UDP.
const UDP_ANSWER_LIMIT: usize = 65_535;
const RECURSION_DESIRED: u16 = 0x0100;

/// What the first recursor says that has an answer, under the id of `message`. `None` when none has.
pub(crate) async fn forward(config: &Config, message: &[u8], transport: Transport) -> Option<Vec<u8>> {
    let mut recursors = config.recursors.clone();
    if config.recursor_strategy == Strategy::Random {
        fastrand::shuffle(&mut recursors);
    }
    for recursor in recursors {
        match exchange(recursor, message, transport, config.recursor_timeout).await {
            Ok(answer) if has_answered(&answer) => return Some(answer),
            Ok(answer) => debug!(%recursor, rcode = answer[3] & 0xF, "recursor has no answer"),
            Err(error) => warn!(%recursor, %error, "recursor cannot be asked"),
        }
    }
    None
}

/// That a name does not exist is an answer; that a server has failed is none.
fn has_answered(answer: &[u8]) -> bool {
    let rcode = u16::from(answer[3] & 0xF);
    rcode == Rcode::NoError as u16 || rcode == Rcode::NxDomain as u16
}

/// The addresses of a name, and the names on the way to them. Nothing when nobody knows.
pub(crate) async fn resolve(config: &Config, name: &Name, asked: u16) -> Vec<Record> {
    let mut message = Vec::with_capacity(HEADER + name.wire().len() + 4);
    for word in [0, RECURSION_DESIRED, 1, 0, 0, 0] {
        message.extend_from_slice(&u16::to_be_bytes(word));
    }
    message.extend_from_slice(name.wire());
    for word in [if asked == kind::AAAA { kind::AAAA } else { kind::A }, CLASS_IN] {
        message.extend_from_slice(&word.to_be_bytes());
    }
    let mut answer = forward(config, &message, Transport::Udp).await;
    if answer.as_ref().is_some_and(|answer| answer[2] & 0x02 != 0) {
        answer = forward(config, &message, Transport::Tcp).await;
    }
    answer.map(|answer| records(&answer)).unwrap_or_default()
}

/// Under an id and from a port that nobody can guess, so that nobody else can answer.
async fn exchange(recursor: SocketAddr, message: &[u8], transport: Transport, limit: Duration) -> io::Result<Vec<u8>> {
    let mut asked = message.to_vec();
    asked[..2].copy_from_slice(&fastrand::u16(..).to_be_bytes());
    let mut answer = timeout(limit, async {
        match transport {
            Transport::Udp => over_udp(recursor, &asked).await,
            Transport::Tcp => over_tcp(recursor, &asked).await,
        }
    })
    .await??;
    answer[..2].copy_from_slice(&message[..2]);
    Ok(answer)
}

async fn over_udp(recursor: SocketAddr, message: &[u8]) -> io::Result<Vec<u8>> {
    let any: SocketAddr = match recursor {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(recursor).await?;
    socket.send(message).await?;
    let mut answer = vec![0; UDP_ANSWER_LIMIT];
    loop {
        let length = socket.recv(&mut answer).await?;
        if belongs(&answer[..length], message) {
            answer.truncate(length);
            return Ok(answer);
        }
    }
}

async fn over_tcp(recursor: SocketAddr, message: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(recursor).await?;
    let mut frame = (message.len() as u16).to_be_bytes().to_vec();
    frame.extend_from_slice(message);
    stream.write_all(&frame).await?;
    let length = usize::from(stream.read_u16().await?);
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).await?;
    if belongs(&answer, message) { Ok(answer) } else { Err(io::Error::other("an answer to another question")) }
}

/// An answer, to this id and this question. The case of the question is part of it: who mixes it wants to see it again.
fn belongs(answer: &[u8], message: &[u8]) -> bool {
    let question = name::end(message, HEADER).map_or(HEADER, |end| end + 4);
    answer.len() >= HEADER
        && answer[..2] == message[..2]
        && answer[2] & 0x80 != 0
        // Who refuses may leave out the question.
        && (answer[4..6] == [0, 0] || answer.get(HEADER..question) == message.get(HEADER..question))
}

/// The records of an answer that lead to an address.
pub fn records(answer: &[u8]) -> Vec<Record> {
    let mut out = Vec::new();
    let _ = read_records(answer, &mut out);
    out
}

/// `None` as soon as something is broken; what came before it counts.
fn read_records(answer: &[u8], out: &mut Vec<Record>) -> Option<()> {
    let word = |at: usize| Some(u16::from_be_bytes([*answer.get(at)?, *answer.get(at + 1)?]));
    let mut at = HEADER;
    for _ in 0..word(4)? {
        at = name::skip(answer, at)? + 4;
    }
    for _ in 0..word(6)? {
        let (owner, fixed) = name::read(answer, at)?;
        let ttl = u32::from_be_bytes(*answer.get(fixed + 4..fixed + 8)?.first_chunk()?);
        let start = fixed + 10;
        let data = answer.get(start..start + usize::from(word(fixed + 8)?))?;
        at = start + data.len();
        let data = match word(fixed)? {
            kind::A => Data::A(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?)),
            kind::AAAA => Data::Aaaa(Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?)),
            kind::CNAME => Data::Cname(name::read(answer, start)?.0),
            _ => continue,
        };
        out.push(Record { owner: Owner::Name(owner), ttl, data });
    }
    Some(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const QUERY: &[u8] = b"\0\x01\x01\0\0\x01\0\0\0\0\0\0\x01a\0\0\x01\0\x01";
    /// `a CNAME b; b A 192.0.2.1`, names compressed.
    const ANSWER: &[u8] = b"\0\x01\x81\x80\0\x01\0\x02\0\0\0\0\x01a\0\0\x01\0\x01\
        \xC0\x0C\0\x05\0\x01\0\0\0\x3C\0\x03\x01b\0\xC0\x1F\0\x01\0\x01\0\0\0\x3C\0\x04\xC0\0\x02\x01";

    #[test]
    fn answers_are_read() {
        let records = records(ANSWER);
        let b = Name::parse("b").unwrap();
        assert_eq!(records[0].data, Data::Cname(b.clone()));
        assert_eq!(records[1].owner, Owner::Name(b));
        assert_eq!(records[1].data, Data::A(Ipv4Addr::new(192, 0, 2, 1)));
        for cut in 0..ANSWER.len() {
            assert!(super::records(&ANSWER[..cut]).len() < 2, "{cut}");
        }
    }

    #[test]
    fn only_an_answer_to_the_question_counts() {
        assert!(belongs(ANSWER, QUERY));
        for at in [0, 2, 13] {
            let mut other = ANSWER.to_vec();
            other[at] ^= 0x80;
            assert!(!belongs(&other, QUERY), "{at}");
        }
        assert!(!belongs(&ANSWER[..4], QUERY));
    }
}
