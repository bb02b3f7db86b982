//! The binary, as a library: configuration, commands, and the parts assembled into agents, sidecars and a demo.
//!
//! On the road: everything; this is where the stops are joined. Start from [`assemble::Mesh`].
//!
//! Invariants: no logic that a part could hold; only `config` reads flags, files and environment of an agent.
//!
//! ```
//! # tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
//! use meshglass::{assemble, logging};
//! let (node, address, datacenter) = ("n1".into(), "127.0.0.1".into(), "dc1".into());
//! let node = model::Node { node, address, datacenter, ..Default::default() };
//! let options = assemble::Options::new(agent::Config::new(node), logging::silent());
//! let mesh = assemble::Mesh::start(options).await.unwrap();
//! let leader = mesh.client().get::<String>("/v1/status/leader", &client::Query::default()).await.unwrap();
//! assert_eq!(leader.value, "127.0.0.1:8300");
//! mesh.stop().await;
//! # });
//! ```

mod access;
mod arguments;
pub mod assemble;
pub mod commands;
pub mod config;
pub mod demo;
mod dev;
mod dns_settings;
mod dns_view;
mod duties;
mod facts;
pub mod logging;
mod resident;
mod signals;
