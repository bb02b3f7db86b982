//! Health checks: what the user asked for ([`CheckDefinition`]) and what is known now ([`HealthCheck`]).

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::service::Token;

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
    /// The word of a [`CheckKind`], or `maintenance`; empty for a check that was put into the catalog by hand.
    #[serde(rename = "Type")]
    pub kind: String,
}

/// How a check finds out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckKind {
    /// The application reports; silence for longer than this is critical.
    Ttl(Duration),
    Http(HttpRequest),
    Tcp {
        address: String,
        tls: bool,
    },
    /// `host:port`; silence is success, as nobody need answer a datagram.
    Udp(String),
    /// `host:port[/service]`
    Grpc {
        target: String,
        tls: bool,
    },
    /// An HTTP/2 ping.
    H2Ping {
        address: String,
        tls: bool,
    },
    /// A program and its arguments; the exit code decides.
    Script(Vec<String>),
    /// The same, inside a container.
    Docker(DockerCommand),
    /// A service of the operating system, by its name.
    OsService(String),
    /// Takes the worst state of a service of this or another node.
    Alias {
        node: String,
        service_id: String,
    },
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HttpRequest {
    pub url: String,
    /// Empty: `GET`.
    pub method: String,
    pub header: BTreeMap<String, Vec<String>>,
    pub body: String,
    pub disable_redirects: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DockerCommand {
    pub container: String,
    /// Kept for whoever reads the definition: the arguments are run as they are.
    pub shell: String,
    pub args: Vec<String>,
}

impl CheckKind {
    /// The word in the `Type` field of answers.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ttl(_) => "ttl",
            Self::Http(_) => "http",
            Self::Tcp { .. } => "tcp",
            Self::Udp(_) => "udp",
            Self::Grpc { .. } => "grpc",
            Self::H2Ping { .. } => "h2ping",
            Self::Script(_) => "script",
            Self::Docker(_) => "docker",
            Self::OsService(_) => "os_service",
            Self::Alias { .. } => "alias",
        }
    }

    /// True for what runs a program of the definition's choice: an agent does so only when it is told that it may.
    pub fn runs_programs(&self) -> bool {
        matches!(self, Self::Script(_) | Self::Docker(_))
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
    /// Zero: the kind's default (10 s; 30 s for programs).
    pub timeout: Duration,
    /// Whoever answers is taken for the service.
    pub tls_skip_verify: bool,
    /// The name the certificate must carry, when it is not the host's.
    pub tls_server_name: String,
    pub initial_status: Option<Status>,
    pub success_before_passing: u32,
    /// Zero: as many as before critical.
    pub failures_before_warning: u32,
    pub failures_before_critical: u32,
    /// Zero: never.
    pub deregister_critical_service_after: Duration,
    /// Bytes of output kept; zero: what the agent keeps of every check.
    pub output_max_size: usize,
    /// With which the check is written to the catalog.
    pub token: Token,
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
            tls_skip_verify: false,
            tls_server_name: String::new(),
            initial_status: None,
            success_before_passing: 0,
            failures_before_warning: 0,
            failures_before_critical: 0,
            deregister_critical_service_after: Duration::ZERO,
            output_max_size: 0,
            token: Token::default(),
        }
    }
}
