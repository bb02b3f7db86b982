//! The names of keys in the cluster. A fact's is its own key as JSON, which `etcdctl get --prefix` shows readably.

use crate::fact::Key;

/// Everything lies under one prefix, so that a cluster can serve others too.
#[derive(Debug, Clone)]
pub(super) struct Names {
    prefix: String,
}

/// What a name in the cluster stands for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Fact(Key),
    /// A name that lives as long as its lease.
    Life(String),
    /// Written so that a batch without puts has an index of its own.
    Clock,
    Unknown,
}

impl Names {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: format!("{}/", prefix.trim_end_matches('/')) }
    }

    pub(super) fn fact(&self, key: &Key) -> Result<Vec<u8>, serde_json::Error> {
        let mut name = format!("{}facts/", self.prefix).into_bytes();
        serde_json::to_writer(&mut name, key)?;
        Ok(name)
    }

    pub(super) fn life(&self, name: &str) -> Vec<u8> {
        format!("{}live/{name}", self.prefix).into_bytes()
    }

    pub(super) fn clock(&self) -> Vec<u8> {
        format!("{}clock", self.prefix).into_bytes()
    }

    /// The range of everything.
    pub(super) fn all(&self) -> (Vec<u8>, Vec<u8>) {
        let first = self.prefix.clone().into_bytes();
        let mut end = first.clone();
        // The prefix ends in a slash, so its last byte can grow.
        if let Some(last) = end.last_mut() {
            *last += 1;
        }
        (first, end)
    }

    pub(super) fn meaning(&self, name: &[u8]) -> Meaning {
        let Some(rest) = name.strip_prefix(self.prefix.as_bytes()) else { return Meaning::Unknown };
        if rest == b"clock" {
            return Meaning::Clock;
        }
        if let Some(key) = rest.strip_prefix(b"facts/") {
            return serde_json::from_slice(key).map_or(Meaning::Unknown, Meaning::Fact);
        }
        let life = rest.strip_prefix(b"live/").and_then(|name| std::str::from_utf8(name).ok());
        life.map_or(Meaning::Unknown, |name| Meaning::Life(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_are_read_back() {
        let names = Names::new("mesh/");
        for key in [Key::service("N", "a/\"b\""), Key::Kv("é\n".into()), Key::CaSerial] {
            assert_eq!(names.meaning(&names.fact(&key).unwrap()), Meaning::Fact(key));
        }
        assert_eq!(names.meaning(&names.life("a/b")), Meaning::Life("a/b".to_owned()));
        assert_eq!(names.meaning(&names.clock()), Meaning::Clock);
        assert_eq!(names.meaning(b"mesh/facts/{"), Meaning::Unknown);
        assert_eq!(names.all(), (b"mesh/".to_vec(), b"mesh0".to_vec()));
    }
}
