//! Why the store refuses. The texts are Consul's where it has one: clients match on them.

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("Must provide node")]
    NoNode,
    #[error("Must provide address if SkipNodeUpdate is not set")]
    NoAddress,
    #[error("Must provide service name with ID")]
    NoServiceName,
    #[error("check node {check:?} does not match node {node:?}")]
    CheckNode { check: String, node: String },
    #[error("Missing node registration")]
    NoSuchNode,
    #[error("failed inserting check: Missing service registration on node {0:?}")]
    NoSuchService(String),
    #[error("duplicate intention found: {0}")]
    DuplicateIntention(Box<model::Intention>),
    #[error("Cannot modify non-existent intention: '{0}'")]
    NoSuchIntention(String),
    #[error("Cannot delete non-existent intention: '{0}'")]
    NoIntentionToDelete(String),
    #[error("Must provide key")]
    NoKey,
    #[error("missing session")]
    MissingSession,
    #[error("invalid session {0:?}")]
    NoSuchSession(String),
    #[error("failed session lookup: index error: {0}")]
    SessionId(String),
    #[error("Session TTL '{ttl}' invalid: {why}")]
    SessionTtl { ttl: String, why: String },
    #[error("Invalid Session TTL '{nanos}', must be between [{min}={max}]")]
    SessionTtlRange { nanos: u128, min: String, max: String },
    #[error("Missing check '{0}' registration")]
    NoSuchCheck(String),
    #[error("Check '{0}' is in critical state")]
    CriticalCheck(String),
    #[error("Cannot modify non-existent prepared query: '{0}'")]
    NoSuchQuery(String),
    #[error("name '{name}' aliases an existing query {what}")]
    QueryAlias { name: String, what: &'static str },
    #[error("a query template with an empty name already exists")]
    EmptyTemplate,
    #[error("invalid session: index error: {0}")]
    QuerySession(String),
    /// What a config entry says cannot be.
    #[error("{0}")]
    Entry(String),
    #[error("ACL not found")]
    AclNotFound,
    /// A write to access control that cannot be.
    #[error("{0}")]
    Acl(String),
    #[error("Permission denied: ACL bootstrap no longer allowed (reset index: {0})")]
    AclBootstrapped(u64),
    /// Other writers were faster too many times in a row.
    #[error("the write was overtaken by others {0} times")]
    Contention(usize),
    #[error("{what}: {source}")]
    Backend { what: &'static str, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("the store has stopped")]
    Stopped,
}
