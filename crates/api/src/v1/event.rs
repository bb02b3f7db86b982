//! `/v1/event/…`: what users tell nodes.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, put};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::{Blob, UserEvent};
use regex_lite::Regex;
use serde::Serialize;
use store::Topic;
use tokio::time::Instant;

use crate::authorizer::{Resource, Right};
use crate::error::Error;
use crate::query_options::QueryOptions;
use crate::request::{Rest, limited, prefix};
use crate::response;
use crate::server::{ServerState, required};

/// What an event may take in a gossip message of Consul's, which is where the limit is from.
const EVENT_LIMIT_BYTES: usize = 512;
/// What Consul puts before the name of an event.
const GOSSIP_PREFIX_BYTES: usize = "consul:event:".len();
/// The rest of a gossip message: its kind, its clock and the names of its fields.
const GOSSIP_FRAME_BYTES: usize = 28;
/// What surrounds the fields every event has.
const ENVELOPE_BYTES: usize = 9;
/// The format of events.
const VERSION: u64 = 1;

pub(crate) fn router() -> Router<ServerState> {
    prefix(Router::new().route("/v1/event/list", get(list)), "/v1/event/fire/", put(fire))
}

async fn fire(
    State(server): State<ServerState>,
    Rest(name): Rest,
    options: QueryOptions,
    body: Body,
) -> Result<Response, Error> {
    required(&name, "Missing name")?;
    let payload = limited(body, crate::request::BODY_LIMIT_BYTES, "event").await?;
    let text = |name| options.params.text(name).to_owned();
    let event = UserEvent {
        id: uuid::Uuid::new_v4().to_string(),
        name,
        payload: Blob::from(&payload[..]),
        node_filter: text("node"),
        service_filter: text("service"),
        tag_filter: text("tag"),
    };
    check(&event).map_err(Error::Refused)?;
    server.admit_write(&options, "")?;
    server.authorizer(&options)?.check(Resource::Event, &event.name, Right::Write)?;
    check_size(&event).map_err(Error::Refused)?;
    server.store.fire_event(event.clone()).await?;
    response::json(&EventShape::new(&event, 0))
}

fn check(event: &UserEvent) -> Result<(), String> {
    if event.service_filter.is_empty() && !event.tag_filter.is_empty() {
        return Err("Cannot provide tag filter without service filter".to_owned());
    }
    let filters = [("node", &event.node_filter), ("service", &event.service_filter), ("tag", &event.tag_filter)];
    for (what, filter) in filters {
        if let Err(why) = Regex::new(filter) {
            return Err(format!("Invalid {what} filter: error parsing regexp: {}", go_complaint(filter, &why)));
        }
    }
    Ok(())
}

/// The commonest mistakes in Go's words.
fn go_complaint(pattern: &str, why: &regex_lite::Error) -> String {
    let text = why.to_string();
    let what = match () {
        () if text.contains("open group without") => "missing closing )",
        () if text.contains("without matching") => "unexpected )",
        () if text.contains("class has no closing") || text.contains("unclosed character class") => "missing closing ]",
        () if text.contains("must be applied to") => "missing argument to repetition operator",
        () => text.as_str(),
    };
    format!("{what}: `{pattern}`")
}

/// An event that Consul's gossip would not carry is refused, so that nobody depends on one.
fn check_size(event: &UserEvent) -> Result<(), String> {
    let text = |bytes: usize| bytes + if bytes < 32 { 1 } else { 3 };
    let optional = |name: usize, bytes: usize| if bytes == 0 { 0 } else { name + text(bytes) };
    let filters = [&event.node_filter, &event.service_filter, &event.tag_filter];
    let encoded = ENVELOPE_BYTES
        + text(event.id.len())
        + text(event.name.len())
        + optional(2, event.payload.as_slice().len())
        + filters.iter().map(|filter| optional(3, filter.len())).sum::<usize>();
    let name = GOSSIP_PREFIX_BYTES + event.name.len();
    let when = match () {
        () if name + encoded > EVENT_LIMIT_BYTES => "before",
        () if text(name) + encoded + GOSSIP_FRAME_BYTES > EVENT_LIMIT_BYTES => "after",
        () => return Ok(()),
    };
    let what = format!("user event exceeds configured limit of {EVENT_LIMIT_BYTES} bytes {when} encoding");
    Err(super::wire::several(&[format!("error broadcasting event to segment \"\": {what}")]))
}

