//! Domain names in the form of the wire: each label behind its length, then the zero of the root.

use std::fmt;
use std::sync::Arc;

/// The longest name, with all lengths and the root's zero (RFC 1035, 2.3.4).
pub const NAME_LIMIT: usize = 255;
const LABEL_LIMIT: usize = 63;

/// A whole name. Cheap to clone: the same name stands in an answer and in what belongs to it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Name(Arc<[u8]>);

impl Name {
    /// From text, with or without the dot at the end. A dot always parts labels: there are no escapes here.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let labels: &[&str] = if text.is_empty() { &[] } else { &[text] };
        Self::join(labels, &Self::root())
    }

    pub fn root() -> Self {
        Self(Arc::new([0]))
    }

    /// `parts` below `parent`; a part may hold several labels. `None` when that is no name.
    pub fn join(parts: &[&str], parent: &Self) -> Option<Self> {
        let length: usize = parts.iter().map(|part| part.len() + 1).sum::<usize>() + parent.0.len();
        if length > NAME_LIMIT {
            return None;
        }
        let mut wire = Vec::with_capacity(length);
        for label in parts.iter().flat_map(|part| part.split('.')) {
            if label.is_empty() || label.len() > LABEL_LIMIT {
                return None;
            }
            wire.push(label.len() as u8);
            wire.extend_from_slice(label.as_bytes());
        }
        wire.extend_from_slice(&parent.0);
        Some(Self(wire.into()))
    }

    /// Of bytes that `end` has found to be a whole name.
    pub fn of_wire(wire: &[u8]) -> Self {
        Self(wire.into())
    }

    pub fn wire(&self) -> &[u8] {
        &self.0
    }

    pub fn to_lowercase(&self) -> Self {
        Self(self.0.to_ascii_lowercase().into())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for label in labels(&self.0) {
            write!(f, "{}.", label.escape_ascii())?;
        }
        if self.0.len() == 1 { f.write_str(".") } else { Ok(()) }
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The labels of an uncompressed name.
pub fn labels(wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = wire;
    std::iter::from_fn(move || {
        let (length, behind) = rest.split_first()?;
        if *length == 0 {
            return None;
        }
        let (label, behind) = behind.split_at_checked(usize::from(*length))?;
        rest = behind;
        Some(label)
    })
}

/// Where the uncompressed name that begins at `start` ends; `None` when it is broken or compressed.
pub fn end(message: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    loop {
        let length = usize::from(*message.get(at)?);
        if length > LABEL_LIMIT {
            return None;
        }
        at += 1 + length;
        if at - start > NAME_LIMIT {
            return None;
        }
        if length == 0 {
            return Some(at);
        }
    }
}

/// Where a name ends that may be compressed, without following it.
pub fn skip(message: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            pointer if pointer >= 0xC0 => return (at + 2 <= message.len()).then_some(at + 2),
            length if usize::from(length) <= LABEL_LIMIT => at += 1 + usize::from(length),
            _ => return None,
        }
    }
}

/// The name that begins at `start`, compressed or not, and where it ends there. Pointers must lead backwards, so
/// there is no way in circles.
pub fn read(message: &[u8], start: usize) -> Option<(Name, usize)> {
    let after = skip(message, start)?;
    let mut wire = Vec::with_capacity(NAME_LIMIT);
    let (mut at, mut highest) = (start, start);
    loop {
        let length = *message.get(at)?;
        if length >= 0xC0 {
            let target = usize::from(length & 0x3F) << 8 | usize::from(*message.get(at + 1)?);
            if target >= highest {
                return None;
            }
            (at, highest) = (target, target);
            continue;
        }
        if usize::from(length) > LABEL_LIMIT {
            return None;
        }
        let label = message.get(at..=at + usize::from(length))?;
        wire.extend_from_slice(label);
        if wire.len() > NAME_LIMIT {
            return None;
        }
        if length == 0 {
            return Some((Name(wire.into()), after));
        }
        at += label.len();
    }
}

/// What stands before `domain` in `name`, without an end; both are lower case. `None` when it is not below it.
pub fn below<'a>(name: &'a [u8], domain: &Name) -> Option<&'a [u8]> {
    let cut = name.len().checked_sub(domain.0.len())?;
    if name[cut..] != *domain.0 {
        return None;
    }
    // The bytes of a label may look like a name; only a boundary of labels counts.
    let mut at = 0;
    while at < cut {
        at += 1 + usize::from(name[at]);
    }
    (at == cut).then(|| &name[..cut])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn text_and_wire() {
        assert_eq!(Name::parse("ab.c").unwrap().wire(), b"\x02ab\x01c\0");
        assert_eq!(Name::parse("ab.c.").unwrap(), Name::parse("ab.c").unwrap());
        assert_eq!(Name::parse(".").unwrap(), Name::root());
        assert_eq!(Name::root().to_string(), ".");
        assert!(Name::parse("a..b").is_none());
        assert!(Name::parse(&"x".repeat(64)).is_none());
        assert!(Name::parse(&"x.".repeat(130)).is_none());
    }

    #[test]
    fn only_whole_labels_are_below_a_domain() {
        let domain = Name::parse("consul").unwrap();
        let name = |text: &str| Name::parse(text).unwrap().wire().to_vec();
        assert_eq!(below(&name("a.consul"), &domain), Some(&b"\x01a"[..]));
        assert_eq!(below(&name("consul"), &domain), Some(&b""[..]));
        assert_eq!(below(&name("notconsul"), &domain), None);
        // One label whose bytes end like the name of the domain.
        assert_eq!(below(b"\x09a\x06consul\0\0", &domain), None);
        assert_eq!(below(b"\x08x\x06consul\0", &domain), None);
        assert!(below(&name("a.b"), &Name::root()).is_some());
    }

    #[test]
    fn compressed_names_are_read_and_circles_are_not() {
        let message = b"\x01a\x01b\0\x01c\xC0\x02\xC0\x05\xC0\x0B";
        assert_eq!(read(message, 5).unwrap(), (Name::parse("c.b").unwrap(), 9));
        assert_eq!(read(message, 9).unwrap(), (Name::parse("c.b").unwrap(), 11));
        assert!(read(message, 11).is_none());
        assert!(read(b"\xC0", 0).is_none());
        assert!(read(b"\x05ab", 0).is_none());
    }
}
