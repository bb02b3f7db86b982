//! The parameters every route understands, and a multi-map of all of them for those that only one does.

use std::time::Duration;

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::request::Parts;
use model::Token;

use crate::authorizer::Filtered;
use crate::error::Error;
use crate::policy::Waits;

/// All query parameters, decoded, in the order given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params(Vec<(String, String)>);

impl Params {
    pub fn parse(query: &str) -> Self {
        let pair = |part: &str| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (decode(name, true), decode(value, true))
        };
        Self(query.split('&').filter(|part| !part.is_empty()).map(pair).collect())
    }

    /// The first value; a bare name has the empty one.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The first value, the empty string when there is none, as Go's `Get` has it.
    pub fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// 400 when more than one of `names` is given.
    pub(crate) fn refuse_conflict(&self, names: &[&str]) -> Result<(), Error> {
        if names.iter().filter(|name| self.has(name)).count() < 2 {
            return Ok(());
        }
        Err(Error::Invalid(format!("Conflicting flags: {}", self.encode())))
    }

    /// As Go writes a query: sorted by name.
    fn encode(&self) -> String {
        let mut pairs: Vec<_> = self.0.iter().collect();
        pairs.sort_by_key(|(name, _)| name);
        let pairs = pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value)));
        pairs.collect::<Vec<_>>().join("&")
    }

    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// Percent-decodes; in a query `+` is a space.
pub(crate) fn decode(text: &str, plus: bool) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match (bytes[at], escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 2;
            }
            (b'+', _) if plus => out.push(b' '),
            (byte, _) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Percent-encodes for a query; a space is `+`.
fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// A number as Go reads it, refused in Go's words.
pub(crate) fn parse_uint(text: &str) -> Result<u64, Error> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let why = if digits { "value out of range" } else { "invalid syntax" };
    let refused = || Error::Refused(format!("strconv.ParseUint: parsing {text:?}: {why}"));
    if digits { text.parse().map_err(|_| refused()) } else { Err(refused()) }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Consistency {
    #[default]
    Leader,
    Consistent,
    Stale,
}

impl Consistency {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Consistent => "consistent",
            Self::Stale => "stale",
        }
    }
}

/// What a read asks for.
#[derive(Debug, Clone, Default)]
pub struct QueryOptions {
    pub params: Params,
    /// Block until the topic's index is past this one; 0: do not block.
    pub index: u64,
    /// Block until the content's hash is another one (agent routes).
    pub hash: Option<String>,
    /// Zero: the default.
    pub wait: Duration,
    pub consistency: Consistency,
    pub cached: bool,
    /// Empty: this datacenter.
    pub dc: String,
    /// Empty: none.
    pub filter: String,
    /// Empty: unsorted.
    pub near: String,
    /// `X-Consul-Token`, `Authorization: Bearer`, or `?token=`; empty: none.
    pub token: Token,
    /// `key:value` pairs that a node must all have.
    pub node_meta: Vec<(String, String)>,
    pub(crate) filtered: Filtered,
}

impl QueryOptions {
    pub fn parse(query: &str) -> Result<Self, Error> {
        let params = Params::parse(query);
        if params.has("ns") {
            return Err(Error::BadRequest(
                "Invalid query parameter: \"ns\" - Namespaces are a Consul Enterprise feature".to_owned(),
            ));
        }
        let wait = match params.text("wait") {
            "" => Duration::ZERO,
            text => model::parse_duration(text).map_err(|_| Error::Invalid("Invalid wait time".to_owned()))?,
        };
        let index = match params.text("index") {
            "" => 0,
            text => text.parse().map_err(|_| Error::Invalid("Invalid index".to_owned()))?,
        };
        let node_meta = params.all("node-meta").map(|pair| {
            let (key, value) = pair.split_once(':').unwrap_or((pair, ""));
            (key.to_owned(), value.to_owned())
        });
        Ok(Self {
            index,
            hash: params.get("hash").filter(|hash| !hash.is_empty()).map(str::to_owned),
            wait,
            consistency: consistency(&params)?,
            cached: params.has("cached"),
            dc: params.text("dc").to_owned(),
            filter: params.text("filter").to_owned(),
            near: params.text("near").to_owned(),
            token: Token(params.text("token").to_owned()),
            node_meta: node_meta.collect(),
            params,
            filtered: Filtered::default(),
        })
    }
}

fn consistency(params: &Params) -> Result<Consistency, Error> {
    let conflict =
        |a: &str, b: &str| Err(Error::Invalid(format!("Cannot specify ?{a} with ?{b}, conflicting semantics.")));
    match (params.has("stale"), params.has("consistent"), params.has("cached")) {
        (true, true, _) => conflict("stale", "consistent"),
        (_, true, true) => conflict("cached", "consistent"),
        (true, false, _) => Ok(Consistency::Stale),
        (false, true, false) => Ok(Consistency::Consistent),
        (false, false, _) => Ok(Consistency::Leader),
    }
}

impl<S: Send + Sync> FromRequestParts<S> for QueryOptions {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        if parts.headers.contains_key("x-consul-namespace") {
            return Err(Error::BadRequest(
                "Invalid header: \"X-Consul-Namespace\" - Namespaces are a Consul Enterprise feature".to_owned(),
            ));
        }
        let mut options = Self::parse(parts.uri.query().unwrap_or_default())?;
        if let Some(waits) = parts.extensions.get::<Waits>() {
            options.wait = waits.bound(options.wait);
        }
        if options.token.0.is_empty() {
            options.token = Token(token_of(&parts.headers).to_owned());
        }
        if let Some(filtered) = parts.extensions.get::<Filtered>() {
            options.filtered = filtered.clone();
        }
        Ok(options)
    }
}

fn token_of(headers: &HeaderMap) -> &str {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = || text("authorization").and_then(|value| value.strip_prefix("Bearer ")).map(str::trim);
    text("x-consul-token").filter(|token| !token.is_empty()).or_else(bearer).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn reads_what_consul_reads_and_refuses_in_its_words() {
        let options = QueryOptions::parse("index=7&wait=1m30s&stale&tag=a&tag=b%2Fc&node-meta=k:v:w&filter=A+%3D%3D+b");
        let options = options.unwrap();
        assert_eq!((options.index, options.wait), (7, Duration::from_secs(90)));
        assert_eq!(options.consistency, Consistency::Stale);
        assert_eq!(options.params.all("tag").collect::<Vec<_>>(), ["a", "b/c"]);
        assert_eq!(options.node_meta, [("k".to_owned(), "v:w".to_owned())]);
        assert_eq!(options.filter, "A == b");
        let params = Params::parse("recurse&cas=b%2Fc&a+b");
        let conflict = params.refuse_conflict(&["cas", "recurse"]).unwrap_err();
        assert_eq!(conflict.to_string(), "Conflicting flags: a+b=&cas=b%2Fc&recurse=");
        assert!(params.refuse_conflict(&["cas", "acquire"]).is_ok());
        for (query, text) in [
            ("index=-1", "Invalid index"),
            ("wait=5", "Invalid wait time"),
            ("stale&consistent", "Cannot specify ?stale with ?consistent, conflicting semantics."),
            ("cached&consistent", "Cannot specify ?cached with ?consistent, conflicting semantics."),
        ] {
            assert_eq!(QueryOptions::parse(query).unwrap_err().to_string(), text, "{query}");
        }
    }
}
