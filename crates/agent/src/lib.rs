//! The agent: what runs on a node, kept true in the catalog, given identities, judged and planned for.
//!
//! On the road: definitions enter here (files, `PUT /v1/agent/…`), are checked, and go to the store through the client;
//! plans leave here for the sidecars. Start from [`Agent::start`].
//!
//! Invariants: the agent owns what the catalog says of its node; it talks to the servers through [`client::Client`] and
//! nothing else; what it last knew (intentions, roots, certificates, configuration) it goes on using when no server
//! answers, and without intentions known it authorises nobody. Never: a private key in a log, a `Debug` or the catalog.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let nobody = client::Client::in_process(|_| async { http::Response::new(bytes::Bytes::new()) });
//! let node = model::Node { node: "n1".into(), datacenter: "dc1".into(), ..Default::default() };
//! let agent = agent::Agent::start(agent::Config::new(node), nobody);
//! let mut web = model::ServiceDefinition::default();
//! web.service.service = "web".into();
//! agent.register_service(web, false)?;
//! assert!(agent.services().contains_key("web"));
//! agent.shutdown();
//! # Ok::<(), agent::Error>(())
//! # }).unwrap();
//! ```

mod agent;
mod central;
mod checks;
mod clock;
mod config;
mod error;
mod follow;
mod intentions;
mod leaf;
mod local;
mod md5;
mod plans;
mod program;
pub mod remote_exec;
mod roots;
mod sidecar;
mod storage;
mod sync;
mod syncer;
mod tokens;
mod validate;
mod watches;
mod wire;

pub use agent::{Agent, Decision, ServiceHealth};
pub use config::{
    CHECK_OUTPUT_MAX_SIZE, CHECK_UPDATE_INTERVAL, Config, DOCKER_HOST, REAP_INTERVAL, SHORTEST_DEREGISTER,
    SIDECAR_PORTS, SYNC_INTERVAL, Scripts,
};
pub use error::Error;
pub use leaf::Leaf;
pub use plans::PlanVersion;
pub use program::{Program, exit_error};
pub use roots::Roots;
pub use sidecar::sidecar_id;
pub use tokens::{TokenKind, Tokens};
pub use watches::Watches;
