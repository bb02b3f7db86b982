//! The parts of `/v1`'s answers that the command line and the sidecar read. A server may send more, or `null`.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use crate::http::{Client, Error};
use crate::query::Query;

/// One entry of `/v1/agent/members`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Member {
    pub name: String,
    pub addr: String,
    pub port: u16,
    #[serde(deserialize_with = "or_null")]
    pub tags: BTreeMap<String, String>,
    /// 1 alive, 2 leaving, 3 left, 4 failed.
    pub status: u8,
    pub protocol_cur: u8,
}

/// One entry of `/v1/catalog/nodes`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CatalogNode {
    #[serde(rename = "ID")]
    pub id: String,
    pub node: String,
    pub address: String,
    pub datacenter: String,
    #[serde(deserialize_with = "or_null")]
    pub tagged_addresses: BTreeMap<String, String>,
    /// `/v1/catalog/service/X` has the node's meta in `NodeMeta`.
    #[serde(deserialize_with = "or_null", alias = "NodeMeta")]
    pub meta: BTreeMap<String, String>,
}

/// One value of `/v1/agent/services`: what tells a sidecar from a service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AgentService {
    #[serde(rename = "ID")]
    pub id: String,
    pub service: String,
    pub kind: String,
    #[serde(deserialize_with = "or_null")]
    pub proxy: AgentProxy,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AgentProxy {
    pub destination_service_name: String,
    #[serde(rename = "DestinationServiceID")]
    pub destination_service_id: String,
}

/// One entry of `/v1/connect/intentions`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ListedIntention {
    #[serde(rename = "ID")]
    pub id: String,
    pub description: String,
    pub source_name: String,
    pub destination_name: String,
    pub action: String,
    #[serde(deserialize_with = "or_null")]
    pub meta: BTreeMap<String, String>,
    pub precedence: u8,
    pub created_at: String,
}

impl Client {
    pub async fn members(&self, query: &Query) -> Result<Vec<Member>, Error> {
        Ok(self.get::<Option<Vec<Member>>>("/v1/agent/members", query).await?.value.unwrap_or_default())
    }

    /// By id.
    pub async fn agent_services(&self) -> Result<BTreeMap<String, AgentService>, Error> {
        let services = self.get::<Option<BTreeMap<_, _>>>("/v1/agent/services", &Query::default()).await?;
        Ok(services.value.unwrap_or_default())
    }

    pub async fn intentions(&self, query: &Query) -> Result<Vec<ListedIntention>, Error> {
        Ok(self.get::<Option<Vec<_>>>("/v1/connect/intentions", query).await?.value.unwrap_or_default())
    }
}

/// Go writes an empty map, list or pointer as `null`.
pub(crate) fn or_null<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(input: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(input)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn null_is_empty_and_more_keys_are_no_fault() {
        let member: Member = serde_json::from_str(r#"{"Name":"a","Tags":null,"Status":1,"DelegateMax":5}"#).unwrap();
        assert_eq!((member.name.as_str(), member.tags.len()), ("a", 0));
        let service: AgentService = serde_json::from_str(r#"{"ID":"x","Proxy":null}"#).unwrap();
        assert_eq!(service.proxy, AgentProxy::default());
    }
}
