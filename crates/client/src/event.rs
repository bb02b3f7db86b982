//! User events: `/v1/event`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Method;
use serde::{Deserialize, Serialize};

use crate::http::{Client, Error, WRITE_TIMEOUT, decode};
use crate::query::{Answer, Query, escape};
use crate::shapes::or_null;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Event {
    #[serde(rename = "ID")]
    pub id: String,
    pub name: String,
    /// Base64.
    pub payload: Option<String>,
    pub node_filter: String,
    pub service_filter: String,
    pub tag_filter: String,
    pub version: u64,
    #[serde(rename = "LTime")]
    pub ltime: u64,
}

impl Event {
    pub fn payload(&self) -> Vec<u8> {
        STANDARD.decode(self.payload.as_deref().unwrap_or_default()).unwrap_or_default()
    }

    /// The event's place in a list, as `X-Consul-Index` tells it: both halves of its id over one another.
    pub fn index(&self) -> u64 {
        let digits: String = self.id.chars().filter(|c| *c != '-').collect();
        let half = |range| digits.get(range).and_then(|text| u64::from_str_radix(text, 16).ok());
        half(0..16).zip(half(16..32)).map_or(0, |(high, low)| high ^ low)
    }
}

/// Regular expressions that say whom an event concerns; an empty one says everybody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    pub node: String,
    pub service: String,
    pub tag: String,
}

impl Client {
    /// Gives the event's id.
    pub async fn event_fire(
        &self,
        name: &str,
        payload: Bytes,
        filter: &EventFilter,
        query: &Query,
    ) -> Result<String, Error> {
        let given = [("node", &filter.node), ("service", &filter.service), ("tag", &filter.tag)];
        let given = given.into_iter().filter(|(_, value)| !value.is_empty());
        let query = given.fold(query.clone(), |query, (name, value)| query.with(name, value));
        let path = query.path(&format!("/v1/event/fire/{}", escape(name)));
        let answer = self.send(Method::PUT, &path, payload, WRITE_TIMEOUT).await?.success()?;
        Ok(decode::<Event>(&path, &answer.body)?.id)
    }

    /// The latest events, of this name when one is given, the oldest first.
    pub async fn event_list(&self, name: &str, query: &Query) -> Result<Answer<Vec<Event>>, Error> {
        let query = if name.is_empty() { query.clone() } else { query.clone().with("name", name) };
        let answer = self.get::<Events>("/v1/event/list", &query).await?;
        Ok(Answer { value: answer.value.0, index: answer.index, hash: None })
    }
}

#[derive(Deserialize)]
struct Events(#[serde(deserialize_with = "or_null")] Vec<Event>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_events_index_is_made_of_its_id() {
        let event = Event { id: "00000000-0000-0001-0000-000000000003".to_owned(), ..Event::default() };
        assert_eq!(event.index(), 2);
        assert_eq!(Event::default().index(), 0);
    }
}
