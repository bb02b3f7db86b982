//! What can go wrong with a cluster.

use std::time::Duration;

#[derive(Debug, thiserror::Error)]
pub enum EtcdError {
    #[error("{0:?} is no endpoint of etcd; expected http://host:port")]
    Endpoint(String),
    #[error("no endpoint of etcd answers; the last one, {endpoint}: {source}")]
    Unreachable { endpoint: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("etcd has not answered {call} within {limit:?}; whether it was done is not known")]
    Timeout { call: &'static str, limit: Duration },
    #[error("the connection to etcd broke during {call}; whether it was done is not known: {source}")]
    Broken { call: &'static str, source: hyper::Error },
    #[error("etcd refuses {call}: {message} (gRPC status {code})")]
    Refused { call: &'static str, code: u32, message: String },
    #[error("etcd's answer to {call} cannot be read: {what}")]
    Answer { call: &'static str, what: String },
    #[error("encoding a fact: {0}")]
    Encode(#[from] rmp_serde::encode::Error),
    #[error("encoding a key: {0}")]
    Key(#[from] serde_json::Error),
}