/// Answers when the newest event that this node is meant to see is another one than the client knows: their index
/// is no counter but a number made of the newest event's id.
async fn list(State(server): State<ServerState>, options: QueryOptions) -> Result<Response, Error> {
    let authorizer = server.authorizer(&options)?;
    let wanted = options.params.text("name");
    let topics = [Topic::Events];
    let deadline = Instant::now() + if options.wait.is_zero() { store::DEFAULT_WAIT } else { options.wait };
    loop {
        let state = server.store.state();
        let events = state.events().into_iter().filter(|event| {
            (wanted.is_empty() || event.name == wanted)
                && authorizer.may(Resource::Event, &event.name, Right::Read)
                && concerns(event, &state, server.node_name())
        });
        let events: Vec<_> = events.collect();
        let index = events.last().map_or(1, |event| index_of(&event.id));
        let left = deadline.saturating_duration_since(Instant::now());
        if index != options.index || left.is_zero() {
            let shapes: Vec<_> = events.iter().map(|event| EventShape::new(event, event.create_index)).collect();
            let mut answer = response::json(&shapes)?;
            answer.headers_mut().insert(response::INDEX, index.into());
            return Ok(answer);
        }
        server.store.block(&topics, state.index_of(&topics), left).await;
    }
}

/// Whether the node and its services are meant.
fn concerns(event: &UserEvent, state: &store::State, node: &str) -> bool {
    let matches = |filter: &str, text: &str| Regex::new(filter).is_ok_and(|filter| filter.is_match(text));
    if !event.node_filter.is_empty() && !matches(&event.node_filter, node) {
        return false;
    }
    let (service, tag) = (event.service_filter.as_str(), event.tag_filter.as_str());
    service.is_empty()
        || state.services_of(node).any(|instance| {
            matches(service, &instance.service) && (tag.is_empty() || instance.tags.iter().any(|has| matches(tag, has)))
        })
}

/// Clients make the same number of an id they were given.
fn index_of(id: &str) -> u64 {
    let digits: String = id.chars().filter(|c| *c != '-').collect();
    let half = |digits: Option<&str>| digits.and_then(|half| u64::from_str_radix(half, 16).ok()).unwrap_or_default();
    half(digits.get(..16)) ^ half(digits.get(16..))
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct EventShape<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    name: &'a str,
    payload: Option<String>,
    node_filter: &'a str,
    service_filter: &'a str,
    tag_filter: &'a str,
    version: u64,
    /// Grows from event to event; 0 before the event is on its way.
    #[serde(rename = "LTime")]
    l_time: u64,
}

impl<'a> EventShape<'a> {
    fn new(event: &'a UserEvent, l_time: u64) -> Self {
        Self {
            id: &event.id,
            name: &event.name,
            payload: (!event.payload.is_empty()).then(|| STANDARD.encode(event.payload.as_slice())),
            node_filter: &event.node_filter,
            service_filter: &event.service_filter,
            tag_filter: &event.tag_filter,
            version: VERSION,
            l_time,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn event(name: usize, payload: usize, node: &str) -> UserEvent {
        UserEvent {
            id: "712ce39e-084c-7694-1edd-35f19c79632f".to_owned(),
            name: "n".repeat(name),
            payload: Blob::from("x".repeat(payload).as_bytes()),
            node_filter: node.to_owned(),
            ..UserEvent::default()
        }
    }

    #[test]
    fn events_are_as_large_as_in_consul_and_no_larger() {
        for (name, payload, node) in [(3, 410, ""), (2, 412, ""), (3, 403, "abc"), (200, 14, "")] {
            check_size(&event(name, payload, node)).unwrap();
            let complaint = check_size(&event(name, payload + 1, node)).unwrap_err();
            assert!(complaint.contains("limit of 512 bytes after encoding"), "{complaint}");
        }
        assert!(check_size(&event(3, 460, "")).unwrap_err().contains("bytes before encoding"));
    }

    #[test]
    fn an_index_is_made_of_an_id() {
        assert_eq!(index_of("5a4ff378-d39a-a1a4-4eb0-39b9e66c3c45"), 1_513_150_931_002_629_601);
    }

    #[test]
    fn broken_filters_are_refused_in_gos_words() {
        for (filter, words) in [
            ("(", "missing closing ): `(`"),
            ("[", "missing closing ]: `[`"),
            ("*", "missing argument to repetition operator: `*`"),
            ("a)", "unexpected ): `a)`"),
        ] {
            let event = event(1, 0, filter);
            assert_eq!(check(&event).unwrap_err(), format!("Invalid node filter: error parsing regexp: {words}"));
        }
    }
}
