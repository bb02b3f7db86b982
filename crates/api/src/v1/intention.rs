//! `/v1/connect/intentions…`: who may call whom.

use std::collections::BTreeMap;
use std::time::SystemTime;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use model::{Action, Intention};
use serde::Deserialize;
use serde_json::json;
use store::{Stored, Topic};

use super::selectors::INTENTION_FIELDS;
use super::shapes::IntentionShape;
use super::wire::several;
use crate::authorizer::{Authorizer, Resource, Right};
use crate::error::Error;
use crate::filter::Filter;
use crate::json::Shape::{self, Any, Object};
use crate::query_options::QueryOptions;
use crate::request::{Payload, Rest, prefix};
use crate::response;
use crate::server::ServerState;

/// Consul's limits for what is written beside a rule.
const DESCRIPTION_LIMIT: usize = 512;
const META_LIMIT: usize = 64;
const UUID_LENGTH: usize = 36;

pub(crate) fn router() -> Router<ServerState> {
    let router = Router::new()
        .route("/v1/connect/intentions", get(list).post(create))
        .route("/v1/connect/intentions/match", get(matching))
        .route("/v1/connect/intentions/check", get(check))
        .route("/v1/connect/intentions/exact", get(exact_get).put(exact_put).delete(exact_delete));
    prefix(router, "/v1/connect/intentions/", get(read).put(update).delete(remove))
}

const INTENTION: Shape = Object(&[
    ("ID", Any),
    ("Description", Any),
    ("SourceNS", Any),
    ("SourceName", Any),
    ("DestinationNS", Any),
    ("DestinationName", Any),
    ("SourceType", Any),
    ("Action", Any),
    ("DefaultAddr", Any),
    ("DefaultPort", Any),
    ("Meta", Any),
    ("Precedence", Any),
    ("CreatedAt", Any),
    ("UpdatedAt", Any),
    ("Hash", Any),
    ("CreateIndex", Any),
    ("ModifyIndex", Any),
]);

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Wire {
    #[serde(rename = "ID")]
    id: String,
    description: String,
    #[serde(rename = "SourceNS")]
    source_ns: String,
    source_name: String,
    #[serde(rename = "DestinationNS")]
    destination_ns: String,
    destination_name: String,
    source_type: String,
    action: String,
    meta: BTreeMap<String, String>,
}

/// An intention as a request writes it; its id and times are not looked at.
pub(super) fn decode(body: &[u8]) -> Result<Intention, Error> {
    Wire::decode(body)?.intention()
}

impl Wire {
    fn decode(body: &[u8]) -> Result<Self, Error> {
        let decoded = crate::json::decode(body, &INTENTION, "structs.Intention");
        decoded.map_err(|why| Error::Refused(format!("Failed to decode request body: {why}")))
    }

    /// Checks everything and names everything that is wrong.
    fn intention(self) -> Result<Intention, Error> {
        let mut complaints = Vec::new();
        for (what, name) in [("SourceName", &self.source_name), ("DestinationName", &self.destination_name)] {
            if name.is_empty() {
                complaints.push(format!("{what} must be set"));
            }
        }
        for (what, name) in [("SourceName", &self.source_name), ("DestinationName", &self.destination_name)] {
            if name.contains('*') && name != "*" {
                complaints.push(format!("{what}: wildcard character '*' cannot be used with partial values"));
            }
        }
        for (what, namespace) in [("SourceNS", &self.source_ns), ("DestinationNS", &self.destination_ns)] {
            if !matches!(namespace.as_str(), "" | "default") {
                complaints.push(format!("{what}: only the namespace \"default\" exists"));
            }
        }
        if self.description.len() > DESCRIPTION_LIMIT {
            complaints.push(format!("Description exceeds maximum length {DESCRIPTION_LIMIT}"));
        }
        if self.meta.len() > META_LIMIT {
            complaints.push(format!("Meta exceeds maximum element count {META_LIMIT}"));
        }
        let action = match self.action.as_str() {
            "allow" => Some(Action::Allow),
            "deny" => Some(Action::Deny),
            _ => None,
        };
        if action.is_none() {
            complaints.push("Action must be set to 'allow' or 'deny'".to_owned());
        }
        if !matches!(self.source_type.as_str(), "" | "consul") {
            complaints.push("SourceType must be set to 'consul'".to_owned());
        }
        let (Some(action), true) = (action, complaints.is_empty()) else {
            return Err(Error::Refused(several(&complaints)));
        };
        let now = ca::rfc3339(SystemTime::now());
        Ok(Intention {
            id: self.id,
            description: self.description,
            meta: self.meta,
            created_at: now.clone(),
            updated_at: now,
            ..Intention::new(&self.source_name, &self.destination_name, action)
        })
    }
}

