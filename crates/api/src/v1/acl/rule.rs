//! Binding rules: what a login gets.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use model::acl::{BindingRule, interpolate, is_identity_name, is_name};
use serde::Deserialize;
use store::Topic;

use super::shapes::RuleShape;
use super::{agreed, check_id, decode, demand, missing, nothing};
use crate::authorizer::Right;
use crate::error::Error;
use crate::filter::{Field, Filter};
use crate::json::Shape::{self, Any, Object};
use crate::query_options::QueryOptions;
use crate::request::{Payload, Rest};
use crate::response;
use crate::server::ServerState;

const RULE: Shape = Object(&[
    ("ID", Any),
    ("Description", Any),
    ("AuthMethod", Any),
    ("Selector", Any),
    ("BindType", Any),
    ("BindName", Any),
    ("Namespace", Any),
    ("CreateIndex", Any),
    ("ModifyIndex", Any),
]);

/// What selectors of each kind of method may name.
const JWT_FIELDS: Field = Field::Struct(&[("value", Field::TextMap), ("list", Field::Map(&Field::Texts))]);
const KUBERNETES_FIELDS: Field = Field::Struct(&[(
    "serviceaccount",
    Field::Struct(&[("namespace", Field::Text), ("name", Field::Text), ("uid", Field::Text)]),
)]);

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Wire {
    #[serde(rename = "ID")]
    id: String,
    description: String,
    auth_method: String,
    selector: String,
    bind_type: String,
    bind_name: String,
}

impl From<Wire> for BindingRule {
    fn from(wire: Wire) -> Self {
        let Wire { id, description, auth_method, selector, bind_type, bind_name } = wire;
        Self { id, description, auth_method, selector, bind_type, bind_name }
    }
}

pub(super) async fn list(State(server): State<ServerState>, options: QueryOptions) -> Result<Response, Error> {
    demand(&server, &options, Right::Read)?;
    let (state, index) = server.read(&options, &[Topic::BindingRules]).await?;
    let method = options.params.text("authmethod");
    let rules = state.binding_rules().filter(|rule| method.is_empty() || rule.auth_method == method);
    response::indexed(index, &rules.map(RuleShape::from).collect::<Vec<_>>())
}

pub(super) async fn read(
    State(server): State<ServerState>,
    Rest(id): Rest,
    options: QueryOptions,
) -> Result<Response, Error> {
    server.access.demand()?;
    if id.is_empty() {
        return Err(missing("binding rule ID"));
    }
    demand(&server, &options, Right::Read)?;
    check_id(&id, "binding rule")?;
    let (state, index) = server.read(&options, &[Topic::BindingRules]).await?;
    match state.binding_rule(&id) {
        Some(rule) => response::indexed(index, &RuleShape::from(rule)),
        None => Ok(nothing(index)),
    }
}

pub(super) async fn create(
    State(server): State<ServerState>,
    options: QueryOptions,
    Payload(body): Payload,
) -> Result<Response, Error> {
    write(&server, &options, "", &body).await
}

pub(super) async fn update(
    State(server): State<ServerState>,
    Rest(id): Rest,
    options: QueryOptions,
    Payload(body): Payload,
) -> Result<Response, Error> {
    write(&server, &options, &id, &body).await
}

async fn write(server: &ServerState, options: &QueryOptions, id: &str, body: &[u8]) -> Result<Response, Error> {
    server.access.demand()?;
    let mut wire: Wire = decode(body, &RULE, "BindingRule")?;
    agreed(id, &mut wire.id, "BindingRule ID")?;
    demand(server, options, Right::Write)?;
    let rule = wire.into();
    check(server, &rule)?;
    response::json(&RuleShape::from(&server.store.put_binding_rule(rule).await?))
}

fn check(server: &ServerState, rule: &BindingRule) -> Result<(), Error> {
    let refused = |text: String| Err(Error::Refused(text));
    let state = server.store.state();
    let old = state.binding_rule(&rule.id);
    if !rule.id.is_empty() && old.is_none() {
        return refused(format!("cannot find binding rule {}", rule.id));
    }
    let name = if rule.auth_method.is_empty() { old.map_or("", |old| &old.auth_method) } else { &rule.auth_method };
    if name.is_empty() {
        return refused("Invalid Binding Rule: no AuthMethod is set".to_owned());
    }
    let Some(method) = state.auth_method(name) else {
        return refused(format!("cannot find auth method with name {name:?}"));
    };
    if !rule.selector.is_empty() {
        selector(&method.kind, &rule.selector).map_err(Error::Refused)?;
    }
    if rule.bind_type.is_empty() {
        return refused("Invalid Binding Rule: no BindType is set".to_owned());
    }
    if !["service", "role", "node", "policy"].contains(&rule.bind_type.as_str()) {
        return refused(format!("Invalid Binding Rule: unknown BindType {:?}", rule.bind_type));
    }
    if rule.bind_name.is_empty() {
        return refused("Invalid Binding Rule: no BindName is set".to_owned());
    }
    let method = auth::Method::new(method).map_err(|error| Error::Refused(error.to_string()))?;
    let some: BTreeMap<_, _> = method.variables().into_keys().map(|name| (name, "fake".to_owned())).collect();
    match interpolate(&rule.bind_name, &some) {
        Err(why) => refused(format!("Invalid Binding Rule: invalid BindName: {why}")),
        Ok(name) if !is_bindable(&rule.bind_type, &name) => {
            refused("Invalid Binding Rule: invalid BindName".to_owned())
        }
        Ok(_) => Ok(()),
    }
}

/// Whether such a thing can be called so.
pub(super) fn is_bindable(bind_type: &str, name: &str) -> bool {
    match bind_type {
        "service" | "node" => is_identity_name(name),
        _ => is_name(name, 256),
    }
}

/// The expression of a rule, over what methods of this kind prove.
pub(super) fn selector(kind: &str, text: &str) -> Result<Filter, String> {
    let fields = if kind == "kubernetes" { &KUBERNETES_FIELDS } else { &JWT_FIELDS };
    Filter::parse(text, fields).map_err(|error| {
        let text = error.to_string();
        let why = text.strip_prefix("Failed to create boolean expression evaluator: ").unwrap_or(&text);
        format!("invalid Binding Rule: Selector is invalid: {why}")
    })
}

pub(super) async fn remove(
    State(server): State<ServerState>,
    Rest(id): Rest,
    options: QueryOptions,
) -> Result<Response, Error> {
    server.access.demand()?;
    if id.is_empty() {
        return Err(missing("binding rule ID"));
    }
    demand(&server, &options, Right::Write)?;
    check_id(&id, "binding rule")?;
    server.store.delete_binding_rule(&id).await?;
    response::json(&true)
}
