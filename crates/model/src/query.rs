//! Prepared queries: a question about a service that has a name, so that the answer can be changed for all who ask.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::service::Token;

type Texts = BTreeMap<String, String>;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PreparedQuery {
    #[serde(rename = "ID")]
    pub id: String,
    pub name: String,
    /// The session it ends with; empty: none.
    pub session: String,
    /// Whose rights it has; empty: those of who asks.
    pub token: Token,
    pub template: QueryTemplate,
    pub service: ServiceQuery,
    #[serde(rename = "DNS")]
    pub dns: QueryDns,
}

/// One query for all names that begin with its own; `Type` is empty for a query that is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct QueryTemplate {
    #[serde(rename = "Type")]
    pub kind: String,
    pub regexp: String,
    pub remove_empty_tags: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceQuery {
    pub service: String,
    pub failover: QueryFailover,
    pub only_passing: bool,
    #[serde(rename = "IgnoreCheckIDs")]
    pub ignore_check_ids: Option<Vec<String>>,
    pub near: String,
    /// All must be there; those that begin with `!` must not.
    pub tags: Option<Vec<String>>,
    pub node_meta: Option<Texts>,
    pub service_meta: Option<Texts>,
    pub connect: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct QueryFailover {
    pub nearest_n: i64,
    pub datacenters: Option<Vec<String>>,
    /// Newer than 1.8, and instead of the other two.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<QueryTarget>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct QueryTarget {
    pub peer: String,
    pub datacenter: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct QueryDns {
    /// As given, such as `10s`; empty: as for the service.
    #[serde(rename = "TTL")]
    pub ttl: String,
}

impl ServiceQuery {
    /// Every text with the place it stands at, for what fills templates.
    pub fn for_each_text<E>(&mut self, mut each: impl FnMut(&str, &mut String) -> Result<(), E>) -> Result<(), E> {
        each("Service", &mut self.service)?;
        let lists = [
            ("Failover.Datacenters", &mut self.failover.datacenters),
            ("IgnoreCheckIDs", &mut self.ignore_check_ids),
            ("Tags", &mut self.tags),
        ];
        for (place, list) in lists {
            for (at, text) in list.iter_mut().flatten().enumerate() {
                each(&format!("{place}[{at}]"), text)?;
            }
        }
        each("Near", &mut self.near)?;
        for (place, map) in [("NodeMeta", &mut self.node_meta), ("ServiceMeta", &mut self.service_meta)] {
            for (key, text) in map.iter_mut().flatten() {
                each(&format!("{place}[{key}]"), text)?;
            }
        }
        Ok(())
    }
}
