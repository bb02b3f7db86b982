//! Reading MessagePack as Go's older encoder writes it, where texts and bytes are the same.

use serde_json::{Map, Number, Value};

/// Deeper nesting is refused instead of running out of stack.
const DEPTH_LIMIT: usize = 64;

/// A value whose texts may be bytes.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Tree {
    Nil,
    Bool(bool),
    Whole(i64),
    Large(u64),
    Float(f64),
    Raw(Vec<u8>),
    List(Vec<Tree>),
    Map(Vec<(Vec<u8>, Tree)>),
}

impl Tree {
    /// As JSON, without what is nil: that is the zero value everywhere.
    pub(super) fn json(&self) -> Value {
        match self {
            Self::Nil => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Whole(value) => Value::from(*value),
            Self::Large(value) => Value::from(*value),
            Self::Float(value) => Number::from_f64(*value).map_or(Value::Null, Value::Number),
            Self::Raw(bytes) => Value::String(String::from_utf8_lossy(bytes).into_owned()),
            Self::List(items) => items.iter().map(Self::json).collect(),
            Self::Map(entries) => {
                let entries = entries.iter().filter(|(_, value)| *value != Self::Nil);
                let key = |key: &[u8]| String::from_utf8_lossy(key).into_owned();
                Value::Object(entries.map(|(name, value)| (key(name), value.json())).collect::<Map<_, _>>())
            }
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        let Self::Map(entries) = self else { return None };
        entries.iter().find(|(key, _)| key == name.as_bytes()).map(|(_, value)| value)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        if let Self::Raw(bytes) = self { bytes } else { &[] }
    }

    pub(super) fn text(&self, name: &str) -> String {
        String::from_utf8_lossy(self.get(name).map_or(&[], Self::bytes)).into_owned()
    }
}

/// Reads one value from the front of `bytes` and moves past it; none: it breaks off or is nothing of the kind.
pub(super) fn read(bytes: &mut &[u8]) -> Option<Tree> {
    value(bytes, 0)
}

fn value(bytes: &mut &[u8], depth: usize) -> Option<Tree> {
    if depth > DEPTH_LIMIT {
        return None;
    }
    let kind = take(bytes, 1)?[0];
    Some(match kind {
        0x00..=0x7f => Tree::Whole(i64::from(kind)),
        0xe0..=0xff => Tree::Whole(i64::from(kind.cast_signed())),
        0x80..=0x8f => map(bytes, usize::from(kind & 0x0f), depth)?,
        0x90..=0x9f => list(bytes, usize::from(kind & 0x0f), depth)?,
        0xa0..=0xbf => Tree::Raw(take(bytes, usize::from(kind & 0x1f))?.to_vec()),
        0xc0 => Tree::Nil,
        0xc2 => Tree::Bool(false),
        0xc3 => Tree::Bool(true),
        0xca => Tree::Float(f64::from(f32::from_be_bytes(take(bytes, 4)?.try_into().ok()?))),
        0xcb => Tree::Float(f64::from_be_bytes(take(bytes, 8)?.try_into().ok()?)),
        0xcc..=0xcf => unsigned(bytes, 1 << (kind - 0xcc)).map(whole)?,
        0xd0 => Tree::Whole(i64::from(take(bytes, 1)?[0].cast_signed())),
        0xd1 => Tree::Whole(i64::from(i16::from_be_bytes(take(bytes, 2)?.try_into().ok()?))),
        0xd2 => Tree::Whole(i64::from(i32::from_be_bytes(take(bytes, 4)?.try_into().ok()?))),
        0xd3 => Tree::Whole(i64::from_be_bytes(take(bytes, 8)?.try_into().ok()?)),
        0xc4..=0xc6 => raw(bytes, 1 << (kind - 0xc4))?,
        0xd9..=0xdb => raw(bytes, 1 << (kind - 0xd9))?,
        0xdc | 0xdd => {
            let count = unsigned(bytes, 2 << (kind - 0xdc))?;
            list(bytes, usize::try_from(count).ok()?, depth)?
        }
        0xde | 0xdf => {
            let count = unsigned(bytes, 2 << (kind - 0xde))?;
            map(bytes, usize::try_from(count).ok()?, depth)?
        }
        _ => return None,
    })
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

fn unsigned(bytes: &mut &[u8], width: usize) -> Option<u64> {
    Some(take(bytes, width)?.iter().fold(0, |number, byte| (number << 8) | u64::from(*byte)))
}

fn whole(number: u64) -> Tree {
    i64::try_from(number).map_or(Tree::Large(number), Tree::Whole)
}

fn raw(bytes: &mut &[u8], width: usize) -> Option<Tree> {
    let length = usize::try_from(unsigned(bytes, width)?).ok()?;
    take(bytes, length).map(|bytes| Tree::Raw(bytes.to_vec()))
}

/// Nothing is reserved for what is only announced.
fn list(bytes: &mut &[u8], count: usize, depth: usize) -> Option<Tree> {
    let mut items = Vec::new();
    for _ in 0..count {
        items.push(value(bytes, depth + 1)?);
    }
    Some(Tree::List(items))
}

fn map(bytes: &mut &[u8], count: usize, depth: usize) -> Option<Tree> {
    let mut entries = Vec::new();
    for _ in 0..count {
        let Tree::Raw(key) = value(bytes, depth + 1)? else { return None };
        entries.push((key, value(bytes, depth + 1)?));
    }
    Some(Tree::Map(entries))
}
