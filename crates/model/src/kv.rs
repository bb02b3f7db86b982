//! Keys and values, and the sessions that hold locks on them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes that mean something to their owner only. Cheap to clone; `Debug` shows the size, since values hold secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Blob(Arc<[u8]>);

impl Blob {
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&[u8]> for Blob {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blob({} bytes)", self.0.len())
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl<'de> serde::de::Visitor<'de> for Bytes {
            type Value = Blob;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Blob, E> {
                Ok(Blob::from(bytes))
            }

            /// Formats without bytes of their own (JSON) write a list of numbers.
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<Blob, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = list.next_element::<u8>()? {
                    bytes.push(byte);
                }
                Ok(Blob::from(bytes.as_slice()))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

/// One key of the key-value store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KvEntry {
    pub key: String,
    pub value: Blob,
    /// The client's own.
    pub flags: u64,
    /// How often the key was locked.
    pub lock_index: u64,
    /// The session that holds the lock; empty: nobody does.
    pub session: String,
}

/// What becomes of the keys that a session holds when it ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SessionBehavior {
    #[default]
    Release,
    Delete,
}

/// A holder of locks: it ends with its node, its checks or its time to live.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Session {
    pub id: String,
    pub name: String,
    pub node: String,
    /// Ids of checks of the node that must exist and not be critical.
    pub node_checks: Vec<String>,
    /// Ids of checks of services on the node, the same.
    pub service_checks: Vec<String>,
    /// The same in the form of older clients, which name both kinds at once.
    pub checks: Vec<String>,
    /// A lock that was lost with its session cannot be taken again for that long.
    pub lock_delay: Duration,
    pub behavior: SessionBehavior,
    /// As given, such as `10s`; empty: none.
    pub ttl: String,
}

impl Session {
    /// The ids of all checks it lives on.
    pub fn all_checks(&self) -> impl Iterator<Item = &String> {
        self.node_checks.iter().chain(&self.service_checks).chain(&self.checks)
    }
}