/// Who may read the intentions of either end may read it whole.
fn may_read(may: &Authorizer, intention: &Intention) -> bool {
    let reads = |name: &str| may.may(Resource::Intention, name, Right::Read);
    reads(&intention.source_name) || reads(&intention.destination_name)
}

fn demand_read(server: &ServerState, options: &QueryOptions, intention: &Intention) -> Result<(), Error> {
    if may_read(&server.authorizer(options)?, intention) { Ok(()) } else { Err(Error::PermissionDenied) }
}

/// Who is called says who may call.
fn demand_write(server: &ServerState, options: &QueryOptions, destination: &str) -> Result<(), Error> {
    server.authorizer(options)?.check(Resource::Intention, destination, Right::Write)
}

fn new_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

async fn list(State(server): State<ServerState>, options: QueryOptions) -> Result<Response, Error> {
    let filter = Filter::parse(&options.filter, &INTENTION_FIELDS)?;
    let (state, index) = server.read(&options, &[Topic::Intentions]).await?;
    let may = server.authorizer(&options)?;
    let mut all = state.intentions();
    let before = all.len();
    all.retain(|intention| may_read(&may, intention));
    may.note_if(all.len() < before);
    response::indexed(index, &filter.keep(all.iter().map(IntentionShape::from).collect())?)
}

async fn create(
    State(server): State<ServerState>,
    options: QueryOptions,
    Payload(body): Payload,
) -> Result<Response, Error> {
    server.admit_write(&options, "")?;
    let wire = Wire::decode(&body)?;
    if !wire.id.is_empty() {
        return Err(Error::Refused("ID must be empty when creating a new intention".to_owned()));
    }
    demand_write(&server, &options, &wire.destination_name)?;
    let mut intention = wire.intention()?;
    intention.id = new_id();
    let id = intention.id.clone();
    server.store.create_intention(intention).await?;
    response::json(&json!({ "ID": id }))
}

/// A text that cannot be an id is refused in the words of the database that Consul looks it up in.
fn check_id(id: &str) -> Result<(), String> {
    if id.len() == UUID_LENGTH {
        return Ok(());
    }
    Err("failed intention lookup: index error: UUID must be 36 characters".to_owned())
}

async fn read(State(server): State<ServerState>, Rest(id): Rest, options: QueryOptions) -> Result<Response, Error> {
    check_id(&id).map_err(Error::BadRequest)?;
    let (state, index) = server.read(&options, &[Topic::Intentions]).await?;
    let intention = state.intention(&id).ok_or_else(not_found)?;
    demand_read(&server, &options, intention)?;
    maybe_indexed(&options, index, response::json(&IntentionShape::from(intention))?)
}

fn not_found() -> Error {
    Error::NotFound("Intention not found".to_owned())
}

/// Consul 1.8 sends no index here; it is sent to those who ask for a blocking answer, who could not block without it.
fn maybe_indexed(options: &QueryOptions, index: u64, answer: Response) -> Result<Response, Error> {
    let asked = options.params.has("index") || options.params.has("wait");
    Ok(if asked { response::with_index(answer, index, true) } else { answer })
}

async fn update(
    State(server): State<ServerState>,
    Rest(id): Rest,
    options: QueryOptions,
    Payload(body): Payload,
) -> Result<Response, Error> {
    server.admit_write(&options, "")?;
    let mut wire = Wire::decode(&body)?;
    check_id(&id).map_err(|why| Error::Refused(format!("Intention lookup failed: {why}")))?;
    let Some(old) = server.store.state().intention(&id).cloned() else {
        return Err(store::Error::NoSuchIntention(id).into());
    };
    demand_write(&server, &options, &old.destination_name)?;
    wire.id.clone_from(&id);
    demand_write(&server, &options, &wire.destination_name)?;
    let intention = wire.intention()?;
    server.store.update_intention(intention).await?;
    response::json(&json!({ "ID": id }))
}

async fn remove(State(server): State<ServerState>, Rest(id): Rest, options: QueryOptions) -> Result<Response, Error> {
    server.admit_write(&options, "")?;
    check_id(&id).map_err(|why| Error::Refused(format!("Intention lookup failed: {why}")))?;
    if let Some(old) = server.store.state().intention(&id).cloned() {
        demand_write(&server, &options, &old.destination_name)?;
    }
    server.store.delete_intention(&id).await?;
    response::json(&true)
}

