//! The stored form of facts: MessagePack with named fields. Unlike the compact formats it carries every type that serde
//! can describe (free maps, untagged and renamed enums), and what was written before a field existed is still read.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::fact::{Batch, Fact, Key};

pub(crate) type EncodeError = rmp_serde::encode::Error;
pub(crate) type DecodeError = rmp_serde::decode::Error;

pub(crate) fn encode<T: Serialize>(value: &T, into: &mut Vec<u8>) -> Result<(), EncodeError> {
    rmp_serde::encode::write_named(into, value)
}

/// Reads one value from the front of `bytes` and moves past it.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &mut &[u8]) -> Result<T, DecodeError> {
    rmp_serde::from_read(bytes)
}

/// A batch without its guards: they have been judged.
#[derive(Serialize)]
struct Judged<'a> {
    #[serde(skip_serializing_if = "<[Fact]>::is_empty")]
    puts: &'a [Fact],
    #[serde(skip_serializing_if = "<[Key]>::is_empty")]
    deletes: &'a [Key],
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Stored {
    puts: Vec<Fact>,
    deletes: Vec<Key>,
}

pub(super) fn encode_batch(batch: &Batch, into: &mut Vec<u8>) -> Result<(), EncodeError> {
    encode(&Judged { puts: &batch.puts, deletes: &batch.deletes }, into)
}

pub(super) fn decode_batch(bytes: &mut &[u8]) -> Result<Batch, DecodeError> {
    let Stored { puts, deletes } = decode(bytes)?;
    Ok(Batch { guards: Vec::new(), puts, deletes })
}
