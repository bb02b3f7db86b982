//! `/v1/internal/acl/authorize`: what the sender may do, asked in advance; a page hides its buttons by it.

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};

use crate::authorizer::{Resource, Right};
use crate::error::Error;
use crate::json::Shape::{self, Any, List, Object};
use crate::query_options::QueryOptions;
use crate::request::Payload;
use crate::response;
use crate::server::ServerState;

const QUESTIONS_LIMIT: usize = 64;

#[derive(Deserialize, Serialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Question {
    resource: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    segment: String,
    access: String,
    allow: bool,
}

pub(super) async fn authorize(
    State(server): State<ServerState>,
    options: QueryOptions,
    Payload(body): Payload,
) -> Result<Response, Error> {
    server.access.demand()?;
    let mut questions = decode(&body)?;
    if questions.len() > QUESTIONS_LIMIT {
        let text = format!("Refusing to process more than {QUESTIONS_LIMIT} authorizations at once");
        return Err(Error::BadRequest(text));
    }
    let asked = questions.iter().map(asked).collect::<Result<Vec<_>, _>>()?;
    let authorizer = server.authorizer(&options)?;
    for (question, (resource, right)) in questions.iter_mut().zip(asked) {
        question.allow = authorizer.may(resource, &question.segment, right);
    }
    response::json(&questions)
}

const QUESTION: Shape = Object(&[
    ("Resource", Any),
    ("Segment", Any),
    ("Access", Any),
    ("Allow", Any),
    ("Namespace", Any),
    ("Partition", Any),
    ("Peer", Any),
]);

#[derive(Deserialize)]
struct Questions {
    list: Vec<Question>,
}

fn decode(body: &[u8]) -> Result<Vec<Question>, Error> {
    let failed = |why: String| Error::BadRequest(format!("Failed to decode request body: {why}"));
    let value = crate::json::parse(body).map_err(failed)?;
    if !value.is_array() {
        let kind = if value.is_object() { "object" } else { "value" };
        let text = format!("json: cannot unmarshal {kind} into Go value of type []structs.ACLAuthorizationRequest");
        return Err(failed(text));
    }
    let wrapped = serde_json::json!({ "list": value }).to_string();
    let questions: Questions =
        crate::json::decode(wrapped.as_bytes(), &Object(&[("list", List(&QUESTION))]), "").map_err(failed)?;
    Ok(questions.list)
}

fn asked(question: &Question) -> Result<(Resource, Right), Error> {
    let (name, access) = (question.resource.as_str(), question.access.as_str());
    let resource = match name {
        "acl" => Resource::Acl,
        "agent" => Resource::Agent,
        "event" => Resource::Event,
        "intention" => Resource::Intention,
        "key" => Resource::Key,
        "keyring" => Resource::Keyring,
        "mesh" => Resource::Mesh,
        "node" => Resource::Node,
        "operator" => Resource::Operator,
        "peering" => Resource::Peering,
        "query" => Resource::Query,
        "service" => Resource::Service,
        "session" => Resource::Session,
        _ => return Err(Error::BadRequest(format!("Invalid ACL resource requested: {name:?}"))),
    };
    let right = match access {
        "read" => Right::Read,
        "write" => Right::Write,
        "list" if resource == Resource::Key => Right::List,
        "write-prefix" if resource == Resource::Key => Right::WritePrefix,
        _ => return Err(Error::BadRequest(format!("Invalid access level for {name} resource: {access}"))),
    };
    Ok((resource, right))
}
