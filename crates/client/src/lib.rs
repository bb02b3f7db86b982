//! The typed client of `/v1`: the only way agent, sidecar, command line and demo talk to a server.
//!
//! On the road: `agent ─client─► store`, and the sidecar's way to its plan. Start from [`Client`].
//!
//! Invariants: there is no second RPC; the same calls travel over TCP or, inside one process, straight into the
//! router ([`Client::in_process`]), and nobody above can tell which.
//!
//! ```
//! let client = client::Client::http("127.0.0.1:8500".to_owned());
//! assert_eq!(client.address(), "127.0.0.1:8500");
//! ```

mod config_entry;
mod dial;
mod event;
mod http;
mod kv;
pub mod lock;
mod query;
mod registration;
pub mod semaphore;
mod session;
mod shapes;
pub mod watch;

pub use config_entry::config_entry_body;
pub use dial::Tls;
pub use event::{Event, EventFilter};
pub use http::{Client, Error, Following, Raw, Server};
pub use kv::{Condition, KvPair};
pub use query::{Answer, Query, escape};
pub use registration::{check_registration, registration};
pub use session::{KeptSession, NewSession};
pub use shapes::{AgentService, CatalogNode, ListedIntention, Member};