/// A parameter that must be there.
fn parameter<'a>(options: &'a QueryOptions, name: &str) -> Result<&'a str, Error> {
    match options.params.text(name) {
        "" => Err(Error::Refused(format!("required query parameter '{name}' not set"))),
        value => Ok(service_name(value)),
    }
}

/// `[namespace/]name`
fn service_name(text: &str) -> &str {
    text.strip_prefix("default/").unwrap_or(text)
}

async fn matching(State(server): State<ServerState>, options: QueryOptions) -> Result<Response, Error> {
    let by_source = match options.params.text("by") {
        "" => return Err(Error::Refused("required query parameter 'by' not set".to_owned())),
        "source" => true,
        "destination" => false,
        _ => return Err(Error::Refused("'by' parameter must be one of 'source' or 'destination'".to_owned())),
    };
    let names: Vec<&str> = options.params.all("name").filter(|name| !name.is_empty()).collect();
    if names.is_empty() {
        return Err(Error::Refused("required query parameter 'name' not set".to_owned()));
    }
    let topic = |name: &str| match by_source {
        true => Topic::IntentionsFrom(name.into()),
        false => Topic::IntentionsTo(name.into()),
    };
    let may = server.authorizer(&options)?;
    names.iter().try_for_each(|name| may.check(Resource::Intention, service_name(name), Right::Read))?;
    // A rule for everybody is one for each of them.
    let topics: Vec<Topic> = names.iter().map(|name| service_name(name)).chain(["*"]).map(topic).collect();
    let (state, index) = server.read(&options, &topics).await?;
    let all = state.intentions();
    let of = |name: &str| -> Option<Vec<IntentionShape<'_>>> {
        let name = service_name(name);
        let concerns = |intention: &&Stored<Intention>| {
            let side = if by_source { &intention.source_name } else { &intention.destination_name };
            side == name || side == "*"
        };
        let found: Vec<_> = all.iter().filter(concerns).map(IntentionShape::from).collect();
        (!found.is_empty()).then_some(found)
    };
    let answer: BTreeMap<&str, _> = names.iter().map(|name| (*name, of(name))).collect();
    maybe_indexed(&options, index, response::json(&answer)?)
}

async fn check(State(server): State<ServerState>, options: QueryOptions) -> Result<Response, Error> {
    server.admit(&options)?;
    let (source, destination) = (parameter(&options, "source")?, parameter(&options, "destination")?);
    match options.params.text("source-type") {
        "" | "consul" => {}
        other => return Err(Error::Refused(format!("unsupported SourceType: {other:?}"))),
    }
    server.authorizer(&options)?.check(Resource::Service, destination, Right::Read)?;
    let state = server.store.state();
    // Sorted by precedence: the first that matches decides.
    let decided = state.intentions().into_iter().find(|intention| intention.matches(source, destination));
    let allowed = decided.map_or(server.default_allow, |intention| intention.action == Action::Allow);
    response::json(&json!({ "Allowed": allowed }))
}

async fn exact_get(State(server): State<ServerState>, options: QueryOptions) -> Result<Response, Error> {
    let (source, destination) = (parameter(&options, "source")?, parameter(&options, "destination")?);
    let (state, index) = server.read(&options, &[Topic::IntentionsTo(destination.into())]).await?;
    let intention = state.intention_of(source, destination).ok_or_else(not_found)?;
    demand_read(&server, &options, intention)?;
    response::indexed(index, &IntentionShape::from(intention))
}

async fn exact_put(
    State(server): State<ServerState>,
    options: QueryOptions,
    Payload(body): Payload,
) -> Result<Response, Error> {
    server.admit_write(&options, "")?;
    let (source, destination) = (parameter(&options, "source")?, parameter(&options, "destination")?);
    demand_write(&server, &options, destination)?;
    let mut wire = Wire::decode(&body)?;
    source.clone_into(&mut wire.source_name);
    destination.clone_into(&mut wire.destination_name);
    wire.id = new_id();
    server.store.upsert_intention(wire.intention()?).await?;
    response::json(&true)
}

async fn exact_delete(State(server): State<ServerState>, options: QueryOptions) -> Result<Response, Error> {
    server.admit_write(&options, "")?;
    let (source, destination) = (parameter(&options, "source")?, parameter(&options, "destination")?);
    demand_write(&server, &options, destination)?;
    // Already gone is what was asked for.
    server.store.delete_intention_of(source, destination).await?;
    response::json(&true)
}
