//! The CA's roots as this agent knows them now.

use std::sync::Arc;

use serde_json::Value;

/// The answer of the servers, kept as it came: its shape is Consul's and nobody here changes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Roots {
    pub index: u64,
    pub active_root_id: String,
    pub trust_domain: String,
    pub body: Arc<Value>,
}

impl Roots {
    pub(crate) fn new(index: u64, body: Value) -> Self {
        let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (active_root_id, trust_domain) = (text("ActiveRootID"), text("TrustDomain"));
        Self { index, active_root_id, trust_domain, body: Arc::new(body) }
    }
}
