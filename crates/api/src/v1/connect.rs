//! `/v1/connect/ca/…` and the signing of leaf certificates.

use std::time::SystemTime;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, put};
use http::{HeaderValue, StatusCode, header};
use model::OpaqueMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{CaRoot, Stored, Topic};

use crate::authority::Terms;
use crate::authorizer::{Resource, Right};
use crate::error::Error;
use crate::json::Shape::{self, Any, Object};
use crate::query_options::QueryOptions;
use crate::request::Payload;
use crate::response;
use crate::server::ServerState;

pub(crate) fn router() -> Router<ServerState> {
    Router::new()
        .route("/v1/connect/ca/roots", get(roots))
        .route("/v1/connect/ca/configuration", get(configuration).put(configure))
        .route("/v1/internal/connect/ca/sign", put(sign))
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Roots<'a> {
    #[serde(rename = "ActiveRootID")]
    active_root_id: &'a str,
    trust_domain: String,
    roots: Vec<Root<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Root<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    name: &'a Value,
    serial_number: &'a Value,
    #[serde(rename = "SigningKeyID")]
    signing_key_id: &'a Value,
    external_trust_domain: &'a Value,
    not_before: &'a Value,
    not_after: &'a Value,
    root_cert: &'a Value,
    /// Null for a root that no other one vouches for.
    intermediate_certs: Option<&'a [String]>,
    active: bool,
    private_key_type: &'a Value,
    private_key_bits: &'a Value,
    create_index: u64,
    modify_index: u64,
}

impl<'a> From<&'a Stored<CaRoot>> for Root<'a> {
    fn from(root: &'a Stored<CaRoot>) -> Self {
        let field = |name: &str| &root.description[name];
        Self {
            id: &root.id,
            name: field("Name"),
            serial_number: field("SerialNumber"),
            signing_key_id: field("SigningKeyID"),
            external_trust_domain: field("ExternalTrustDomain"),
            not_before: field("NotBefore"),
            not_after: field("NotAfter"),
            root_cert: field("RootCert"),
            intermediate_certs: Some(root.intermediates.as_slice()).filter(|list| !list.is_empty()),
            active: root.active,
            private_key_type: field("PrivateKeyType"),
            private_key_bits: field("PrivateKeyBits"),
            create_index: root.create_index,
            modify_index: root.modify_index,
        }
    }
}

async fn roots(State(server): State<ServerState>, options: QueryOptions) -> Result<Response, Error> {
    // Whom to trust is told to everybody, whatever the token.
    server.admit(&options)?;
    let state = server.store.block(&[Topic::CaRoots], options.index, options.wait).await;
    let index = state.index_of(&[Topic::CaRoots]);
    let config = state.ca_config().ok_or_else(no_authority)?;
    if options.params.get("pem").is_some_and(|text| text.is_empty() || text == "true") {
        let pem: String = state.ca_roots().filter_map(|root| root.description["RootCert"].as_str()).collect();
        let mut answer = response::text(StatusCode::OK, pem);
        let kind = HeaderValue::from_static("application/pem-certificate-chain");
        answer.headers_mut().insert(header::CONTENT_TYPE, kind);
        return Ok(answer);
    }
    let active = state.ca_roots().find(|root| root.active);
    let roots = Roots {
        active_root_id: active.map_or("", |root| &root.id),
        trust_domain: ca::trust_domain(&config.cluster_id),
        roots: state.ca_roots().map(Root::from).collect(),
    };
    // Consul's quirk: this one read says that no leader is known, although there is one.
    Ok(response::with_index(response::json(&roots)?, index, false))
}

fn no_authority() -> Error {
    Error::Refused("CA is uninitialized and unable to sign certificates yet: no root".to_owned())
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Configuration<'a> {
    provider: &'a str,
    config: &'a OpaqueMap,
    state: Option<()>,
    force_without_cross_signing: bool,
    create_index: u64,
    modify_index: u64,
}

async fn configuration(State(server): State<ServerState>, options: QueryOptions) -> Result<Response, Error> {
    server.admit(&options)?;
    // It shows the key of the root.
    server.authorizer(&options)?.check(Resource::Operator, "", Right::Write)?;
    let state = server.store.state();
    let config = state.ca_config().ok_or_else(no_authority)?;
    response::json(&Configuration {
        provider: &config.provider,
        config: &config.config,
        state: None,
        force_without_cross_signing: config.force_without_cross_signing,
        create_index: config.create_index,
        modify_index: config.modify_index,
    })
}

const CONFIGURATION: Shape = Object(&[
    ("Provider", Any),
    ("Config", Any),
    ("State", Any),
    ("ForceWithoutCrossSigning", Any),
    ("CreateIndex", Any),
    ("ModifyIndex", Any),
]);

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct ConfigurationWire {
    provider: String,
    config: OpaqueMap,
    force_without_cross_signing: bool,
}

async fn configure(
    State(server): State<ServerState>,
    options: QueryOptions,
    Payload(body): Payload,
) -> Result<Response, Error> {
    server.admit_write(&options, "")?;
    server.authorizer(&options)?.check(Resource::Operator, "", Right::Write)?;
    let wire: ConfigurationWire = crate::json::decode(&body, &CONFIGURATION, "structs.CAConfiguration")
        .map_err(|why| Error::BadRequest(format!("Request decode failed: {why}")))?;
    if wire.provider != "consul" {
        let provider = wire.provider;
        return Err(Error::Refused(format!("could not initialize provider: unknown CA provider {provider:?}")));
    }
    server.configure_authority(wire.config, wire.force_without_cross_signing).await?;
    Ok(response::empty())
}

const SIGN: Shape = Object(&[("CSR", Any), ("Datacenter", Any)]);

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct SignWire {
    #[serde(rename = "CSR")]
    csr: String,
    datacenter: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Signed<'a> {
    serial_number: &'a str,
    #[serde(rename = "CertPEM")]
    cert_pem: String,
    service: &'a str,
    #[serde(rename = "ServiceURI")]
    service_uri: String,
    valid_after: String,
    valid_before: String,
    create_index: u64,
    modify_index: u64,
}

async fn sign(
    State(server): State<ServerState>,
    options: QueryOptions,
    Payload(body): Payload,
) -> Result<Response, Error> {
    let wire: SignWire = crate::json::decode(&body, &SIGN, "structs.CASignRequest").map_err(Error::Decode)?;
    server.admit_write(&options, &wire.datacenter)?;
    let (authority, intermediates) = server.authority()?;
    let state = server.store.state();
    let config = state.ca_config().ok_or_else(no_authority)?;
    let ttl = Terms::of(&config.config).map_err(Error::Refused)?.leaf_ttl;
    let (index, serial) = server.store.next_serial().await?;
    let terms = ca::Terms { ttl, ..ca::Terms::new(&server.datacenter, serial) };
    let refused = |error: ca::Error| Error::Refused(error.to_string());
    let now = SystemTime::now();
    let leaf = authority.sign(&wire.csr, &terms, now).map_err(refused)?;
    server.authorizer(&options)?.check(Resource::Service, &leaf.service, Right::Write)?;
    server.prune_roots(now).await?;
    response::json(&Signed {
        serial_number: &leaf.serial,
        cert_pem: std::iter::once(&leaf.cert_pem).chain(&intermediates).map(String::as_str).collect(),
        service: &leaf.service,
        service_uri: leaf.uri.to_string(),
        valid_after: ca::rfc3339(leaf.valid_after),
        valid_before: ca::rfc3339(leaf.valid_before),
        create_index: index,
        modify_index: index,
    })
}
