//! Deciding what a request changes. Each function turns a wish and a snapshot into facts and guards.

mod acl;
mod ca;
mod catalog;
mod config_entry;
mod entry_rules;
mod intention;
mod operate;

pub use acl::TokenRequest;
pub use catalog::{Registration, Removal};
