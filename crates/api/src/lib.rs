//! The HTTP API: what Consul's clients, our command line, agents and sidecars talk to.
//!
//! On the road: the door of the store (`/v1/catalog`, `/v1/health`, `/v1/config`, …) and of the agent (`/v1/agent`).
//!
//! Start from [`App`], which merges the routers of the parts and gives every answer Consul's manners.
//!
//! Invariants: response shapes live here and nowhere else; a route decides nothing that the store should decide; an
//! error is plain text; nothing that a client may ask for is ignored in silence. Never: key material in an answer that
//! Consul would not put it into, a body read past [`BODY_LIMIT_BYTES`].
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! let app = api::App::new(true).into_router();
//! let client = api::in_process(app);
//! let answer = client.send(http::Method::GET, "/v1/nothing", "".into(), std::time::Duration::from_secs(1)).await;
//! assert_eq!(answer.unwrap().status, 404);
//! # });
//! ```

mod access;
mod answers;
mod app;
mod archive;
mod authority;
mod authorizer;
mod chains;
mod error;
mod filter;
mod gateways;
pub mod json;
pub mod listen;
pub mod policy;
pub mod prepared;
mod query_options;
mod request;
pub mod response;
mod serve;
pub mod server;
pub mod tls;
pub mod v1;

pub use access::{Access, AclConfig};
pub use app::{App, in_process};
pub use authorizer::{Authorizer, Resource, Right};

pub use error::Error;
pub use filter::{Field, Filter};
pub use query_options::{Consistency, Params, QueryOptions};
pub use request::{BODY_LIMIT_BYTES, Payload, Rest, body, prefix};
pub use serve::serve;
pub use v1::{agent, insight, preview};
