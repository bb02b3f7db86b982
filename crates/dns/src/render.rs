//! From a body to the bytes of one answer: the choice, the order, the size.

use crate::config::Config;
use crate::reply::Body;
use crate::request::{Edns, HEADER, Rcode, Refusal, Request};
use crate::respond::Transport;
use crate::writer::{NameTable, Writer};

/// What a client can take that does not say it.
const UDP_SIZE: usize = 512;
/// The least that any answer record takes, with its name compressed: an address.
const LEAST_RECORD: usize = 16;
/// So many answers show how large one is.
const SAMPLE: usize = 8;
const OPT: &[u8] = &[0, 0, 41];
const OPTION_CLIENT_SUBNET: u16 = 8;

/// Memory that is used for message after message.
pub struct Renderer {
    names: NameTable,
    /// Numbers of answers, in an order that gets more random with every answer.
    order: Vec<u32>,
    /// Which ranges of linked records were written, by their first record.
    written: Vec<bool>,
}

/// Everything one message is made of.
struct Parts<'a> {
    request: &'a Request<'a>,
    body: &'a Body,
    config: &'a Config,
    limit: usize,
}

impl Renderer {
    pub fn new() -> Self {
        Self { names: NameTable::new(), order: Vec::new(), written: Vec::new() }
    }

    /// Writes the answer into `out`: as many records as there is room for.
    pub fn render(
        &mut self,
        out: &mut Vec<u8>,
        request: &Request<'_>,
        body: &Body,
        config: &Config,
        transport: Transport,
    ) {
        let limit = room(request, transport);
        let parts = Parts { request, body, config, limit };
        let all = body.answers.len().min(body.most);
        let mut count = all;
        if transport == Transport::Udp && body.udp_limited && limit == UDP_SIZE {
            count = count.min(config.udp_answers());
        }
        // A list of thousands that cannot fit need not be tried.
        count = count.min(limit / LEAST_RECORD);
        self.choose(body, count);
        if !self.write(out, &parts, count, true) {
            self.shrink(out, &parts, count);
        }
    }

    /// Puts the answers of this message first.
    fn choose(&mut self, body: &Body, count: usize) {
        let total = body.answers.len();
        if self.order.len() != total || !body.shuffled {
            self.order.clear();
            self.order.extend(0..total as u32);
        }
        if body.shuffled {
            for i in 0..count.min(total.saturating_sub(1)) {
                self.order.swap(i, fastrand::usize(i..total));
            }
        }
    }

    /// Finds how many answers fit: by the size of a few, then by halving. When not even one does with what belongs to
    /// it, it goes alone.
    fn shrink(&mut self, out: &mut Vec<u8>, parts: &Parts<'_>, too_many: usize) {
        let (mut fits, mut too_many, mut guess) = (0, too_many, SAMPLE.min(too_many / 2));
        let mut written = None;
        while guess > fits {
            let good = self.write(out, parts, guess, true);
            written = good.then_some(guess);
            if good {
                fits = guess;
                let each = (out.len() / guess).max(1);
                guess = (fits + parts.limit.saturating_sub(out.len()) / each).min(too_many - 1);
            } else {
                too_many = guess;
                guess = fits + (too_many - fits) / 2;
            }
        }
        let wanted = parts.body.answers.len().min(1);
        let _ = fits >= wanted && (written == Some(fits) || self.write(out, parts, fits, true))
            || self.write(out, parts, wanted, false)
            || self.write(out, parts, 0, false);
    }

