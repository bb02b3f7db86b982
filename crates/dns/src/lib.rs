//! The catalog in the words of DNS: where a service is, asked by anything that can resolve a name.
//!
//! On the road: it reads what `store` holds, beside `api`, through a [`View`] that the binary makes of the state; it
//! writes nothing. What is not below its own domain goes to the recursors, byte for byte.
//!
//! Start from [`Server`], which listens, and [`answer::answer`], which decides and knows neither socket nor clock.
//!
//! Invariants: a malformed message is refused or dropped, never a panic, and no message makes it reserve more than a
//! named limit; an answer echoes the question byte by byte; a view is taken after the query has arrived, so whoever
//! was told that a write is done sees it in the next answer; DNS never shows what the view does not.
//!
//! ```
//! use dns::Name;
//! let domain = Name::parse("consul.").unwrap();
//! let node = Name::join(&["n1", "node", "dc1"], &domain).unwrap();
//! assert_eq!(node.to_string(), "n1.node.dc1.consul.");
//! assert!(Name::parse("a..b").is_none());
//! ```

pub mod answer;
mod cache;
mod config;
mod error;
mod name;
mod path;
pub mod recursor;
mod render;
pub mod reply;
pub mod request;
mod respond;
mod serve;
mod service;
mod target;
mod tcp;
mod udp;
mod view;
mod writer;

pub use config::{Config, ServiceTtl, Soa, Strategy};
pub use error::Error;
pub use name::Name;
pub use respond::{Received, Responder, Transport, Verdict};
pub use serve::Server;
pub use view::{Instance, Lookup, Prepared, Source, Subject, View};
