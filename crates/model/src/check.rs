//! Health checks: what the user asked for ([`CheckDefinition`]) and what is known now ([`HealthCheck`]).

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The state of a check. Ordered from best to worst, so that the worst of several is `max`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Passing,
    Warning,
    #[default]
    Critical,
}

impl Status {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passing => "passing",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Passing, Self::Warning, Self::Critical].into_iter().find(|s| s.as_str() == text)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is known of one check now, as the catalog and the agent store it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HealthCheck {
    pub node: String,
    #[serde(rename = "CheckID")]
    pub check_id: String,
    pub name: String,
    pub status: Status,
    pub notes: String,
    pub output: String,
    #[serde(rename = "ServiceID")]
    pub service_id: String,
    pub service_name: String,
    pub service_tags: Vec<String>,
    /// `tcp`, `http`, `ttl`, `grpc`, `alias`, `maintenance`; empty for a check that was put into the catalog by hand.
    #[serde(rename = "Type")]
    pub kind: String,
}

/// How a check finds out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckKind {
    /// The application reports; silence for longer than this is critical.
    Ttl(Duration),
    Http {
        url: String,
        method: String,
        header: BTreeMap<String, Vec<String>>,
        body: String,
        tls_skip_verify: bool,
    },
    Tcp(String),
    /// `host:port[/service]`
    Grpc {
        target: String,
        tls: bool,
        tls_skip_verify: bool,
    },
    /// Takes the worst state of a service of this or another node.
    Alias {
        node: String,
        service_id: String,
    },
}

impl CheckKind {
    /// The word in the `Type` field of answers.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ttl(_) => "ttl",
            Self::Http { .. } => "http",
            Self::Tcp(_) => "tcp",
            Self::Grpc { .. } => "grpc",
            Self::Alias { .. } => "alias",
        }
    }
}

/// A check as the user defined it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckDefinition {
    /// Empty: the agent gives `service:<id>` or `service:<id>:<n>`.
    pub id: String,
    pub name: String,
    pub notes: String,
    /// Set for a check registered on its own for a service.
    pub service_id: String,
    pub kind: CheckKind,
    pub interval: Duration,
    /// Zero: the kind's default (10 s).
    pub timeout: Duration,
    pub initial_status: Option<Status>,
    pub success_before_passing: u32,
    pub failures_before_critical: u32,
    /// Zero: never.
    pub deregister_critical_service_after: Duration,
    /// Bytes of output kept; zero: the default (4096).
    pub output_max_size: usize,
}

impl CheckDefinition {
    pub fn new(name: &str, kind: CheckKind) -> Self {
        Self {
            id: String::new(),
            name: name.to_owned(),
            notes: String::new(),
            service_id: String::new(),
            kind,
            interval: Duration::from_secs(10),
            timeout: Duration::ZERO,
            initial_status: None,
            success_before_passing: 0,
            failures_before_critical: 0,
            deregister_critical_service_after: Duration::ZERO,
            output_max_size: 0,
        }
    }
}
