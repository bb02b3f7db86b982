//! The kinds that let calls in and out of the mesh.

use serde::{Deserialize, Serialize};

/// `ingress-gateway`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct IngressGateway {
    #[serde(rename = "TLS")]
    pub tls: IngressTls,
    pub listeners: Vec<IngressListener>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct IngressTls {
    pub enabled: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct IngressListener {
    pub port: u16,
    pub protocol: String,
    pub services: Vec<IngressService>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct IngressService {
    /// `*`: every service of the listener's protocol.
    pub name: String,
    pub hosts: Vec<String>,
}

/// `terminating-gateway`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TerminatingGateway {
    pub services: Vec<LinkedService>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct LinkedService {
    /// `*`: every service.
    pub name: String,
    #[serde(rename = "CAFile")]
    pub ca_file: String,
    pub cert_file: String,
    pub key_file: String,
    #[serde(rename = "SNI")]
    pub sni: String,
}