    /// Writes the first `count` answers; `false` when they do not fit.
    fn write(&mut self, out: &mut Vec<u8>, parts: &Parts<'_>, count: usize, extras: bool) -> bool {
        let Parts { request, body, config, limit } = parts;
        let options = request.edns.as_ref().map(|edns| opt(edns, body)).unwrap_or_default();
        let question = (request.name, request.kind, request.class);
        let room = limit.saturating_sub(options.len());
        let mut writer = Writer::new(out, &mut self.names, question, room, !config.disable_compression);
        let chosen = &self.order[..count];
        for number in chosen {
            if !writer.record(&body.answers[*number as usize].record) {
                return false;
            }
        }
        let (mut authority, mut additional) = (0, u16::from(!options.is_empty()));
        for record in body.authority.iter().filter(|_| extras) {
            if !writer.record(record) {
                return false;
            }
            authority += 1;
        }
        self.written.clear();
        self.written.resize(if extras { body.linked.len() } else { 0 }, false);
        let mut linked = chosen.iter().map(|number| body.answers[*number as usize].linked.clone());
        while let Some(range) = linked.next().filter(|_| extras) {
            let records = &body.linked[range.start as usize..range.end as usize];
            if records.is_empty() || std::mem::replace(&mut self.written[range.start as usize], true) {
                continue;
            }
            for record in records {
                if !writer.record(record) {
                    return false;
                }
                additional += 1;
            }
        }
        for record in &body.additional {
            // What nobody asked for is left out without a word when there is no room.
            if !extras || !writer.record_if_it_fits(record) {
                break;
            }
            additional += 1;
        }
        writer.bytes(&options);
        let truncated = count < body.answers.len().min(body.most) && truncation_is_told(body, config, count);
        writer.header([request.id, flags(parts, truncated), 1, count as u16, authority, additional]);
        true
    }
}

/// A part of a service's instances is an answer of its own, and told to be a part only when the configuration wants it.
fn truncation_is_told(body: &Body, config: &Config, count: usize) -> bool {
    config.enable_truncate || !body.udp_limited || count == 0
}

fn room(request: &Request<'_>, transport: Transport) -> usize {
    match (transport, &request.edns) {
        (Transport::Tcp, _) => usize::from(u16::MAX),
        (Transport::Udp, None) => UDP_SIZE,
        (Transport::Udp, Some(edns)) => usize::from(edns.size).max(UDP_SIZE),
    }
}

fn flags(parts: &Parts<'_>, truncated: bool) -> u16 {
    let Parts { request, body, config, .. } = parts;
    let authoritative = !matches!(body.rcode, Rcode::Refused | Rcode::ServFail | Rcode::BadVers);
    // Whoever is told that recursion failed was given it.
    let recursion = !config.recursors.is_empty() || body.rcode == Rcode::ServFail;
    let bits = [
        (true, 0x8000),
        (authoritative, 0x0400),
        (truncated, 0x0200),
        (request.recursion_desired, 0x0100),
        (recursion, 0x0080),
        (request.checking_disabled, 0x0010),
    ];
    bits.iter().filter(|(set, _)| *set).fold(body.rcode as u16 & 0xF, |flags, (_, bit)| flags | bit)
}

/// The OPT record of an answer: the client's own size, and its subnet with the scope of this answer.
fn opt(edns: &Edns<'_>, body: &Body) -> Vec<u8> {
    let mut out = Vec::with_capacity(40);
    out.extend_from_slice(OPT);
    out.extend_from_slice(&edns.size.to_be_bytes());
    out.extend_from_slice(&[(body.rcode as u16 >> 4) as u8, 0, 0, 0]);
    let Some(subnet) = &edns.subnet else {
        out.extend_from_slice(&[0, 0]);
        return out;
    };
    let scope = if body.by_subnet && body.rcode == Rcode::NoError { subnet.prefix } else { 0 };
    let length = 4 + subnet.address.len() as u16;
    for word in [4 + length, OPTION_CLIENT_SUBNET, length, subnet.family] {
        out.extend_from_slice(&word.to_be_bytes());
    }
    out.extend_from_slice(&[subnet.prefix, scope]);
    out.extend_from_slice(subnet.address);
    out
}

/// The answer to what is no request: the header of the message with the code, and nothing else.
pub fn refuse(out: &mut Vec<u8>, message: &[u8], refusal: Refusal) -> bool {
    let (Refusal::Header(rcode), Some(header)) = (refusal, message.get(..HEADER)) else { return false };
    out.clear();
    out.extend_from_slice(&[header[0], header[1], header[2] & 0x79 | 0x80, rcode as u8]);
    out.resize(HEADER, 0);
    true
}
