//! Events that users send to nodes.

use serde::{Deserialize, Serialize};

use crate::Blob;

/// Something happened, says somebody. The filters are regular expressions; an empty one matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UserEvent {
    pub id: String,
    pub name: String,
    pub payload: Blob,
    /// Names of nodes.
    pub node_filter: String,
    /// Names of services on the node.
    pub service_filter: String,
    /// Tags of those services.
    pub tag_filter: String,
}
