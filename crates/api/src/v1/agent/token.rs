//! The tokens this agent uses for itself.

use agent::TokenKind;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;

use super::AgentState;
use crate::error::Error;
use crate::json::{Shape, decode};
use crate::query_options::QueryOptions;
use crate::request::{Payload, Rest};
use crate::response::empty;

const BODY: Shape = Shape::Object(&[("Token", Shape::Any)]);

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Body {
    token: String,
}

pub(super) async fn set(
    State(state): State<AgentState>,
    Rest(name): Rest,
    _: QueryOptions,
    Payload(body): Payload,
) -> Result<Response, Error> {
    if !state.agent.config().acl_enabled {
        return Err(Error::Status { status: StatusCode::UNAUTHORIZED, text: "ACL support disabled".to_owned() });
    }
    let body: Body = decode(&body, &BODY, "api.AgentToken").map_err(Error::Decode)?;
    let kind = TokenKind::parse(&name).ok_or_else(|| Error::NotFound(format!("Token {name:?} is unknown")))?;
    let kept = state.agent.tokens().set(kind, model::Token(body.token));
    state.agent.sync_all();
    kept.map_err(|error| Error::Refused(format!("failed to persist tokens: {error}")))?;
    Ok(empty())
}
