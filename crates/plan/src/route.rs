//! What a route takes, and what is done to the requests it takes.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::TargetId;
use crate::plan::go_duration;

/// Weights of splits are counted in hundredths of a percent.
pub const WHOLE: u32 = 10_000;

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Route {
    /// A name for metrics and logs.
    pub name: String,
    /// What it takes; everything when nothing is said.
    #[serde(default, skip_serializing_if = "Match::is_any")]
    pub when: Match,
    /// Weights are relative; one entry is the ordinary case.
    pub targets: Vec<WeightedTarget>,
    /// In the place of the path or prefix that matched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix_rewrite: Option<String>,
    /// Zero: no limit.
    #[serde(with = "go_duration")]
    pub timeout: Duration,
    pub retry: Retry,
    #[serde(default, skip_serializing_if = "HeaderEdits::is_empty")]
    pub request_headers: HeaderEdits,
    #[serde(default, skip_serializing_if = "HeaderEdits::is_empty")]
    pub response_headers: HeaderEdits,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WeightedTarget {
    pub target: TargetId,
    pub weight: u32,
    #[serde(default, skip_serializing_if = "HeaderEdits::is_empty")]
    pub request_headers: HeaderEdits,
    #[serde(default, skip_serializing_if = "HeaderEdits::is_empty")]
    pub response_headers: HeaderEdits,
}

impl WeightedTarget {
    /// The only target, as it is.
    pub fn only(target: TargetId) -> Self {
        let none = HeaderEdits::default;
        Self { target, weight: WHOLE, request_headers: none(), response_headers: none() }
    }
}

/// All conditions must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Match {
    pub path: PathMatch,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ignore_case: bool,
    /// Any of these; every method when there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<FieldMatch>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub query: Vec<FieldMatch>,
}

impl Match {
    pub fn is_any(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathMatch {
    #[default]
    Any,
    Exact(String),
    Prefix(String),
    /// Of the whole path, without the query.
    Regex(String),
}

/// A header or a query parameter.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FieldMatch {
    pub name: String,
    pub is: TextMatch,
    /// Holds when the rest does not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub invert: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextMatch {
    Present,
    Exact(String),
    Prefix(String),
    Suffix(String),
    Contains(String),
    /// Of the whole value.
    Regex(String),
}

/// Applied in this order: removed, set, added.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct HeaderEdits {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub add: BTreeMap<String, String>,
}

impl HeaderEdits {
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }
}

/// When a failed attempt is tried again on another instance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Retry {
    pub attempts: u32,
    /// Nothing of the request had been sent: safe for every method.
    pub on_connect_failure: bool,
    /// What else is tried again; the request may then reach the application more than once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub on: Vec<RetryOn>,
    /// Answers with one of these codes are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub on_statuses: Vec<u16>,
}

/// Envoy's names, which Consul's `RetryOn` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RetryOn {
    #[serde(rename = "5xx")]
    ServerError,
    GatewayError,
    Reset,
    ConnectFailure,
    RefusedStream,
    #[serde(rename = "retriable-4xx")]
    Retriable4xx,
    Cancelled,
    DeadlineExceeded,
    Internal,
    ResourceExhausted,
    Unavailable,
}

impl RetryOn {
    pub const ALL: [Self; 11] = [
        Self::ServerError,
        Self::GatewayError,
        Self::Reset,
        Self::ConnectFailure,
        Self::RefusedStream,
        Self::Retriable4xx,
        Self::Cancelled,
        Self::DeadlineExceeded,
        Self::Internal,
        Self::ResourceExhausted,
        Self::Unavailable,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::ServerError => "5xx",
            Self::GatewayError => "gateway-error",
            Self::Reset => "reset",
            Self::ConnectFailure => "connect-failure",
            Self::RefusedStream => "refused-stream",
            Self::Retriable4xx => "retriable-4xx",
            Self::Cancelled => "cancelled",
            Self::DeadlineExceeded => "deadline-exceeded",
            Self::Internal => "internal",
            Self::ResourceExhausted => "resource-exhausted",
            Self::Unavailable => "unavailable",
        }
    }

    /// The gRPC status that this asks to be tried again.
    pub fn grpc_status(self) -> Option<u8> {
        match self {
            Self::Cancelled => Some(1),
            Self::DeadlineExceeded => Some(4),
            Self::ResourceExhausted => Some(8),
            Self::Internal => Some(13),
            Self::Unavailable => Some(14),
            _ => None,
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|on| on.as_str() == text)
    }
}

/// How an instance of a target is chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// The less busy of `choices` picked at random.
    #[default]
    LeastRequest,
    RoundRobin,
    Random,
    RingHash {
        minimum_ring_size: u64,
        maximum_ring_size: u64,
    },
    Maglev,
}

/// What a request is hashed by, for the policies that hash. The first that gives something decides when `terminal`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HashPolicy {
    pub by: HashBy,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub terminal: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HashBy {
    SourceIp,
    Header(String),
    QueryParameter(String),
    /// A cookie; made for callers that have none when it may be.
    Cookie {
        name: String,
        path: String,
        ttl: Option<u64>,
    },
}

/// When an instance that answers badly is left out for a while.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ejection {
    /// Failures in a row: answers of class 5, and connections that fail.
    pub consecutive_failures: u32,
    #[serde(with = "go_duration")]
    pub interval: Duration,
    /// Times the number of ejections so far.
    #[serde(with = "go_duration")]
    pub base_time: Duration,
    /// Never more than this share of the instances, in percent.
    pub max_percent: u32,
    /// In percent: how often an ejection that is due is carried out.
    pub enforcing: u32,
}
