//! Deciding what a request changes. Each function turns a wish and a snapshot into facts and guards.

mod acl;
mod ca;
mod catalog;
mod config_entry;
mod entry_rules;
mod event;
mod intention;
mod kv;
mod operate;
mod query;
mod session;
mod txn;

pub use acl::{TokenRequest, check_auth_method};
pub use catalog::{Registration, Removal};
pub use config_entry::Proposal;
pub use kv::{KvCondition, KvWrite};
pub(crate) use session::{Aftermath, dead};
pub use session::{SESSION_TTL_MAX, SESSION_TTL_MIN, session_id};
pub use txn::{CatalogVerb, KvOp, KvVerb, TxnError, TxnOp, TxnResult};
