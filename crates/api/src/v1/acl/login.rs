//! Logging in and out.

use std::collections::BTreeMap;

use auth::Proven;
use axum::extract::State;
use axum::response::Response;
use model::Token;
use model::acl::{AclToken, AuthMethod, BindingRule, Link, NodeIdentity, ServiceIdentity, interpolate};
use serde::Deserialize;
use store::{Stored, TokenRequest};

use super::rule::{is_bindable, selector};
use super::shapes::TokenShape;
use crate::access::now;
use crate::error::Error;
use crate::json::Shape::{self, Any, Object};
use crate::query_options::QueryOptions;
use crate::request::Payload;
use crate::response;
use crate::server::ServerState;

const LOGIN: Shape = Object(&[("AuthMethod", Any), ("BearerToken", Any), ("Meta", Any), ("Namespace", Any)]);

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Wire {
    auth_method: String,
    bearer_token: Token,
    meta: BTreeMap<String, String>,
}

pub(super) async fn login(
    State(server): State<ServerState>,
    options: QueryOptions,
    Payload(body): Payload,
) -> Result<Response, Error> {
    server.access.demand()?;
    server.admit_write(&options, "")?;
    let failed = |why: String| Error::BadRequest(format!("Failed to decode request body: {why}"));
    let wire: Wire = crate::json::decode(&body, &LOGIN, "structs.ACLLoginParams").map_err(failed)?;
    let method = server.store.state().auth_method(&wire.auth_method).cloned().ok_or(Error::AclNotFound)?;
    let judge = server.access.judge(&method)?;
    let seconds = i64::try_from(now() / 1_000_000_000).unwrap_or(i64::MAX);
    let proven = judge.login(&wire.bearer_token.0, seconds).await;
    let proven = proven.map_err(|error| Error::Refused(error.to_string()))?;
    let token = bound(&server, &method, &proven)?;
    let token = AclToken { description: description(&wire.meta), ..token };
    let ttl = i64::try_from(method.max_token_ttl.as_nanos()).unwrap_or(i64::MAX);
    let token = server.store.create_token(TokenRequest { token, ttl, login: true }, now()).await?;
    response::json(&TokenShape::whole(&token))
}

fn description(meta: &BTreeMap<String, String>) -> String {
    const MADE: &str = "token created via login";
    match serde_json::to_string(meta) {
        Ok(json) if !meta.is_empty() => format!("{MADE}: {json}"),
        _ => MADE.to_owned(),
    }
}

/// A token with all that the rules of the method give; 403 when they give nothing.
fn bound(server: &ServerState, method: &Stored<AuthMethod>, proven: &Proven) -> Result<AclToken, Error> {
    let state = server.store.state();
    let mut token =
        AclToken { auth_method: method.name.clone(), local: method.token_locality != "global", ..AclToken::default() };
    let mut any = false;
    for rule in state.binding_rules().filter(|rule| rule.auth_method == method.name) {
        if !selector(&method.kind, &rule.selector).map_err(Error::Refused)?.matches(&proven.selectable) {
            continue;
        }
        let name = computed(rule, proven)?;
        let link = |id: &str| vec![Link { id: id.to_owned(), name: String::new() }];
        match rule.bind_type.as_str() {
            "service" => {
                token.service_identities.push(ServiceIdentity { service_name: name, datacenters: Vec::new() });
                any = true;
            }
            "node" => {
                let datacenter = server.datacenter.to_string();
                token.node_identities.push(NodeIdentity { node_name: name, datacenter });
                any = true;
            }
            // A role or a policy that is not there yet gives nothing.
            "role" => {
                let role = state.acl_role_by_name(&name);
                any |= role.is_some();
                token.roles.extend(role.map(|role| link(&role.id)).unwrap_or_default());
            }
            _ => {
                let policy = state.acl_policy_by_name(&name);
                any |= policy.is_some();
                token.policies.extend(policy.map(|policy| link(&policy.id)).unwrap_or_default());
            }
        }
    }
    if any { Ok(token) } else { Err(Error::PermissionDenied) }
}

/// What was proven is lowered: names of services and nodes have no capitals.
fn computed(rule: &BindingRule, proven: &Proven) -> Result<String, Error> {
    let variables: BTreeMap<_, _> =
        proven.variables.iter().map(|(name, value)| (name.clone(), value.to_lowercase())).collect();
    let invalid = |name: &str| {
        Error::Refused(format!("computed {:?} bind name for bind target is invalid: {name:?}", rule.bind_type))
    };
    let name = interpolate(&rule.bind_name, &variables).map_err(|_| invalid(&rule.bind_name))?;
    if is_bindable(&rule.bind_type, &name) { Ok(name) } else { Err(invalid(&name)) }
}

/// Only a token that was made by logging in ends by logging out.
pub(super) async fn logout(State(server): State<ServerState>, options: QueryOptions) -> Result<Response, Error> {
    server.access.demand()?;
    server.admit_write(&options, "")?;
    if !server.access.brings_token(&options) {
        return Err(Error::AclNotFound);
    }
    let token = server.access.token(&options)?;
    if token.auth_method.is_empty() {
        return Err(Error::PermissionDenied);
    }
    server.store.delete_token(&token.accessor_id).await?;
    Ok(response::empty())
}
