//! Keys and values: `/v1/kv`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::http::{Client, Error, WRITE_TIMEOUT, decode};
use crate::query::{Answer, Query, escape};

/// One key. Written out in the order of Consul's own client, which scripts see on the standard input of a handler.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct KvPair {
    pub key: String,
    pub create_index: u64,
    pub modify_index: u64,
    pub lock_index: u64,
    pub flags: u64,
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    pub value: Vec<u8>,
    pub session: String,
}

fn to_base64<S: Serializer>(value: &[u8], output: S) -> Result<S::Ok, S::Error> {
    if value.is_empty() { output.serialize_none() } else { output.serialize_str(&STANDARD.encode(value)) }
}

fn from_base64<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<u8>, D::Error> {
    let text = Option::<String>::deserialize(input)?.unwrap_or_default();
    STANDARD.decode(text).map_err(serde::de::Error::custom)
}

/// What a write of a key depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition<'a> {
    Always,
    /// Only when the key was last changed at this index; 0 means: only when there is none.
    Cas(u64),
    Acquire(&'a str),
    Release(&'a str),
}

impl Condition<'_> {
    fn on(self, query: Query) -> Query {
        match self {
            Self::Always => query,
            Self::Cas(index) => query.with("cas", &index.to_string()),
            Self::Acquire(session) => query.with("acquire", session),
            Self::Release(session) => query.with("release", session),
        }
    }
}

impl Client {
    pub async fn kv(&self, key: &str, query: &Query) -> Result<Answer<Option<KvPair>>, Error> {
        let answer = self.kv_read::<Vec<KvPair>>(key, query).await?;
        let Answer { value, index, hash } = answer;
        Ok(Answer { value: value.unwrap_or_default().into_iter().next(), index, hash })
    }

    /// Every key that begins with `prefix`.
    pub async fn kv_list(&self, prefix: &str, query: &Query) -> Result<Answer<Vec<KvPair>>, Error> {
        let Answer { value, index, hash } =
            self.kv_read::<Vec<KvPair>>(prefix, &query.clone().with("recurse", "")).await?;
        Ok(Answer { value: value.unwrap_or_default(), index, hash })
    }

    /// The names alone, cut behind the first `separator` that follows the prefix.
    pub async fn kv_keys(&self, prefix: &str, separator: &str, query: &Query) -> Result<Answer<Vec<String>>, Error> {
        let mut query = query.clone().with("keys", "");
        if !separator.is_empty() {
            query = query.with("separator", separator);
        }
        let Answer { value, index, hash } = self.kv_read::<Vec<String>>(prefix, &query).await?;
        Ok(Answer { value: value.unwrap_or_default(), index, hash })
    }

    /// `None` for what is not there.
    async fn kv_read<T: DeserializeOwned>(&self, key: &str, query: &Query) -> Result<Answer<Option<T>>, Error> {
        let path = path(key);
        let raw = self.read(&path, query).await?;
        let value = match raw.status {
            StatusCode::NOT_FOUND => None,
            status if status.is_success() => decode::<Option<T>>(&path, &raw.body)?,
            // Consul's client does not read what the server says here, and scripts know its text.
            status => return Err(Error::Refused { status }),
        };
        Ok(Answer { value, index: raw.index(), hash: None })
    }

    /// Whether the condition held.
    pub async fn kv_put(&self, pair: &KvPair, condition: Condition<'_>, query: &Query) -> Result<bool, Error> {
        let mut query = condition.on(query.clone());
        if pair.flags != 0 {
            query = query.with("flags", &pair.flags.to_string());
        }
        self.kv_write(Method::PUT, &pair.key, pair.value.clone().into(), &query).await
    }

    pub async fn kv_delete(&self, key: &str, condition: Condition<'_>, query: &Query) -> Result<bool, Error> {
        self.kv_write(Method::DELETE, key, Bytes::new(), &condition.on(query.clone())).await
    }

    pub async fn kv_delete_tree(&self, prefix: &str, query: &Query) -> Result<bool, Error> {
        self.kv_write(Method::DELETE, prefix, Bytes::new(), &query.clone().with("recurse", "")).await
    }

    async fn kv_write(&self, method: Method, key: &str, body: Bytes, query: &Query) -> Result<bool, Error> {
        let answer = self.send(method, &query.path(&path(key)), body, WRITE_TIMEOUT).await?.success()?;
        Ok(answer.text().contains("true"))
    }
}

fn path(key: &str) -> String {
    format!("/v1/kv/{}", escape(key.trim_start_matches('/')))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_value_is_base64_and_an_empty_one_null() {
        let text = r#"{"LockIndex":1,"Key":"a","Flags":18446744073709551615,"Value":"aGk=","CreateIndex":2}"#;
        let pair: KvPair = serde_json::from_str(text).unwrap();
        assert_eq!((pair.value.as_slice(), pair.flags), (b"hi".as_slice(), u64::MAX));
        let empty: KvPair = serde_json::from_str(r#"{"Key":"a","Value":null}"#).unwrap();
        assert_eq!(
            serde_json::to_string(&empty).unwrap(),
            r#"{"Key":"a","CreateIndex":0,"ModifyIndex":0,"LockIndex":0,"Flags":0,"Value":null,"Session":""}"#
        );
    }

    #[test]
    fn a_condition_is_a_parameter() {
        let query = Condition::Acquire("s").on(Query::default());
        assert_eq!(query.path(&path("/a b")), "/v1/kv/a%20b?acquire=s");
        assert_eq!(Condition::Cas(0).on(Query::default()).path("/x"), "/x?cas=0");
    }
}
