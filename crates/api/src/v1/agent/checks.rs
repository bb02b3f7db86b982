//! Checks of this agent, and what applications say of theirs.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use model::Status;
use serde::Deserialize;

use super::rights;
use super::services::matches;
use super::shapes::CheckAnswer;
use super::{AgentState, refused, undecodable};
use crate::authorizer::Resource;
use crate::error::Error;
use crate::filter::Filter;
use crate::json::{Shape, decode};
use crate::query_options::QueryOptions;
use crate::request::{Payload, Rest};
use crate::response::{empty, json};
use crate::v1::selectors::CHECK_FIELDS;

const UPDATE: Shape = Shape::Object(&[("Status", Shape::Any), ("Output", Shape::Any)]);

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Update {
    status: String,
    output: String,
}

pub(super) async fn list(State(state): State<AgentState>, options: QueryOptions) -> Result<Response, Error> {
    let filter = Filter::parse(&options.filter, &CHECK_FIELDS)?;
    let mut out = BTreeMap::new();
    let may = state.access.authorizer(&options)?;
    for (id, check) in state.agent.checks() {
        let sees = match check.service_name.as_str() {
            "" => may.sees(Resource::Node, &check.node),
            service => may.sees(Resource::Service, service),
        };
        if !sees {
            continue;
        }
        let answer = CheckAnswer::new(check);
        if matches(&filter, &answer)? {
            out.insert(id, answer);
        }
    }
    json(&out)
}

pub(super) async fn register(
    State(state): State<AgentState>,
    options: QueryOptions,
    Payload(body): Payload,
) -> Result<Response, Error> {
    let mut check = model::decode_check_json(&body).map_err(undecodable)?;
    rights::register_check(&state, &options, &check)?;
    if check.token.0.is_empty() {
        check.token.clone_from(&options.token);
    }
    state.agent.register_check(check).map_err(refused)?;
    Ok(empty())
}

pub(super) async fn deregister(
    State(state): State<AgentState>,
    Rest(id): Rest,
    options: QueryOptions,
) -> Result<Response, Error> {
    if id.is_empty() {
        return Err(Error::Refused("CheckID missing".to_owned()));
    }
    rights::change_check(&state, &options, &id)?;
    if state.agent.deregister_check(&id).map_err(refused)? {
        return Ok(empty());
    }
    let hint = "Ensure that the check ID is passed, not the check name.";
    Err(Error::NotFound(format!("Unknown check ID {id:?}. {hint}")))
}

pub(super) async fn pass(state: State<AgentState>, id: Rest, options: QueryOptions) -> Result<Response, Error> {
    say(&state, &options, &id.0, Status::Passing, options.params.text("note"))
}

pub(super) async fn warn(state: State<AgentState>, id: Rest, options: QueryOptions) -> Result<Response, Error> {
    say(&state, &options, &id.0, Status::Warning, options.params.text("note"))
}

pub(super) async fn fail(state: State<AgentState>, id: Rest, options: QueryOptions) -> Result<Response, Error> {
    say(&state, &options, &id.0, Status::Critical, options.params.text("note"))
}

pub(super) async fn update(
    state: State<AgentState>,
    Rest(id): Rest,
    options: QueryOptions,
    Payload(body): Payload,
) -> Result<Response, Error> {
    let update: Update = decode(&body, &UPDATE, "agent.checkUpdate").map_err(Error::Decode)?;
    let status = Status::parse(&update.status);
    let status = status.ok_or_else(|| Error::Invalid(format!("Invalid check status: '{}'", update.status)))?;
    say(&state, &options, &id, status, &update.output)
}

fn say(state: &AgentState, options: &QueryOptions, id: &str, status: Status, output: &str) -> Result<Response, Error> {
    rights::change_check(state, options, id)?;
    state.agent.update_ttl(id, status, output).map_err(refused)?;
    Ok(empty())
}
