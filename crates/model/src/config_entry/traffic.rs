//! The kinds that say where calls go: routers, splitters and resolvers, typed as the chain compiler reads them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ConfigEntry, EntryKind};
use crate::duration::go_text;
use crate::service::OpaqueMap;

type Texts = BTreeMap<String, String>;

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(value: &u32) -> bool {
    *value == 0
}

/// `service-router`: which requests go where. What no route takes goes to the service itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceRouter {
    pub routes: Vec<ServiceRoute>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceRoute {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#match: Option<RouteMatch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<RouteDestination>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RouteMatch {
    #[serde(rename = "HTTP", skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpMatch>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HttpMatch {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path_exact: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path_prefix: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path_regex: String,
    #[serde(skip_serializing_if = "is_false")]
    pub case_insensitive: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub header: Vec<ValueMatch>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub query_param: Vec<ValueMatch>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
}

/// A header or a query parameter, and what it must be.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ValueMatch {
    pub name: String,
    #[serde(skip_serializing_if = "is_false")]
    pub present: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub exact: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub suffix: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub contains: String,
    #[serde(skip_serializing_if = "is_false")]
    pub ignore_case: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub regex: String,
    #[serde(skip_serializing_if = "is_false")]
    pub invert: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RouteDestination {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub service: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub service_subset: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub partition: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub prefix_rewrite: String,
    #[serde(with = "go_text", skip_serializing_if = "Duration::is_zero")]
    pub request_timeout: Duration,
    #[serde(with = "go_text", skip_serializing_if = "Duration::is_zero")]
    pub idle_timeout: Duration,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_retries: u32,
    #[serde(skip_serializing_if = "is_false")]
    pub retry_on_connect_failure: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub retry_on: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub retry_on_status_codes: Vec<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_headers: Option<HeaderChanges>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_headers: Option<HeaderChanges>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HeaderChanges {
    #[serde(skip_serializing_if = "Texts::is_empty")]
    pub add: Texts,
    #[serde(skip_serializing_if = "Texts::is_empty")]
    pub set: Texts,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
}

/// `service-splitter`: shares of the calls.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceSplitter {
    pub splits: Vec<ServiceSplit>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceSplit {
    /// Percent, exact to a hundredth. Of single precision, as in Consul: what is shown depends on it.
    pub weight: f32,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub service: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub service_subset: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_headers: Option<HeaderChanges>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_headers: Option<HeaderChanges>,
}

/// `service-resolver`: which instances answer for a name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceResolver {
    pub default_subset: String,
    pub subsets: BTreeMap<String, Subset>,
    pub redirect: Option<Redirect>,
    /// By subset; `*` for those without one of their own.
    pub failover: BTreeMap<String, Failover>,
    #[serde(with = "go_text")]
    pub connect_timeout: Duration,
    #[serde(with = "go_text")]
    pub request_timeout: Duration,
    pub load_balancer: Option<OpaqueMap>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Subset {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub filter: String,
    #[serde(skip_serializing_if = "is_false")]
    pub only_passing: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Redirect {
    pub service: String,
    pub service_subset: String,
    pub namespace: String,
    pub datacenter: String,
    pub peer: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Failover {
    pub service: String,
    pub service_subset: String,
    pub namespace: String,
    pub datacenters: Vec<String>,
    /// Newer than `Datacenters`, and instead of it.
    pub targets: Vec<Redirect>,
}

impl ConfigEntry {
    /// The body of a kind that is kept as it was decoded.
    fn body(&self, wanted: EntryKind) -> Option<&OpaqueMap> {
        match self {
            Self::Other { kind, body, .. } if *kind == wanted => Some(body),
            _ => None,
        }
    }

    pub fn router(&self) -> Option<ServiceRouter> {
        typed(self.body(EntryKind::ServiceRouter)?)
    }

    pub fn splitter(&self) -> Option<ServiceSplitter> {
        typed(self.body(EntryKind::ServiceSplitter)?)
    }

    pub fn resolver(&self) -> Option<ServiceResolver> {
        typed(self.body(EntryKind::ServiceResolver)?)
    }

    pub fn ingress(&self) -> Option<super::IngressGateway> {
        typed(self.body(EntryKind::IngressGateway)?)
    }

    pub fn terminating(&self) -> Option<super::TerminatingGateway> {
        typed(self.body(EntryKind::TerminatingGateway)?)
    }
}

/// The decoder has made the body what the type wants; [`super::entry_of_node`] refuses one that is not.
pub(super) fn typed<T: for<'de> Deserialize<'de>>(body: &OpaqueMap) -> Option<T> {
    T::deserialize(body).ok()
}
