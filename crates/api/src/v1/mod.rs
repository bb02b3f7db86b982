//! One module for each word after `/v1/`.

pub(crate) mod acl;
pub mod agent;
pub(crate) mod catalog;
pub(crate) mod config;
pub(crate) mod connect;
pub(crate) mod coordinate;
pub(crate) mod discovery_chain;
mod entry_shapes;
pub(crate) mod event;
pub(crate) mod health;
pub mod insight;
pub(crate) mod intention;
pub(crate) mod internal;
pub(crate) mod kv;
pub(crate) mod operator;
pub mod preview;
pub(crate) mod query;
mod rights;
pub(crate) mod selectors;
pub(crate) mod session;
pub mod shapes;
pub(crate) mod snapshot;
pub(crate) mod status;
pub(crate) mod txn;
mod wire;

pub(crate) use wire::stored_registration;
