//! Writing a message: records, compressed names, and never beyond a limit.

use crate::name;
use crate::reply::{Data, Owner, Record};
use crate::request::{CLASS_IN, HEADER};

/// Slots of the table of names already written; a power of two.
const SLOTS: usize = 1024;
/// When so many are taken, later names are written out.
const SLOTS_USED: usize = SLOTS * 3 / 4;
/// A pointer has 14 bits.
const POINTER_LIMIT: usize = 0x4000;
const POINTER: u16 = 0xC000;
const SRV_PRIORITY: u16 = 1;
const TXT_PIECE: usize = 255;

/// Where the ends of names stand in the message being written. Kept from message to message for its memory.
pub struct NameTable {
    /// Offsets; no name begins at 0, where the header is.
    slots: Box<[u16; SLOTS]>,
    used: Vec<u16>,
}

impl NameTable {
    pub fn new() -> Self {
        Self { slots: Box::new([0; SLOTS]), used: Vec::new() }
    }

    fn clear(&mut self) {
        for slot in self.used.drain(..) {
            self.slots[usize::from(slot)] = 0;
        }
    }

    /// The offset at which exactly this name stands, or the slot where it belongs.
    fn find(&self, message: &[u8], name: &[u8]) -> Result<u16, u16> {
        let mut slot = hash(name) as usize % SLOTS;
        loop {
            match self.slots[slot] {
                0 => return Err(slot as u16),
                offset if stands_at(message, offset, name) => return Ok(offset),
                _ => slot = (slot + 1) % SLOTS,
            }
        }
    }

    fn insert(&mut self, slot: u16, offset: usize) {
        if self.used.len() < SLOTS_USED && offset < POINTER_LIMIT {
            self.slots[usize::from(slot)] = offset as u16;
            self.used.push(slot);
        }
    }
}

/// FNV-1a.
fn hash(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811C_9DC5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// Case counts: a pointer must not change how a name is spelt.
fn stands_at(message: &[u8], offset: u16, mut name: &[u8]) -> bool {
    let mut at = usize::from(offset);
    loop {
        let Some(length) = message.get(at) else { return false };
        if *length >= 0xC0 {
            let Some(low) = message.get(at + 1) else { return false };
            at = usize::from(length & 0x3F) << 8 | usize::from(*low);
            continue;
        }
        let label = 1 + usize::from(*length);
        if message.get(at..at + label) != name.get(..label) {
            return false;
        }
        if *length == 0 {
            return true;
        }
        at += label;
        name = &name[label..];
    }
}

/// One message. What does not fit is told by `false`; the message is then of no use.
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    names: &'a mut NameTable,
    limit: usize,
    compress: bool,
    question: &'a [u8],
}

impl<'a> Writer<'a> {
    /// Begins with room for the header and the question.
    pub fn new(
        out: &'a mut Vec<u8>,
        names: &'a mut NameTable,
        question: (&'a [u8], u16, u16),
        limit: usize,
        compress: bool,
    ) -> Self {
        out.clear();
        names.clear();
        let (name, kind, class) = question;
        let mut writer = Self { out, names, limit, compress, question: name };
        writer.out.extend_from_slice(&[0; HEADER]);
        writer.name(name);
        writer.word(kind);
        writer.word(class);
        writer
    }

    pub fn fits(&self) -> bool {
        self.out.len() <= self.limit
    }

    /// The header in front of everything, at the end.
    pub fn header(&mut self, header: [u16; 6]) {
        for (i, word) in header.into_iter().enumerate() {
            self.out[2 * i..2 * i + 2].copy_from_slice(&word.to_be_bytes());
        }
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    pub fn record(&mut self, record: &Record) -> bool {
        match &record.owner {
            Owner::Question if self.compress => self.word(POINTER | HEADER as u16),
            Owner::Question => self.bytes(self.question),
            Owner::Name(name) => self.name(name.wire()),
        }
        self.word(record.data.kind());
        self.word(CLASS_IN);
        self.bytes(&record.ttl.to_be_bytes());
        let length_at = self.out.len();
        self.word(0);
        self.data(&record.data);
        let length = self.out.len() - length_at - 2;
        self.out[length_at..length_at + 2].copy_from_slice(&(length as u16).to_be_bytes());
        self.fits()
    }

    /// Leaves the message as it was when there is no room.
    pub fn record_if_it_fits(&mut self, record: &Record) -> bool {
        let before = self.out.len();
        let fits = self.record(record);
        if !fits {
            self.out.truncate(before);
        }
        fits
    }

    fn data(&mut self, data: &Data) {
        match data {
            Data::A(address) => self.bytes(&address.octets()),
            Data::Aaaa(address) => self.bytes(&address.octets()),
            Data::Cname(name) | Data::Ns(name) | Data::Ptr(name) => self.name(name.wire()),
            Data::Txt(text) => self.text(text.as_bytes()),
            Data::Srv { weight, port, target } => {
                self.word(SRV_PRIORITY);
                self.word(*weight);
                self.word(*port);
                self.name_in_full(target.wire());
            }
            Data::Soa { serial, domain, times } => {
                for label in [&b"\x02ns"[..], &b"\x0Ahostmaster"[..]] {
                    self.bytes(label);
                    self.name(domain.wire());
                }
                for number in [*serial, times.refresh, times.retry, times.expire, times.min_ttl] {
                    self.bytes(&number.to_be_bytes());
                }
            }
        }
    }

    fn text(&mut self, text: &[u8]) {
        if text.is_empty() {
            self.out.push(0);
        }
        for piece in text.chunks(TXT_PIECE) {
            self.out.push(piece.len() as u8);
            self.bytes(piece);
        }
    }

    fn word(&mut self, word: u16) {
        self.bytes(&word.to_be_bytes());
    }

    /// RFC 2782 lets no pointer stand in an SRV record; a later name may still point at this one.
    fn name_in_full(&mut self, name: &[u8]) {
        let (start, mut rest) = (self.out.len(), name);
        self.bytes(name);
        for label in name::labels(name) {
            match self.names.find(self.out, rest) {
                Ok(_) => return,
                Err(slot) => self.names.insert(slot, start + name.len() - rest.len()),
            }
            rest = &rest[1 + label.len()..];
        }
    }

    fn name(&mut self, name: &[u8]) {
        if !self.compress {
            return self.bytes(name);
        }
        let mut rest = name;
        for label in name::labels(name) {
            match self.names.find(self.out, rest) {
                Ok(offset) => return self.word(POINTER | offset),
                Err(slot) => self.names.insert(slot, self.out.len()),
            }
            let label = &rest[..=label.len()];
            self.out.extend_from_slice(label);
            rest = &rest[label.len()..];
        }
        self.out.push(0);
    }
}
