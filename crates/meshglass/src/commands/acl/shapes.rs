//! What the API answers, and how people read it. The keys of JSON stand in the order of Consul's command.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::asking::Form;
use crate::commands::{Output, json};

#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub struct Link {
    #[serde(rename = "ID")]
    pub id: String,
    pub name: String,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceIdentity {
    pub service_name: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub datacenters: Vec<String>,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub struct NodeIdentity {
    pub node_name: String,
    pub datacenter: String,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub struct Token {
    create_index: u64,
    modify_index: u64,
    #[serde(rename = "AccessorID")]
    pub accessor_id: String,
    #[serde(rename = "SecretID", skip_serializing_if = "String::is_empty")]
    pub secret_id: String,
    pub description: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<Link>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<Link>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub service_identities: Vec<ServiceIdentity>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub node_identities: Vec<NodeIdentity>,
    pub local: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub auth_method: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiration_time: Option<String>,
    create_time: String,
    hash: String,
    /// In lists only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub legacy: Option<bool>,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub struct Policy {
    #[serde(rename = "ID")]
    pub id: String,
    pub name: String,
    pub description: String,
    /// Not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<String>,
    pub datacenters: Option<Vec<String>>,
    hash: String,
    create_index: u64,
    modify_index: u64,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub struct Role {
    #[serde(rename = "ID")]
    pub id: String,
    pub name: String,
    description: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    policies: Vec<Link>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    service_identities: Vec<ServiceIdentity>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    node_identities: Vec<NodeIdentity>,
    hash: String,
    create_index: u64,
    modify_index: u64,
}

/// JSON as Consul's command prints it.
pub fn as_json<T: Serialize + ?Sized>(value: &T) -> Output {
    Output::line(json::indent(&serde_json::to_string(value).unwrap_or_default(), "    "))
}

/// The same of a body that has the right order already.
pub fn body_as_json(body: &[u8]) -> Output {
    Output::line(json::indent(&String::from_utf8_lossy(body), "    "))
}

/// `2020-01-02T03:04:05Z` as Go prints a time.
fn time(text: &str) -> String {
    match text.strip_suffix('Z') {
        Some(utc) => format!("{} +0000 UTC", utc.replace('T', " ")),
        None => text.replace('T', " "),
    }
}

/// Hash and indexes, each name padded to `width` behind `indent`.
fn meta(hash: &str, create: u64, modify: u64, indent: &str, width: usize) -> String {
    let bytes = STANDARD.decode(hash).unwrap_or_default();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "{indent}{:width$}{hex}\n{indent}{:width$}{create}\n{indent}{:width$}{modify}\n",
        "Hash:", "Create Index:", "Modify Index:",
    )
}

fn rights(
    policies: &[Link],
    roles: &[Link],
    services: &[ServiceIdentity],
    nodes: &[NodeIdentity],
    indent: &str,
) -> String {
    let mut out = String::new();
    for (what, links) in [("Policies", policies), ("Roles", roles)] {
        if !links.is_empty() {
            let _ = writeln!(out, "{indent}{what}:");
        }
        for link in links {
            let _ = writeln!(out, "{indent}   {} - {}", link.id, link.name);
        }
    }
    if !services.is_empty() {
        let _ = writeln!(out, "{indent}Service Identities:");
    }
    for ServiceIdentity { service_name, datacenters } in services {
        let datacenters = if datacenters.is_empty() { "all".to_owned() } else { datacenters.join(", ") };
        let _ = writeln!(out, "{indent}   {service_name} (Datacenters: {datacenters})");
    }
    if !nodes.is_empty() {
        let _ = writeln!(out, "{indent}Node Identities:");
    }
    for NodeIdentity { node_name, datacenter } in nodes {
        let _ = writeln!(out, "{indent}   {node_name} (Datacenter: {datacenter})");
    }
    out
}

impl Token {
    pub fn show(&self, form: Form) -> Output {
        self.show_with(form, false)
    }

    pub fn show_with(&self, form: Form, with_meta: bool) -> Output {
        match form {
            Form::Json => as_json(self),
            Form::Pretty => Output::line(self.pretty(with_meta)),
        }
    }

    pub fn pretty(&self, with_meta: bool) -> String {
        let mut out = format!("AccessorID:       {}\n", self.accessor_id);
        if !self.secret_id.is_empty() {
            let _ = writeln!(out, "SecretID:         {}", self.secret_id);
        }
        let _ = writeln!(out, "Description:      {}", self.description);
        let _ = writeln!(out, "Local:            {}", self.local);
        if !self.auth_method.is_empty() {
            let _ = writeln!(out, "Auth Method:      {}", self.auth_method);
        }
        let _ = writeln!(out, "Create Time:      {}", time(&self.create_time));
        if let Some(at) = &self.expiration_time {
            let _ = writeln!(out, "Expiration Time:  {}", time(at));
        }
        if let Some(legacy) = self.legacy {
            let _ = writeln!(out, "Legacy:           {legacy}");
        }
        if with_meta {
            out.push_str(&meta(&self.hash, self.create_index, self.modify_index, "", 18));
        }
        out + &rights(&self.policies, &self.roles, &self.service_identities, &self.node_identities, "")
    }
}

impl Policy {
    fn datacenters(&self) -> String {
        self.datacenters.as_deref().unwrap_or_default().join(", ")
    }

    pub fn show(&self, form: Form, with_meta: bool) -> Output {
        if form == Form::Json {
            return as_json(self);
        }
        let Self { id, name, description, .. } = self;
        let mut out = format!("ID:           {id}\nName:         {name}\nDescription:  {description}\n");
        let _ = writeln!(out, "Datacenters:  {}", self.datacenters());
        if with_meta {
            out.push_str(&meta(&self.hash, self.create_index, self.modify_index, "", 14));
        }
        let rules = self.rules.as_deref().unwrap_or_default();
        Output::line(format!("{out}Rules:\n{rules}"))
    }

    pub fn listed(&self, with_meta: bool) -> String {
        let Self { id, name, description, .. } = self;
        let mut out = format!("{name}:\n   ID:           {id}\n   Description:  {description}\n");
        let _ = writeln!(out, "   Datacenters:  {}", self.datacenters());
        if with_meta {
            out.push_str(&meta(&self.hash, self.create_index, self.modify_index, "   ", 14));
        }
        out
    }
}

impl Role {
    pub fn show(&self, form: Form, with_meta: bool) -> Output {
        if form == Form::Json {
            return as_json(self);
        }
        let Self { id, name, description, .. } = self;
        let mut out = format!("ID:           {id}\nName:         {name}\nDescription:  {description}\n");
        if with_meta {
            out.push_str(&meta(&self.hash, self.create_index, self.modify_index, "", 14));
        }
        Output::line(out + &rights(&self.policies, &[], &self.service_identities, &self.node_identities, ""))
    }

    pub fn listed(&self, with_meta: bool) -> String {
        let Self { id, name, description, .. } = self;
        let mut out = format!("{name}:\n   ID:           {id}\n   Description:  {description}\n");
        if with_meta {
            out.push_str(&meta(&self.hash, self.create_index, self.modify_index, "   ", 14));
        }
        out + &rights(&self.policies, &[], &self.service_identities, &self.node_identities, "   ")
    }
}
