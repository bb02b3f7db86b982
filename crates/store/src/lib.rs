//! The facts of the mesh: what exists, since which index, and who is told when it changes.
//!
//! On the road: everything the agents and operators say arrives here as a [`Batch`] of facts; the API reads a
//! [`State`] and waits on a [`Topic`].
//!
//! Start from [`Store`]: `register`, `put_config`, `put_intention` write, [`Store::state`] reads, [`Store::block`]
//! waits.
//!
//! Invariants: a write is decided on a snapshot and committed as facts with guards, never as logic, so every replica
//! that follows the [`Backend`] holds the same; a write answers once its own index is applied here; indexes only grow
//! and are never 0; a waiter is told the latest state, not a list of events; no key material is ever printed.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! use store::{Memory, Registration, Store, Topic};
//! let store = Store::open(Memory::new()).await?;
//! let node = model::Node { node: "n1".into(), address: "127.0.0.1".into(), ..Default::default() };
//! let index = store.register(Registration { node, ..Default::default() }).await?;
//! let state = store.block(&[Topic::Nodes], index - 1, std::time::Duration::ZERO).await;
//! assert_eq!(state.index_of(&[Topic::Nodes]), index);
//! assert!(state.node("N1").is_some());
//! # Ok::<(), store::Error>(()) }).unwrap();
//! ```

mod archive;
mod backend;
mod error;
mod fact;
mod lock_delay;
mod state;
mod store;
mod watch;
mod write;

pub use archive::{ArchiveError, read_facts};
pub use backend::{
    Backend, Change, Changes, CommitError, Etcd, EtcdError, File, FileError, FileOptions, Future, Memory, Snapshot,
};
pub use error::Error;
pub use fact::{AclFact, AclKey, Autopilot, Batch, CaConfig, CaRoot, CheckFact, Fact, Guard, Index, Key, Secret};
pub use state::{Instance, State, Stored};
pub use store::{DEFAULT_WAIT, MAX_WAIT, Store};
pub use watch::Topic;
pub use write::{
    CatalogVerb, KvCondition, KvOp, KvVerb, KvWrite, Proposal, Registration, Removal, SESSION_TTL_MAX, SESSION_TTL_MIN,
    TokenRequest, TxnError, TxnOp, TxnResult, check_auth_method, session_id,
};
