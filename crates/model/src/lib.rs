//! The vocabulary of the mesh: services, checks, intentions, configuration entries and ids, and the forms in which
//! people and programs write them (HCL, JSON).
//!
//! On the road: everything that enters at the left (a definition file, `PUT /v1/agent/…`) is parsed into a type of this
//! crate once, and every later stop speaks these types.
//!
//! Start from [`Service`], the one noun everything else refers to.
//!
//! Invariants: no I/O, no clock, no runtime, no lock. Opaque user maps ([`OpaqueMap`]) are understood here only
//! ([`ProxySettings`], [`UpstreamSettings`]) and an unknown key is reported, never dropped in silence.
//!
//! ```
//! use model::{Action, Intention, decide};
//! let allow = Intention::new("web", "db", Action::Allow);
//! assert!(decide(std::slice::from_ref(&allow), "web", "db").is_some_and(|i| i.action == Action::Allow));
//! assert!(decide(&[allow], "api", "db").is_none());
//! ```

pub mod acl;
mod check;
mod config_entry;
mod coordinate;
pub mod decode;
mod definition;
mod duration;
mod event;
pub mod hcl;
mod intention;
mod kv;
mod node;
mod query;
mod schema;
mod service;
mod settings;
mod spiffe;

pub use check::{CheckDefinition, CheckKind, DockerCommand, HealthCheck, HttpRequest, Status};
pub use config_entry::*;
pub use coordinate::{Coordinate, NodeCoordinate};
pub use definition::{Definitions, Names, RequestError, decode_check_json, decode_definitions, decode_service_json};
pub use duration::{DurationError, format_duration, parse_duration};
pub use event::UserEvent;
pub use intention::{Action, Intention, SourceType, WILDCARD, decide, precedence, sort_by_precedence};
pub use kv::{Blob, KvEntry, Session, SessionBehavior};
pub use node::Node;
pub use query::{PreparedQuery, QueryDns, QueryFailover, QueryTarget, QueryTemplate, ServiceQuery};
pub use service::{
    Connect, DestinationType, OpaqueMap, Protocol, ProxyConfig, Service, ServiceAddress, ServiceDefinition,
    ServiceKind, Token, Upstream, Weights,
};
pub use settings::{ProxySettings, UpstreamSettings};
pub use spiffe::{SpiffeError, SpiffeId};
